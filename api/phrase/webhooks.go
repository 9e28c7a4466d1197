package phrase

import (
	"cmp"
	"encoding/binary"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

const (
	enabled  = "ENABLED"
	disabled = "DISABLED"
)

// Settings of a webhook that only this API knows.
const (
	settingHidden    = "hidden"
	settingTokenType = "secretTokenType"
)

// webhook is WebHookDtoV2.
type webhook struct {
	ID              string    `json:"id"`
	UID             string    `json:"uid"`
	Name            string    `json:"name"`
	URL             string    `json:"url"`
	Events          []string  `json:"events"`
	SecretToken     *string   `json:"secretToken"` // null if there is none, or the key may only read
	SecretTokenType *string   `json:"secretTokenType"`
	Hidden          bool      `json:"hidden"`
	Status          string    `json:"status"`
	FailedAttempts  int64     `json:"failedAttempts"`
	Created         string    `json:"created"`
	CreatedBy       reference `json:"createdBy"`
	LastModified    string    `json:"lastModified"`
	LastModifiedBy  reference `json:"lastModifiedBy"`
}

// reference is the part of UserReference that is true of an API key: its name stands for the user.
type reference struct {
	UID      string `json:"uid"`
	UserName string `json:"userName"`
}

func by(name string) reference { return reference{UID: name, UserName: name} }

func status(w *models.Webhook) string {
	if w.Status == models.WebhookActive {
		return enabled
	}
	return disabled
}

func shown(q *systems.Request, w *models.Webhook) (webhook, error) {
	v := webhook{ID: numericID(w.ID), UID: systems.ID(w), Name: w.Name, URL: w.URL, Events: q.Events(w), Status: status(w),
		Hidden: w.Settings[settingHidden] == "true", FailedAttempts: w.Health.Failed, Created: instant(w.CreatedAt),
		CreatedBy: by(w.CreatedBy), LastModified: instant(w.UpdatedAt), LastModifiedBy: by(w.UpdatedBy)}
	if t, ok := w.Settings[settingTokenType]; ok {
		v.SecretTokenType = &t
	}
	token, err := q.Secret(w)
	if token != "" {
		v.SecretToken = &token
	}
	return v, err
}

func answer(q *systems.Request, status int, w *models.Webhook) error {
	v, err := shown(q, w)
	if err == nil && status != http.StatusCreated { // whoever makes a webhook has just sent its token
		err = q.NoteShown()
	}
	if err != nil {
		return err
	}
	q.PureJSON(status, v)
	return nil
}

// numericID derives the number that Phrase has beside the uid from the UUIDv7 in a webhook's id (RFC 9562): the
// milliseconds since 2020 and the 12 bits below them. It never changes, grows with time, and stays below 2^53 until
// 2089, so that JavaScript can hold it.
func numericID(id string) string {
	const since = 1577836800000 // 2020-01-01T00:00:00Z
	u, err := uuid.Parse(strings.TrimPrefix(id, models.PrefixWebhook))
	if err != nil {
		return "0"
	}
	millis := binary.BigEndian.Uint64(u[:8]) >> 16
	fraction := binary.BigEndian.Uint16(u[6:8]) & 0xfff
	return strconv.FormatUint((millis-since)<<12|uint64(fraction), 10)
}

// body is CreateWebHookDto, for PUT too. The rest is what a webhook is read with: clients send back what they got.
type body struct {
	URL             *string   `json:"url"`
	Events          *[]string `json:"events"`
	Name            *string   `json:"name"`
	SecretToken     *string   `json:"secretToken"` // "" = none
	SecretTokenType *string   `json:"secretTokenType"`
	Hidden          *bool     `json:"hidden"`
	Status          *string   `json:"status"`

	ID             any `json:"id"`
	UID            any `json:"uid"`
	FailedAttempts any `json:"failedAttempts"`
	Created        any `json:"created"`
	CreatedBy      any `json:"createdBy"`
	LastModified   any `json:"lastModified"`
	LastModifiedBy any `json:"lastModifiedBy"`
}

// read takes a webhook from the body; url and events must be there. settings are those it has so far.
func read(q *systems.Request, settings map[string]string) (hooks.WebhookChange, error) {
	var b body
	if err := q.Decode(&b); err != nil {
		return hooks.WebhookChange{}, err
	}
	c := hooks.WebhookChange{URL: b.URL, EventTypes: b.Events, Name: b.Name, Secret: b.SecretToken, Settings: map[string]string{}}
	maps.Copy(c.Settings, settings)
	switch {
	case b.URL == nil:
		return c, q.Invalid("url", "is required")
	case b.Events == nil:
		return c, q.Invalid("events", "is required")
	case b.SecretTokenType != nil && len(*b.SecretTokenType) > 100:
		return c, q.Invalid("secretTokenType", "must be at most 100 bytes")
	case b.Status != nil && *b.Status != enabled && *b.Status != disabled:
		return c, q.Invalid("status", "must be ENABLED or DISABLED")
	}
	if err := q.CheckEvents("events", *b.Events); err != nil {
		return c, err
	}
	if b.Hidden != nil {
		c.Settings[settingHidden] = strconv.FormatBool(*b.Hidden)
	}
	if b.SecretTokenType != nil {
		c.Settings[settingTokenType] = *b.SecretTokenType
	}
	if b.Status != nil {
		c.Active = new(*b.Status == enabled)
	}
	return c, nil
}

func create(q *systems.Request) error {
	c, err := read(q, nil)
	if err != nil {
		return err
	}
	w, err := q.Create(c)
	if err != nil {
		return err
	}
	return answer(q, http.StatusCreated, &w)
}

func show(q *systems.Request) error {
	w, err := q.Webhook(q.Param("uid"))
	if err != nil {
		return err
	}
	return answer(q, http.StatusOK, &w)
}

func update(q *systems.Request) error {
	w, err := q.Webhook(q.Param("uid"))
	if err != nil {
		return err
	}
	c, err := read(q, w.Settings)
	if err != nil {
		return err
	}
	if w, err = q.Update(w, c); err != nil {
		return err
	}
	return answer(q, http.StatusOK, &w)
}

func remove(q *systems.Request) error {
	w, err := q.Webhook(q.Param("uid"))
	if err != nil {
		return err
	}
	if _, err := q.API.Hooks.DeleteWebhook(q.Ctx(), q.Tenant, w.ID); err != nil {
		return err
	}
	q.Status(http.StatusNoContent)
	return nil
}

// test POSTs the preview of an event to the webhook, now. The call log does not list it.
func test(q *systems.Request) error {
	w, err := q.Webhook(q.Param("uid"))
	if err != nil {
		return err
	}
	event := q.Query("event")
	switch {
	case event == "":
		return q.Invalid("event", "is required")
	case !slices.Contains(q.Events(&w), event):
		return q.Invalid("event", "is not one of the webhook's")
	}
	if _, err := q.API.Hooks.SendExample(q.Ctx(), q.Tenant, w.ID, event); err != nil {
		return err
	}
	q.Status(http.StatusCreated)
	return nil
}

// preview is the body that a webhook would get for an event.
type preview struct {
	Event   string `json:"event"`
	Preview string `json:"preview"`
}

func previews(q *systems.Request) error {
	events, err := eventFilter(q)
	if err != nil {
		return err
	}
	if len(events) == 0 {
		events = q.EventNames()
	}
	shown := make([]preview, len(events))
	for i, event := range events {
		text, err := q.API.Hooks.Preview(q.Ctx(), q.Tenant, wire.ProfilePhrase, event)
		if err != nil {
			return err
		}
		shown[i] = preview{event, string(text)}
	}
	q.PureJSON(http.StatusOK, gin.H{"previews": shown})
	return nil
}

// orders are the fields that a list can be sorted by, in lower case.
var orders = map[string]func(a, b *models.Webhook) int{
	"id":             func(a, b *models.Webhook) int { return strings.Compare(a.ID, b.ID) },
	"uid":            func(a, b *models.Webhook) int { return strings.Compare(a.ID, b.ID) },
	"name":           func(a, b *models.Webhook) int { return strings.Compare(a.Name, b.Name) },
	"url":            func(a, b *models.Webhook) int { return strings.Compare(a.URL, b.URL) },
	"status":         func(a, b *models.Webhook) int { return strings.Compare(status(a), status(b)) },
	"failedattempts": func(a, b *models.Webhook) int { return cmp.Compare(a.Health.Failed, b.Health.Failed) },
	"created":        func(a, b *models.Webhook) int { return a.CreatedAt.Compare(b.CreatedAt) },
	"createdby":      func(a, b *models.Webhook) int { return strings.Compare(a.CreatedBy, b.CreatedBy) },
	"lastmodified":   func(a, b *models.Webhook) int { return a.UpdatedAt.Compare(b.UpdatedAt) },
	"lastmodifiedby": func(a, b *models.Webhook) int { return strings.Compare(a.UpdatedBy, b.UpdatedBy) },
}

// listRequest is how a list of webhooks is filtered and sorted.
type listRequest struct {
	name, url, status            string
	events, createdBy, changedBy []string
	order                        func(a, b *models.Webhook) int
	sign                         int
}

func readList(q *systems.Request) (r listRequest, err error) {
	r = listRequest{name: q.Query("name"), url: q.Query("url"), status: q.Query("status"), createdBy: q.QueryArray("createdBy"),
		changedBy: q.QueryArray("modifiedBy"), sign: 1}
	if r.status != "" && r.status != enabled && r.status != disabled {
		return r, q.Invalid("status", "must be ENABLED or DISABLED")
	}
	if r.events, err = eventFilter(q); err != nil {
		return r, err
	}
	field := strings.ToLower(strings.ReplaceAll(cmp.Or(q.Query("sortField"), "created"), "_", "")) // FAILED_ATTEMPTS too
	if r.order = orders[field]; r.order == nil {
		return r, q.Invalid("sortField", "must be a field of the webhook")
	}
	switch strings.ToUpper(q.Query("sortTrend")) {
	case "", "ASC":
	case "DESC":
		r.sign = -1
	default:
		return r, q.Invalid("sortTrend", "must be ASC or DESC")
	}
	return r, nil
}

func (r *listRequest) keeps(w *models.Webhook) bool {
	return strings.Contains(w.Name, r.name) && strings.Contains(w.URL, r.url) &&
		(r.status == "" || r.status == status(w)) &&
		(len(r.events) == 0 || slices.ContainsFunc(r.events, w.Wants)) &&
		(len(r.createdBy) == 0 || slices.Contains(r.createdBy, w.CreatedBy)) &&
		(len(r.changedBy) == 0 || slices.Contains(r.changedBy, w.UpdatedBy))
}

func list(q *systems.Request) error {
	p, err := readPage(q)
	if err != nil {
		return err
	}
	r, err := readList(q)
	if err != nil {
		return err
	}
	all, err := q.Webhooks()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(w models.Webhook) bool { return !r.keeps(&w) })
	slices.SortStableFunc(all, func(a, b models.Webhook) int { return r.sign * r.order(&a, &b) })
	content := []webhook{}
	for _, w := range systems.Slice(all, p.offset(), p.size) {
		v, err := shown(q, &w)
		if err != nil {
			return err
		}
		content = append(content, v)
	}
	if err := q.NoteShown(); err != nil {
		return err
	}
	return answerPage(q, p, int64(len(all)), content)
}
