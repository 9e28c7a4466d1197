// Package ewarehousing serves the webhook API of the eWarehousing Solutions middleware under /ewarehousing, as the
// vendor documents it: a webhook has one topic, a group and an action. docs/systems/ewarehousing.md lists the choices
// made where the document is silent.
//
// It holds only the mapping: the rules are in internal/service. It must not import another system's package.
package ewarehousing

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

const (
	defaultLimit = 50
	maxLimit     = 500
	maxPage      = 1_000_000

	timeout = 10 * time.Second // the vendor's limit for receivers; /v1 can change it
)

// Mount serves the API on a router whose base path is "/".
func Mount(r gin.IRouter, o systems.Options) { API(o).Mount(r) }

// API returns the API. Paths end in a slash, and work without it too.
func API(o systems.Options) *systems.API {
	api := systems.New(systems.Form{
		System:    wire.ProfileEWarehousing,
		Key:       systems.Bearer,
		Challenge: "Bearer",
		Invalid:   http.StatusBadRequest,
		Fields:    map[string]string{"event_types": "topic", "secret": "hash_secret"},
		Refuse:    refuse,
	}, o)
	changed := webhookFields(false)
	api.Handle(systems.Operation{Method: http.MethodGet, Path: "/webhooks/", Query: listFields}, list)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: "/webhooks/", Body: systems.JSON, Fields: webhookFields(true)}, create)
	api.Handle(systems.Operation{Method: http.MethodGet, Path: "/webhooks/:id/"}, show)
	api.Handle(systems.Operation{Method: http.MethodPatch, Path: "/webhooks/:id/", Body: systems.JSON, Fields: changed}, update)
	api.Handle(systems.Operation{Method: http.MethodPut, Path: "/webhooks/:id/", Body: systems.JSON, Fields: changed}, update) // the document's own example of PATCH uses PUT
	api.Handle(systems.Operation{Method: http.MethodDelete, Path: "/webhooks/:id/"}, remove)
	return api
}

// webhookFields are the fields of a webhook, which are required to create one. The read-only ones are in answers.
func webhookFields(required bool) []systems.Field {
	return []systems.Field{
		{Name: "url", Required: required},
		{Name: "group", Required: required},
		{Name: "action", Required: required},
		{Name: "hash_secret", Required: required},
		{Name: "id", ReadOnly: true, Identity: true},
		{Name: "customer", ReadOnly: true},
		{Name: "topic", ReadOnly: true},
	}
}

var listFields = []systems.Field{
	{Name: "limit", Kind: systems.Number, Min: 1, Max: maxLimit},
	{Name: "page", Kind: systems.Number, Min: 1, Max: maxPage},
	{Name: "sort"},
	{Name: "direction"},
	{Name: "group"},
	{Name: "action"},
	{Name: "topic"},
}

// refuse answers {"code":401,"message":"…"}.
func refuse(c *gin.Context, r systems.Refusal) {
	c.PureJSON(r.Status, gin.H{"code": r.Status, "message": r.Error()})
}

type webhook struct {
	ID         string `json:"id"`
	URL        string `json:"url"`
	Group      string `json:"group"`
	Action     string `json:"action"`
	Topic      string `json:"topic"`                 // group and action
	Customer   string `json:"customer"`              // the tenant
	HashSecret string `json:"hash_secret,omitempty"` // only in the answer that creates it
}

func shown(q *systems.Request, w *models.Webhook) webhook {
	group, action := topic(w)
	return webhook{ID: systems.ID(w), URL: q.URL(w.URL), Group: group, Action: action, Topic: group + "." + action, Customer: models.TenantSlug(w.Tenant)}
}

// topic splits a webhook's event type. For a webhook that /v1 has registered for several types, or by wildcard, it
// returns the first, with "*" for a part that may be any.
func topic(w *models.Webhook) (group, action string) {
	if len(w.EventTypes) == 0 {
		return "*", "*"
	}
	group, action, _ = strings.Cut(w.EventTypes[0], ".")
	return group, action
}

// read reads a webhook from the body. w is the webhook to change, nil to create one.
func read(q *systems.Request, w *models.Webhook) service.WebhookChange {
	c := service.WebhookChange{URL: q.In.Text("url"), Secret: q.In.Text("hash_secret")}
	if c.Secret != nil && *c.Secret == "" {
		q.Problemf("hash_secret", "must not be empty")
	}
	group, action := q.In.Text("group"), q.In.Text("action")
	if w != nil {
		wasGroup, wasAction := topic(w)
		group, action = cmp.Or(group, &wasGroup), cmp.Or(action, &wasAction)
		if *group == wasGroup && *action == wasAction {
			return c
		}
	}
	known := q.EventNames()
	switch {
	case group != nil && !isGroup(known, *group):
		q.Problemf("group", "is not known")
	case group != nil && action != nil && !slices.Contains(known, *group+"."+*action):
		q.Problemf("action", "is not one of the group's")
	case group != nil && action != nil:
		c.EventTypes = &[]string{*group + "." + *action}
	}
	return c
}

