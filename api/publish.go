package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// idempotencyHeader carries the caller's name for a request. replayedHeader says that the answer is a repeat of an
// earlier one.
const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotency-Replayed"
)

// Accepted is an event that has been accepted: it and all its deliveries are stored.
type Accepted struct {
	ID         string  `json:"id" example:"evt_0198c0de-0000-7000-8000-000000000004"`
	WorkflowID *string `json:"workflow_id" doc:"The Temporal workflow that delivers it. null if it will share one with other events, has none yet, or matches no webhook." example:"deliver/evt_0198c0de-0000-7000-8000-000000000004"`
}

// EventInput is an event to publish.
type EventInput struct {
	Type       string            `json:"type" doc:"The name of a known event type." example:"order.created"`
	Data       json.RawMessage   `json:"data" doc:"Any JSON that matches the type's schema. Its bytes are stored and sent unchanged."`
	ID         string            `json:"id,omitempty" doc:"1 to 128 letters, digits, dashes, underscores or colons; default: a generated one. An id is accepted only once."`
	Attributes map[string]string `json:"attributes,omitempty" doc:"Values that a profile's envelope carries next to the data; at most 20. Each can be searched for."`
	ExternalID string            `json:"external_id,omitempty" doc:"The caller's own id for it, at most 256 characters, unique among the tenant's events. It is not sent."`
	Channels   []string          `json:"channels,omitempty" doc:"At most 5. A webhook with channels gets the event only if it shares one; a webhook without channels gets it in any case. Letters, digits, dots, dashes, underscores, colons and slashes, at most 128." example:"project-1"`
	Tags       []string          `json:"tags,omitempty" doc:"At most 5, of at most 128 characters each. They are only for searching." example:"import"`
}

// PublishParams is the input of the operations below, for the documentation.
type PublishParams struct {
	OfTenant
	Key string `header:"Idempotency-Key" maxLength:"255" doc:"For 24 hours, a request with the same key gets the same answer and creates no second event. With another body it gets 409."`
}

type publishInput struct {
	PublishParams
	Body EventInput
}

type batchInput struct {
	PublishParams
	Body struct {
		Events []EventInput `json:"events" minItems:"1" maxItems:"1000"`
	} `nameHint:"BatchInput"`
}

// maxMatches is the most webhooks in one answer, and the default.
const maxMatches = 1000

