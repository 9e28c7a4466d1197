package phrase

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// call is WebhookCallDto: one POST of an event to a webhook.
type call struct {
	UID             string      `json:"uid"`
	ParentUID       *string     `json:"parentUid"` // the first call, which this one repeats; null for that one itself
	EventUID        string      `json:"eventUid"`
	WebhookSettings settingsRef `json:"webhookSettings"`
	CreatedAt       string      `json:"createdAt"`
	URL             string      `json:"url"`
	Forced          bool        `json:"forced"` // somebody asked for it to be replayed
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

func shownCall(c *hooks.Call) call {
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

// callFilter reads what calls are asked for by event and by how they ended: SUCCESS, FAILED, or an HTTP status.
func callFilter(q *systems.Request) (models.CallFilter, error) {
	f := models.CallFilter{Profile: wire.ProfilePhrase}
	var err error
	if f.EventTypes, err = eventFilter(q); err != nil {
		return f, err
	}
	switch status := strings.ToUpper(q.Query("status")); status {
	case "", "ALL":
	case "SUCCESS", "SUCCESSFUL":
		f.Received = new(true)
	case "FAILED", "FAILURE":
		f.Received = new(false)
	default:
		if f.StatusCode, err = strconv.Atoi(status); err != nil || f.StatusCode < 100 || f.StatusCode > 599 {
			return f, q.Invalid("status", "must be SUCCESS, FAILED or an HTTP status")
		}
	}
	return f, nil
}

func calls(q *systems.Request) error {
	p, err := readPage(q)
	if err != nil {
		return err
	}
	f, err := callFilter(q)
	if err != nil {
		return err
	}
	f.WebhookID, f.ParentID, f.EventID = q.Query("webhookUid"), q.Query("parentUid"), q.Query("webhookEventUid")
	for _, name := range []string{"webhookUid", "parentUid", "webhookEventUid"} {
		if !systems.Plain(q.Query(name)) {
			return q.Invalid(name, "is not a uid")
		}
	}
	if f.WebhookID != "" {
		f.WebhookID = models.PrefixWebhook + strings.TrimPrefix(f.WebhookID, models.PrefixWebhook)
	}
	found, total, err := q.API.Hooks.Calls(q.Ctx(), q.Tenant, f, p.size, p.offset())
	if err != nil {
		return err
	}
	content := make([]call, len(found))
	for i := range found {
		content[i] = shownCall(&found[i])
		if !q.MaySeeSecrets() {
			content[i].URL, _, _ = strings.Cut(content[i].URL, "?")
		}
	}
	return answerPage(q, p, total, content)
}

// replay makes the named calls again, in the order in which they are named.
func replay(q *systems.Request) error {
	var b struct {
		WebhookCalls []struct {
			UID string `json:"uid"`
		} `json:"webhookCalls"`
	}
	if err := q.Decode(&b); err != nil {
		return err
	}
	ids := make([]string, len(b.WebhookCalls))
	for i, c := range b.WebhookCalls {
		if ids[i] = c.UID; !systems.Plain(c.UID) {
			return q.Invalid("webhookCalls", "must be a list of objects with a uid")
		}
	}
	if err := q.API.Hooks.ReplayCalls(q.Ctx(), q.Tenant, wire.ProfilePhrase, ids); err != nil {
		return unprocessed(err)
	}
	q.Status(http.StatusAccepted)
	return nil
}

const defaultReplay = 5

// replayLatest makes the latest calls again, from the oldest of them to the newest.
func replayLatest(q *systems.Request) error {
	n, err := q.Int("numberOfCalls", defaultReplay, 1, hooks.MaxReplay)
	if err != nil {
		return err
	}
	f, err := callFilter(q)
	if err != nil {
		return err
	}
	if err := q.API.Hooks.ReplayLatest(q.Ctx(), q.Tenant, f, n); err != nil {
		return unprocessed(err)
	}
	q.Status(http.StatusAccepted)
	return nil
}
