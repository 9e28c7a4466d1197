// Package ewarehousing serves the webhook API of the eWarehousing Solutions middleware under /ewarehousing, as
// 003_0953e0b26da66feb.txt documents it: a webhook has one topic, a group and an action. docs/systems/ewarehousing.md
// says what was chosen where the document is silent.
//
// It holds the mapping alone: what may change is said in internal/hooks. It must not import another system's package.
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
	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

const (
	defaultLimit = 50
	maxLimit     = 500
	maxPage      = 1_000_000

	timeout = 10 * time.Second // in which the vendor's receivers have to answer; /v1 can change it
)

// Mount serves the API on a router whose base path is "/". Paths end in a slash, and are found without it too.
func Mount(r gin.IRouter, o systems.Options) {
	api := systems.New(systems.Form{
		System:    wire.ProfileEWarehousing,
		Key:       systems.Bearer,
		Challenge: "Bearer",
		Invalid:   http.StatusBadRequest,
		Fields:    map[string]string{"event_types": "topic", "secret": "hash_secret"},
		Refuse:    refuse,
	}, o)
	for _, slash := range []string{"/", ""} {
		api.Handle(http.MethodGet, "/webhooks"+slash, list)
		api.Handle(http.MethodPost, "/webhooks"+slash, create)
		api.Handle(http.MethodGet, "/webhooks/:id"+slash, show)
		api.Handle(http.MethodPatch, "/webhooks/:id"+slash, update)
		api.Handle(http.MethodPut, "/webhooks/:id"+slash, update) // the document's own example of PATCH
		api.Handle(http.MethodDelete, "/webhooks/:id"+slash, remove)
	}
	api.Mount(r)
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
	Customer   string `json:"customer"`              // the tenant
	HashSecret string `json:"hash_secret,omitempty"` // only in the answer to its creation
}

func shown(w *models.Webhook) webhook {
	group, action := topic(w)
	return webhook{ID: systems.ID(w), URL: w.URL, Group: group, Action: action, Customer: models.TenantSlug(w.Tenant)}
}

// topic takes a webhook's event type apart. What /v1 has registered for several, or by wildcard, shows its first, and
// "*" for what is any.
func topic(w *models.Webhook) (group, action string) {
	if len(w.EventTypes) == 0 {
		return "*", "*"
	}
	group, action, _ = strings.Cut(w.EventTypes[0], ".")
	return group, action
}

// body is what create and update take. The rest is what a webhook is read with: clients send back what they got.
type body struct {
	URL        *string `json:"url"`
	Group      *string `json:"group"`
	Action     *string `json:"action"`
	HashSecret *string `json:"hash_secret"`

	ID       any `json:"id"`
	Customer any `json:"customer"`
	Topic    any `json:"topic"`
}

// change makes the change that a body asks for of a webhook whose topic is group and action so far.
func (b *body) change(q *systems.Request, group, action string) (hooks.WebhookChange, error) {
	c := hooks.WebhookChange{URL: b.URL, Secret: b.HashSecret}
	if b.HashSecret != nil && *b.HashSecret == "" {
		return c, q.Invalid("hash_secret", "must not be empty")
	}
	if b.Group == nil && b.Action == nil {
		return c, nil
	}
	if b.Group != nil {
		group = *b.Group
	}
	if b.Action != nil {
		action = *b.Action
	}
	known := q.EventNames()
	if !slices.ContainsFunc(known, func(name string) bool { return strings.HasPrefix(name, group+".") }) {
		return c, q.Invalid("group", "is not known")
	}
	if !slices.Contains(known, group+"."+action) {
		return c, q.Invalid("action", "is not one of the group's")
	}
	c.EventTypes = &[]string{group + "." + action}
	return c, nil
}

func create(q *systems.Request) error {
	var b body
	if err := q.Decode(&b); err != nil {
		return err
	}
	for _, required := range []struct {
		name  string
		value *string
	}{{"url", b.URL}, {"group", b.Group}, {"action", b.Action}, {"hash_secret", b.HashSecret}} {
		if required.value == nil {
			return q.Invalid(required.name, "is required")
		}
	}
	c, err := b.change(q, "", "")
	if err != nil {
		return err
	}
	c.Timeout = new(timeout)
	w, err := q.Create(c)
	if err != nil {
		return err
	}
	made := shown(&w)
	made.HashSecret = *b.HashSecret
	q.PureJSON(http.StatusCreated, made)
	return nil
}

func show(q *systems.Request) error {
	w, err := q.Webhook(q.Param("id"))
	if err != nil {
		return err
	}
	q.PureJSON(http.StatusOK, shown(&w))
	return nil
}

func update(q *systems.Request) error {
	w, err := q.Webhook(q.Param("id"))
	if err != nil {
		return err
	}
	var b body
	if err := q.Decode(&b); err != nil {
		return err
	}
	group, action := topic(&w)
	c, err := b.change(q, group, action)
	if err != nil {
		return err
	}
	if w, err = q.Update(w, c); err != nil {
		return err
	}
	q.PureJSON(http.StatusOK, shown(&w))
	return nil
}

func remove(q *systems.Request) error {
	w, err := q.Webhook(q.Param("id"))
	if err != nil {
		return err
	}
	if _, err := q.API.Hooks.DeleteWebhook(q.Ctx(), q.Tenant, w.ID); err != nil {
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

// orders are the fields that can be sorted by.
var orders = map[string]func(a, b *models.Webhook) int{
	"createdAt": func(a, b *models.Webhook) int { return strings.Compare(a.ID, b.ID) }, // ids begin with the time
	"updatedAt": func(a, b *models.Webhook) int { return a.UpdatedAt.Compare(b.UpdatedAt) },
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

func list(q *systems.Request) error {
	limit, err := q.Int("limit", defaultLimit, 1, maxLimit)
	if err != nil {
		return err
	}
	number, err := q.Int("page", 1, 1, maxPage)
	if err != nil {
		return err
	}
	order, ok := orders[cmp.Or(q.Query("sort"), "createdAt")]
	if !ok {
		return q.Invalid("sort", "must be createdAt, updatedAt, id, url, group, action or topic")
	}
	sign := 1
	switch q.Query("direction") {
	case "", "asc":
	case "desc":
		sign = -1
	default:
		return q.Invalid("direction", "must be asc or desc")
	}
	all, err := q.Webhooks()
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b models.Webhook) int { return sign * order(&a, &b) })
	p := page{Count: len(all), Results: []webhook{}}
	for _, w := range systems.Slice(all, (number-1)*limit, limit) {
		p.Results = append(p.Results, shown(&w))
	}
	pages := (len(all) + limit - 1) / limit
	if number < pages {
		p.Next = link(q, number+1)
	}
	if number > 1 && pages > 0 {
		p.Previous = link(q, min(number-1, pages))
	}
	q.PureJSON(http.StatusOK, p)
	return nil
}

// link is the URL of another page of the list that was asked for.
func link(q *systems.Request, number int) *string {
	query := url.Values{}
	for _, name := range []string{"limit", "sort", "direction"} {
		if value := q.Query(name); value != "" {
			query.Set(name, value)
		}
	}
	query.Set("page", strconv.Itoa(number))
	return new(q.BaseURL() + "/ewarehousing/webhooks/?" + query.Encode())
}
