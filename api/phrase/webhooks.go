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
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

const (
	enabled  = "ENABLED"
	disabled = "DISABLED"
)

// Settings of a webhook that only this API uses.
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

// reference is a UserReference for an API key: the key's name stands for the user.
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
	v := webhook{ID: numericID(w.ID), UID: systems.ID(w), Name: w.Name, URL: q.URL(w.URL), Events: q.Events(w), Status: status(w),
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
	if err == nil && status != http.StatusCreated { // its creator sent the token
		err = q.NoteShown()
	}
	if err != nil {
		return err
	}
	q.PureJSON(status, v)
	return nil
}

// numericID derives Phrase's numeric id from the UUIDv7 in a webhook's id (RFC 9562): the milliseconds since 2020 and
// the 12 bits below them. It never changes, grows with time, and stays below 2^53 until 2089, so that JavaScript can
// hold it.
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

// webhookFields are those of CreateWebHookDto, for PUT too. The read-only ones are in answers.
var webhookFields = []systems.Field{
	{Name: "url", Required: true},
	{Name: "events", Kind: systems.Names, Required: true},
	{Name: "name"},
	{Name: "secretToken"}, // "" = none; null or the mask leaves it as it is
	{Name: "secretTokenType"},
	{Name: "hidden", Kind: systems.Flag},
	{Name: "status", OneOf: []string{enabled, disabled}},
	{Name: "id", ReadOnly: true},
	{Name: "uid", ReadOnly: true, Identity: true},
	{Name: "failedAttempts", Kind: systems.Number, ReadOnly: true},
	{Name: "created", ReadOnly: true},
	{Name: "createdBy", Kind: systems.Object, ReadOnly: true},
	{Name: "lastModified", ReadOnly: true},
	{Name: "lastModifiedBy", Kind: systems.Object, ReadOnly: true},
}

// read reads a webhook from the body. w is the webhook to change, nil to create one.
func read(q *systems.Request, w *models.Webhook) service.WebhookChange {
	c := service.WebhookChange{URL: q.In.Text("url"), EventTypes: q.In.Names("events"), Name: q.In.Text("name"),
		Secret: q.In.Text("secretToken"), Settings: map[string]string{}}
	if w != nil {
		maps.Copy(c.Settings, w.Settings)
	}
	if c.EventTypes != nil {
		q.CheckEvents("events", known(*c.EventTypes), w)
	}
	if hidden := q.In.Flag("hidden"); hidden != nil && (*hidden || w != nil && w.Settings[settingHidden] != "") {
		c.Settings[settingHidden] = strconv.FormatBool(*hidden)
	}
	if t := q.In.Text("secretTokenType"); t != nil {
		if len(*t) > 100 {
			q.Problemf("secretTokenType", "must be at most 100 bytes")
		}
		c.Settings[settingTokenType] = *t
	}
	if status := q.In.Text("status"); status != nil {
		c.Active = new(*status == enabled)
	}
	return c
}

func create(q *systems.Request) error {
	w, err := q.Create(read(q, nil))
	if err != nil {
		return err
	}
	return answer(q, http.StatusCreated, &w)
}

func show(q *systems.Request) error {
	w, err := q.Webhook("uid")
	if err != nil {
		return err
	}
	return answer(q, http.StatusOK, &w)
}

func update(q *systems.Request) error {
	w, err := q.Webhook("uid")
	if err != nil {
		return err
	}
	if w, err = q.Update(w, read(q, &w)); err != nil {
		return err
	}
	return answer(q, http.StatusOK, &w)
}

func remove(q *systems.Request) error {
	w, err := q.Webhook("uid")
	if err != nil {
		return err
	}
	if _, err := q.API.Service.DeleteWebhook(q.Ctx(), q.Tenant, w.ID); err != nil {
		return err
	}
	q.Status(http.StatusNoContent)
	return nil
}

