package svix

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

func statistics(api *systems.API) {
	api.Handle(systems.Operation{Method: http.MethodGet, Path: oneEndpoint + "/stats", Query: []systems.Field{{Name: "since"}, {Name: "until"}}}, endpointStats)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: base + "/stats/usage/app", Admins: true, Body: systems.JSON, Fields: []systems.Field{
		{Name: "since", Required: true}, {Name: "until", Required: true}, {Name: "appIds", Kind: systems.Names}}}, usage)
	api.Handle(systems.Operation{Method: http.MethodPut, Path: base + "/stats/usage/event-types", Admins: true}, typeUsage)
}

// The longest period of statistics, and the tolerance for a client's clock.
const (
	statsFor   = 28 * 24 * time.Hour
	statsSlack = 5 * time.Minute
)

// endpointStats counts the results of the attempts at an endpoint.
func endpointStats(q *systems.Request) error {
	w, err := endpointNamed(q)
	if err != nil {
		return err
	}
	now := q.API.Service.Now()
	since, until := instant(q, "since"), instant(q, "until")
	if err := q.Err(); err != nil {
		return err
	}
	outside := func(what string) error {
		return &systems.Refusal{Status: http.StatusBadRequest, Code: "invalid_range", Message: what}
	}
	if until.IsZero() {
		until = now
	}
	if since.IsZero() {
		since = until.Add(-statsFor)
	}
	switch {
	case until.After(now.Add(statsSlack)):
		return outside("until cannot be in the future")
	case !since.Before(until):
		return outside("since must be before until")
	case until.Sub(since) > statsFor+statsSlack:
		return outside("since cannot be more than 28 days before until")
	case until.Sub(since) > statsFor:
		since = until.Add(-statsFor)
	}
	t, err := q.API.Service.Tally(q.Ctx(), q.Tenant, w.ID, since, until)
	if err != nil {
		return err
	}
	q.PureJSON(http.StatusOK, struct {
		Success  int64 `json:"success"`
		Pending  int64 `json:"pending"`
		Sending  int64 `json:"sending"`
		Fail     int64 `json:"fail"`
		Canceled int64 `json:"canceled"` // canceled deliveries have no attempts
	}{t.Received, t.Untried, t.Repeating, t.Failed, 0})
	return nil
}

// prefixStats is the id prefix of a task whose result is computed on request. The rest of the id encodes the request.
const prefixStats = prefixTask + "stats_"

// The most applications in a usage task: if they are named, and if none is named.
const (
	maxNamed = 20
	maxUsers = 250
)

// usageOf is the request of a usage task.
type usageOf struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	Apps  []string  `json:"apps,omitempty"`  // slugs; empty = all
	Types bool      `json:"types,omitempty"` // what endpoints are registered for, in place of attempts
}

// usage answers with a task that counts the attempts in each application.
func usage(q *systems.Request) error {
	of := usageOf{Since: instant(q, "since"), Until: instant(q, "until")}
	names, unresolved := q.In.List("appIds"), []string{}
	if len(names) > maxNamed {
		q.Problemf("appIds", "must be at most %d", maxNamed)
	}
	if err := q.Err(); err != nil {
		return err
	}
	for _, name := range names {
		switch id, err := q.API.Service.TenantID(q.Ctx(), q.Who, q.API.TenantName(name)); {
		case isNotFound(err):
			unresolved = append(unresolved, name)
		case err != nil:
			return err
		default:
			of.Apps = append(of.Apps, models.TenantSlug(id))
		}
	}
	if len(names) > 0 && len(of.Apps) == 0 {
		q.Problemf("appIds", "there are no such applications")
		return q.Err()
	}
	result, err := usageTask(q, &of)
	if err != nil {
		return err
	}
	q.PureJSON(http.StatusAccepted, struct {
		task
		UnresolvedAppIDs []string `json:"unresolvedAppIds"`
	}{result, unresolved})
	return nil
}