type matchInput struct {
	OfTenant
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"1000" doc:"The most webhooks to return."`
	After string `query:"after" maxLength:"1000" doc:"Cursor: the previous page's next, with the same type and channels. Omit it, or leave it empty, for the first page."`
	Body  struct {
		Type     string          `json:"type" example:"order.created"`
		Data     json.RawMessage `json:"data"`
		Channels []string        `json:"channels,omitempty" doc:"As for publishing." example:"project-1"`
	} `nameHint:"MatchInput"`
}

type publishAnswer struct {
	Replayed bool `header:"Idempotency-Replayed"`
	Body     Accepted
}

type batchAnswer struct {
	Replayed bool `header:"Idempotency-Replayed"`
	Body     Batch
}

// Batch is the events of a batch that has been accepted, in its order.
type Batch struct {
	Data []Accepted `json:"data"`
}

// Match says what would happen to an event at one webhook.
type Match struct {
	WebhookID string               `json:"webhook_id" example:"wh_0198c0de-0000-7000-8000-000000000002"`
	Name      string               `json:"name" example:"Shop"`
	URL       string               `json:"url" example:"https://shop.example/hooks" doc:"A key with the role publish sees only scheme and host."`
	Status    models.WebhookStatus `json:"status" enum:"active,paused,deactivated,disabled"`
	Matched   bool                 `json:"matched" doc:"Whether it would get the event."`
	Reason    string               `json:"reason" example:"registered for it"`
}

// publishing adds the operations that take events. They read by hand (decode.go): huma would parse each body three
// times, and could not detect a field that is named twice.
func (s *server) publishing() {
	operation := func(id, path, summary, description string, status int) huma.Operation {
		return huma.Operation{OperationID: id, Method: http.MethodPost, Path: path, Tags: []string{tagEvents}, Summary: summary,
			Description: description, DefaultStatus: status}
	}
	const unknown = " After a 5xx answer it is unknown whether the event was accepted: repeat the request with the same Idempotency-Key."
	handlePlain[publishInput, publishAnswer](s, publishers, operation("publish-event", eventsPath, "Publish an event",
		"When the answer arrives, the event and all its deliveries are stored."+unknown, http.StatusAccepted), s.publish)
	handlePlain[batchInput, batchAnswer](s, publishers, operation("publish-batch", eventsPath+"/batch", "Publish up to 1000 events",
		"Either all of them are accepted, or none."+unknown, http.StatusAccepted), s.publishBatch)
	handlePlain[matchInput, answer[list[Match]]](s, matchers, operation("match-event", eventsPath+"/match", "See which webhooks would get an event",
		"Lists which webhooks would get it and which would not, and why, oldest first. It stores and sends nothing.", http.StatusOK), s.matchEvent)
}

func (s *server) publish(c *gin.Context) error {
	body, err := requireBody(c, s.MaxBody)
	if err != nil {
		return err
	}
	key, wrong := idempotencyKey(c.Request.Header)
	d := decoder{problems: wrong}
	r := service.PublishRequest{Events: []service.EventInput{d.event(body, "")}, Body: body, Key: key}
	if d.err() != nil {
		return s.refuse(c, &d, r)
	}
	published, err := s.accept(c, r)
	if err != nil {
		return err
	}
	writeJSON(c, http.StatusAccepted, jsonType, acceptedView(published[0]))
	return nil
}

func (s *server) publishBatch(c *gin.Context) error {
	body, err := requireBody(c, max(s.MaxBody, maxBatchBody))
	if err != nil {
		return err
	}
	key, wrong := idempotencyKey(c.Request.Header)
	d := decoder{problems: wrong}
	events := d.batch(body)
	r := service.PublishRequest{Events: events, Body: body, Key: key, Batch: true}
	if d.err() != nil {
		return s.refuse(c, &d, r)
	}
	var large []FieldError
	for i := range events {
		if int64(len(events[i].Data)) > s.MaxBody {
			large = append(large, FieldError{fmt.Sprintf("events[%d].data", i), "is too large"})
		}
	}
	if len(large) > 0 { // only a few: the body is bounded
		return newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the data of an event may have at most %d bytes", s.MaxBody), large...)
	}
	published, err := s.accept(c, r)
	if err != nil {
		return err
	}
	writeJSON(c, http.StatusAccepted, jsonType, Batch{listOf(published, "", acceptedView).Data})
	return nil
}

// refuse names what the decoder has found wrong with a request, and what else would be.
func (s *server) refuse(c *gin.Context, d *decoder, r service.PublishRequest) error {
	if d.doubled != nil {
		return d.doubled
	}
	for _, f := range d.problems {
		r.Wrong = append(r.Wrong, service.FieldError(f))
	}
	_, err := s.accept(c, r)
	wrong := append(slices.Clone(d.problems), othersWrong(d.problems, err, sameField)...)
	return invalid(wrong[:min(len(wrong), maxProblems)]...)
}

// sameField reports whether one of two fields of an event is the other, or in it.
func sameField(a, b string) bool {
	within := func(field, whole string) bool {
		rest, ok := strings.CutPrefix(field, whole)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	}
	return a == "body" || within(a, b) || within(b, a)
}

// accept publishes, and sets a header if the answer is an earlier request's.
func (s *server) accept(c *gin.Context, r service.PublishRequest) ([]service.Published, error) {
	r.By = principal(c)
	published, err := s.Service.Publish(c.Request.Context(), c.Param("tenant"), r)
	if err == nil && published[0].Replayed {
		c.Header(replayedHeader, "true")
	}
	return published, err
}

// idempotencyKey returns a request's key, "" if it has none. A header that is blank or given twice is refused: its
// sender believes that the request can be repeated.
func idempotencyKey(header http.Header) (key string, wrong []FieldError) {
	switch keys := header.Values(idempotencyHeader); {
	case len(keys) == 0:
		return "", nil
	case len(keys) > 1:
		return "", []FieldError{{idempotencyHeader, "is given twice"}}
	case strings.TrimSpace(keys[0]) == "":
		return "", []FieldError{{idempotencyHeader, "must not be blank"}}
	default:
		return keys[0], nil
	}
}

func acceptedView(p service.Published) Accepted {
	return Accepted{ID: p.ID, WorkflowID: orNull(p.WorkflowID)}
}

func (s *server) matchEvent(c *gin.Context) error {
	body, err := requireBody(c, s.MaxBody)
	if err != nil {
		return err
	}
	page, wrong := pageOf(c, maxMatches)
	d := decoder{matching: true, problems: wrong}
	event := d.event(body, "")
	if err := d.err(); err != nil {
		return err
	}
	leave, err := s.enter(c, principal(c), len(body))
	if err != nil {
		return err
	}
	defer leave()
	matches, next, err := s.Service.MatchEvent(c.Request.Context(), c.Param("tenant"), event, page)
	if err != nil {
		return err
	}
	view := func(m service.Match) Match {
		return Match{WebhookID: m.Webhook.ID, Name: m.Webhook.Name, URL: shownURL(principal(c), m.Webhook.URL), Status: m.Webhook.Status, Matched: m.Matched, Reason: m.Reason}
	}
	writeJSON(c, http.StatusOK, jsonType, listOf(matches, next, view))
	return nil
}

// requireBody reads a body that must be present.
func requireBody(c *gin.Context, limit int64) ([]byte, error) {
	body, err := readBody(c, limit)
	if err == nil && len(body) == 0 {
		return nil, newProblem(http.StatusBadRequest, "a body is required")
	}
	return body, err
}