// test POSTs the preview of an event to the webhook now, and succeeds if it is received. The call log does not list
// it.
func test(q *systems.Request) error {
	w, err := q.Webhook("uid")
	if err != nil {
		return err
	}
	event := known([]string{q.In.String("event")})[0]
	if event != "" && !slices.Contains(q.Events(&w), event) {
		q.Problemf("event", "is not one of the webhook's events")
	}
	if err := q.Err(); err != nil {
		return err
	}
	result, err := q.API.Service.SendExample(q.Ctx(), q.Tenant, w.ID, event)
	if err != nil {
		return err
	}
	if !result.Received {
		return &systems.Refusal{Status: http.StatusBadRequest, Message: "the test call was not received: " + result.Attempt.Error}
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
	events := eventFilter(q)
	if err := q.Err(); err != nil {
		return err
	}
	if len(events) == 0 {
		events = q.EventNames()
	}
	shown := make([]preview, len(events))
	for i, event := range events {
		text, err := q.API.Service.Preview(q.Ctx(), q.Tenant, wire.ProfilePhrase, event)
		if err != nil {
			return err
		}
		shown[i] = preview{event, string(text)}
	}
	q.PureJSON(http.StatusOK, gin.H{"previews": shown})
	return nil
}

// orders are the fields to sort a list by, in lower case and without underscores: FAILED_ATTEMPTS works too.
var orders = map[string]func(a, b *models.Webhook) int{
	"id":               byID,
	"uid":              byID,
	"name":             func(a, b *models.Webhook) int { return strings.Compare(a.Name, b.Name) },
	"url":              func(a, b *models.Webhook) int { return strings.Compare(a.URL, b.URL) },
	"status":           func(a, b *models.Webhook) int { return strings.Compare(status(a), status(b)) },
	"failedattempts":   func(a, b *models.Webhook) int { return cmp.Compare(a.Health.Failed, b.Health.Failed) },
	"created":          byCreated,
	"datecreated":      byCreated,
	"createdby":        func(a, b *models.Webhook) int { return strings.Compare(a.CreatedBy, b.CreatedBy) },
	"lastmodified":     byModified,
	"datemodified":     byModified,
	"datelastmodified": byModified,
	"lastmodifiedby":   byModifier,
	"modifiedby":       byModifier,
}

func byID(a, b *models.Webhook) int       { return strings.Compare(a.ID, b.ID) }
func byCreated(a, b *models.Webhook) int  { return a.CreatedAt.Compare(b.CreatedAt) }
func byModified(a, b *models.Webhook) int { return a.UpdatedAt.Compare(b.UpdatedAt) }
func byModifier(a, b *models.Webhook) int { return strings.Compare(a.UpdatedBy, b.UpdatedBy) }

// listFields filter and sort a list of webhooks; an empty one does neither.
var listFields = []systems.Field{
	{Name: "name"},
	{Name: "url"},
	{Name: "status", OneOf: []string{enabled, disabled}},
	eventsField,
	{Name: "createdBy", Kind: systems.Names},
	{Name: "modifiedBy", Kind: systems.Names},
	{Name: "sortField"},
	{Name: "sortTrend"},
}

// listRequest is how a list of webhooks is filtered and sorted.
type listRequest struct {
	name, url, status            string
	events, createdBy, changedBy []string
	order                        func(a, b *models.Webhook) int
	sign                         int
}

func readList(q *systems.Request) listRequest {
	r := listRequest{name: q.In.String("name"), url: q.In.String("url"), status: q.In.String("status"), events: eventFilter(q),
		createdBy: q.In.List("createdBy"), changedBy: q.In.List("modifiedBy"), sign: 1}
	field := strings.ToLower(strings.ReplaceAll(cmp.Or(q.In.String("sortField"), "created"), "_", ""))
	if r.order = orders[field]; r.order == nil {
		q.Problemf("sortField", "must be a field of the webhook")
	}
	switch strings.ToUpper(q.In.String("sortTrend")) {
	case "", "ASC":
	case "DESC":
		r.sign = -1
	default:
		q.Problemf("sortTrend", "must be ASC or DESC")
	}
	return r
}

func (r *listRequest) keeps(q *systems.Request, w *models.Webhook) bool {
	return systems.Contains(w.Name, r.name) && systems.Contains(q.URL(w.URL), r.url) &&
		(r.status == "" || r.status == status(w)) &&
		(len(r.events) == 0 || slices.ContainsFunc(r.events, w.Wants)) &&
		(len(r.createdBy) == 0 || slices.Contains(r.createdBy, w.CreatedBy)) &&
		(len(r.changedBy) == 0 || slices.Contains(r.changedBy, w.UpdatedBy))
}

func list(q *systems.Request) error {
	p, r := readPage(q), readList(q)
	if err := q.Err(); err != nil {
		return err
	}
	all, err := q.Webhooks()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(w models.Webhook) bool { return !r.keeps(q, &w) })
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