func isGroup(known []string, group string) bool {
	return slices.ContainsFunc(known, func(name string) bool {
		of, _, _ := strings.Cut(name, ".")
		return of == group
	})
}

func create(q *systems.Request) error {
	c := read(q, nil)
	c.Timeout = new(timeout)
	w, err := q.Create(c)
	if err != nil {
		return err
	}
	made := shown(q, &w)
	made.HashSecret = *c.Secret
	q.PureJSON(http.StatusCreated, made)
	return nil
}

func show(q *systems.Request) error {
	w, err := q.Webhook("id")
	if err != nil {
		return err
	}
	q.PureJSON(http.StatusOK, shown(q, &w))
	return nil
}

func update(q *systems.Request) error {
	w, err := q.Webhook("id")
	if err != nil {
		return err
	}
	if w, err = q.Update(w, read(q, &w)); err != nil {
		return err
	}
	q.PureJSON(http.StatusOK, shown(q, &w))
	return nil
}

func remove(q *systems.Request) error {
	w, err := q.Webhook("id")
	if err != nil {
		return err
	}
	if _, err := q.API.Service.DeleteWebhook(q.Ctx(), q.Tenant, w.ID); err != nil {
		return err
	}
	q.Status(http.StatusNoContent)
	return nil
}

type page struct {
	Count    int       `json:"count"`
	Next     *string   `json:"next"`
	Previous *string   `json:"previous"`
	Results  []webhook `json:"results"`
}

// orders are the fields to sort by, in lower case and without underscores.
var orders = map[string]func(a, b *models.Webhook) int{
	"createdat": func(a, b *models.Webhook) int { return strings.Compare(a.ID, b.ID) }, // ids begin with the time
	"updatedat": func(a, b *models.Webhook) int { return a.UpdatedAt.Compare(b.UpdatedAt) },
	"id":        func(a, b *models.Webhook) int { return strings.Compare(a.ID, b.ID) },
	"url":       func(a, b *models.Webhook) int { return strings.Compare(a.URL, b.URL) },
	"group":     byTopic,
	"action": func(a, b *models.Webhook) int {
		_, actionA := topic(a)
		_, actionB := topic(b)
		return strings.Compare(actionA, actionB)
	},
	"topic": byTopic,
}

func byTopic(a, b *models.Webhook) int {
	groupA, actionA := topic(a)
	groupB, actionB := topic(b)
	return cmp.Or(strings.Compare(groupA, groupB), strings.Compare(actionA, actionB))
}

// listRequest is how a list of webhooks is filtered and sorted.
type listRequest struct {
	limit, page          int
	group, action, topic string // "" = any
	order                func(a, b *models.Webhook) int
	sign                 int
}

func readList(q *systems.Request) listRequest {
	r := listRequest{limit: q.In.Number("limit", defaultLimit), page: q.In.Number("page", 1), group: q.In.String("group"),
		action: q.In.String("action"), topic: q.In.String("topic"), sign: 1}
	r.order = orders[strings.ToLower(strings.ReplaceAll(cmp.Or(q.In.String("sort"), "createdAt"), "_", ""))]
	if r.order == nil {
		q.Problemf("sort", "must be createdAt, updatedAt, id, url, group, action or topic")
	}
	switch strings.ToLower(q.In.String("direction")) {
	case "", "asc":
	case "desc":
		r.sign = -1
	default:
		q.Problemf("direction", "must be asc or desc")
	}
	if r.group != "" && !isGroup(q.EventNames(), r.group) {
		q.Problemf("group", "is not known")
	}
	return r
}

func (r *listRequest) keeps(w *models.Webhook) bool {
	group, action := topic(w)
	return (r.group == "" || r.group == group) && (r.action == "" || r.action == action) && (r.topic == "" || r.topic == group+"."+action)
}

func list(q *systems.Request) error {
	r := readList(q)
	if err := q.Err(); err != nil {
		return err
	}
	all, err := q.Webhooks()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(w models.Webhook) bool { return !r.keeps(&w) })
	slices.SortStableFunc(all, func(a, b models.Webhook) int { return r.sign * r.order(&a, &b) })
	p := page{Count: len(all), Results: []webhook{}}
	for _, w := range systems.Slice(all, (r.page-1)*r.limit, r.limit) {
		p.Results = append(p.Results, shown(q, &w))
	}
	pages := (len(all) + r.limit - 1) / r.limit
	if r.page < pages {
		p.Next = link(q, r.page+1)
	}
	if r.page > 1 && pages > 0 {
		p.Previous = link(q, min(r.page-1, pages))
	}
	q.PureJSON(http.StatusOK, p)
	return nil
}

// link returns the URL of another page of the requested list.
func link(q *systems.Request, number int) *string {
	query := url.Values{}
	for i := range listFields {
		if value := q.Query(listFields[i].Name); value != "" {
			query.Set(listFields[i].Name, value)
		}
	}
	query.Set("page", strconv.Itoa(number))
	return new(q.BaseURL() + "/ewarehousing/webhooks/?" + query.Encode())
}
