package phrase

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// call is WebhookCallDto: one POST of an event to a webhook, or a held one.
type call struct {
	UID             string      `json:"uid"`
	ParentUID       *string     `json:"parentUid"` // the first call, which this one repeats; null for that one itself
	EventUID        string      `json:"eventUid"`
	WebhookSettings settingsRef `json:"webhookSettings"`
	CreatedAt       string      `json:"createdAt"`
	URL             string      `json:"url"`
	Forced          bool        `json:"forced"` // a replay was requested
	LastForcedAt    *string     `json:"lastForcedAt"`
	Body            *string     `json:"body"` // null once the payload has been erased
	TriggerEvent    string      `json:"triggerEvent"`
	RetryAttempt    int         `json:"retryAttempt"` // 0 for the first call
	StatusCode      *int        `json:"statusCode"`   // null = no answer
	ErrorMessage    *string     `json:"errorMessage"` // null = received
}

type settingsRef struct {
	UID string `json:"uid"`
}

func shownCall(c *service.Call) call {
	v := call{UID: c.ID, EventUID: c.EventID, CreatedAt: instant(c.StartedAt), URL: c.URL, TriggerEvent: c.EventType,
		WebhookSettings: settingsRef{strings.TrimPrefix(c.WebhookID, models.PrefixWebhook)}, Forced: c.ReplayedAt != nil,
		RetryAttempt: c.Number - 1}
	if c.ParentID != "" {
		v.ParentUID = &c.ParentID
	}
	if c.ReplayedAt != nil {
		v.LastForcedAt = new(instant(*c.ReplayedAt))
	}
	if c.Body != nil {
		v.Body = new(string(c.Body))
	}
	if c.StatusCode != 0 {
		v.StatusCode = &c.StatusCode
	}
	if c.Error != "" {
		v.ErrorMessage = &c.Error
	}
	return v
}

// callFields filter calls by event and result; an empty one does not filter. callIDs filter them by webhook and other
// ids.
var (
	callFields = []systems.Field{eventsField, {Name: "status"}}
	callIDs    = []systems.Field{{Name: "webhookUid"}, {Name: "parentUid"}, {Name: "webhookEventUid"}}
)

// callFilter reads the filter by event and by result: SUCCESS, FAILED, or an HTTP status.
func callFilter(q *systems.Request) models.CallFilter {
	f := models.CallFilter{Profile: wire.ProfilePhrase, EventTypes: eventFilter(q)}
	switch status := strings.ToUpper(q.In.String("status")); status {
	case "", "ALL":
	case "SUCCESS", "SUCCESSFUL":
		f.Received = new(true)
	case "FAILED", "FAILURE":
		f.Received = new(false)
	default:
		var err error
		if f.StatusCode, err = strconv.Atoi(status); err != nil || f.StatusCode < 100 || f.StatusCode > 599 {
			q.Problemf("status", "must be SUCCESS, FAILED or an HTTP status")
		}
	}
	return f
}

func calls(q *systems.Request) error {
	p, f := readPage(q), callFilter(q)
	f.WebhookID, f.ParentID, f.EventID = q.In.String("webhookUid"), q.In.String("parentUid"), q.In.String("webhookEventUid")
	if f.WebhookID != "" {
		f.WebhookID = models.PrefixWebhook + strings.TrimPrefix(f.WebhookID, models.PrefixWebhook)
	}
	if err := q.Err(); err != nil {
		return err
	}
	found, total, err := q.API.Service.Calls(q.Ctx(), q.Tenant, f, p.size, p.offset())
	if err != nil {
		return err
	}
	content := make([]call, len(found))
	for i := range found {
		content[i] = shownCall(&found[i])
		content[i].URL = q.URL(content[i].URL)
	}
	return answerPage(q, p, total, content)
}

// replayFields name the calls to repeat. A whole call, as the log shows it, is accepted in place of its uid.
var replayFields = []systems.Field{{Name: "webhookCalls", Kind: systems.Objects, Required: true, Of: []systems.Field{
	{Name: "uid", Required: true},
	{Name: "parentUid", ReadOnly: true},
	{Name: "eventUid", ReadOnly: true},
	{Name: "webhookSettings", Kind: systems.Object, ReadOnly: true},
	{Name: "createdAt", ReadOnly: true},
	{Name: "url", ReadOnly: true},
	{Name: "forced", Kind: systems.Flag, ReadOnly: true},
	{Name: "lastForcedAt", ReadOnly: true},
	{Name: "body", ReadOnly: true},
	{Name: "triggerEvent", ReadOnly: true},
	{Name: "retryAttempt", Kind: systems.Number, ReadOnly: true},
	{Name: "statusCode", Kind: systems.Number, ReadOnly: true},
	{Name: "errorMessage", ReadOnly: true},
}}}

// replay repeats the named calls, in the order in which they are named.
func replay(q *systems.Request) error {
	if err := q.Err(); err != nil {
		return err
	}
	named := q.In.Objects("webhookCalls")
	ids := make([]string, len(named))
	for i, c := range named {
		ids[i] = c.String("uid")
	}
	if err := q.API.Service.ReplayCalls(q.Ctx(), q.Tenant, wire.ProfilePhrase, ids); err != nil {
		return unprocessed(err)
	}
	q.Status(http.StatusAccepted)
	return nil
}

const defaultReplay = 5

var latestFields = []systems.Field{{Name: "numberOfCalls", Kind: systems.Number, Min: 1, Max: service.MaxReplay}}

// replayLatest repeats the latest calls, oldest first.
func replayLatest(q *systems.Request) error {
	f := callFilter(q)
	if err := q.Err(); err != nil {
		return err
	}
	if err := q.API.Service.ReplayLatest(q.Ctx(), q.Tenant, f, q.In.Number("numberOfCalls", defaultReplay)); err != nil {
		return unprocessed(err)
	}
	q.Status(http.StatusAccepted)
	return nil
}