// showStats shows the result of a usage task.
func showStats(q *systems.Request, text string) error {
	missing := service.Refuse(service.NotFound, "there is no such task")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	var of usageOf
	if err != nil || json.Unmarshal(raw, &of) != nil || len(of.Apps) > maxNamed {
		return missing
	}
	if of.Types {
		t, err := typeTask(q)
		if err == nil {
			q.PureJSON(http.StatusOK, t)
		}
		return err
	}
	t, err := usageTask(q, &of)
	if isRefused(err, service.Invalid) {
		return missing
	}
	if err != nil {
		return err
	}
	q.PureJSON(http.StatusOK, t)
	return nil
}

// typeUsage answers with a task that tells what the endpoints of each application are registered for.
func typeUsage(q *systems.Request) error {
	t, err := typeTask(q)
	if err != nil {
		return err
	}
	t.Data = nil // the task shows it
	q.PureJSON(http.StatusAccepted, t)
	return nil
}

// typeTask finds out what the endpoints of each application are registered for.
func typeTask(q *systems.Request) (task, error) {
	raw, err := json.Marshal(usageOf{Types: true})
	if err != nil {
		return task{}, err
	}
	t := task{ID: prefixStats + base64.RawURLEncoding.EncodeToString(raw), Status: taskFinished, Task: taskTypes, UpdatedAt: q.API.Service.Now().UTC()}
	tenants, err := usersOf(q, &usageOf{})
	if err != nil {
		return t, err
	}
	ids := make([]string, len(tenants))
	for i := range tenants {
		ids[i] = tenants[i].ID
	}
	subscriptions, err := q.API.Service.Subscriptions(q.Ctx(), ids)
	if isRefused(err, service.Conflict) {
		err = notYet("there are too many endpoints to look at all of them at once")
	}
	if err != nil {
		return t, err
	}
	types := []map[string]any{}
	for _, id := range ids {
		of := subscriptions[id]
		types = append(types, map[string]any{"appId": applicationID(id), "explicitlySubscribedEventTypes": append([]string{}, of.EventTypes...), "hasCatchAllEndpoint": of.All})
	}
	t.Data = map[string]any{"event_types": types}
	return t, nil
}

// usageTask counts the attempts in each application.
func usageTask(q *systems.Request, of *usageOf) (task, error) {
	raw, err := json.Marshal(of)
	if err != nil {
		return task{}, err
	}
	t := task{ID: prefixStats + base64.RawURLEncoding.EncodeToString(raw), Status: taskFinished, Task: taskStats, UpdatedAt: q.API.Service.Now().UTC()}
	tenants, err := usersOf(q, of)
	if err != nil {
		return t, err
	}
	counts := service.StatQuery{Since: of.Since, Until: of.Until, Bucket: "day"}
	if of.Until.Sub(of.Since) <= 2*24*time.Hour {
		counts.Bucket = "hour"
	}
	apps := []map[string]any{}
	for i := range tenants {
		stats, err := q.API.Service.Stats(q.Ctx(), tenants[i].ID, counts)
		if err != nil {
			return t, err
		}
		apps = append(apps, map[string]any{"appId": applicationID(tenants[i].ID), "appUid": orNil(tenants[i].UID), "messageDestinations": stats.Totals.Attempts})
	}
	t.Data = map[string]any{"appStats": apps}
	return t, nil
}

// usersOf returns the tenants of a usage task.
func usersOf(q *systems.Request, of *usageOf) ([]models.Tenant, error) {
	if len(of.Apps) == 0 {
		tenants, next, err := q.API.Service.Tenants(q.Ctx(), models.Page{Limit: maxUsers})
		tenants = slices.DeleteFunc(tenants, func(t models.Tenant) bool { return t.Slug == models.OperationalTenant })
		if err == nil && next != "" {
			err = notYet("there are too many applications to count them all at once: name up to 20 in appIds")
		}
		return tenants, err
	}
	var tenants []models.Tenant
	for _, slug := range of.Apps {
		if !service.IsTenantSlug(slug) {
			return nil, service.Refuse(service.NotFound, "there is no such task")
		}
		t, err := applicationWith(q, slug)
		if err != nil {
			return nil, err
		}
		if t.ID != "" {
			tenants = append(tenants, t)
		}
	}
	return tenants, nil
}
