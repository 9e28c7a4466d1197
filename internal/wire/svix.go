package wire

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/rawjson"
)

// The headers of Svix, next to those of Standard Webhooks with the same meaning.
const (
	headerSvixID        = "Svix-Id"
	headerSvixTimestamp = "Svix-Timestamp"
	headerSvixSignature = "Svix-Signature"
)

// Prefixes of an event's id: ours, and Svix's for the same event.
const (
	eventPrefix   = "evt_"
	messagePrefix = "msg_"
)

// svix is the form of Svix's deliveries (https://docs.svix.com/receiving/verifying-payloads/how-manual): the data as it
// was posted, without an envelope, signed like Standard Webhooks. Posthorn's operational events have the form of Svix's
// operational webhooks. Each of the three headers is sent under both names, so that receivers can verify with either
// library.
type svix struct{}

func (svix) body(_ Webhook, ev Event) ([]byte, error) {
	if strings.HasPrefix(ev.Type, operationalPrefix) {
		return operational(ev)
	}
	body := rawjson.Trim(ev.Data)
	if len(body) == 0 {
		return nil, ErrMalformedData
	}
	return body, nil
}

func (svix) sign(h http.Header, wh Webhook, ev Event, at time.Time, body []byte) error {
	if err := signStandard(h, wh.Secrets, MessageID(ev.ID), at, body, signatureOfSecret); err != nil {
		return err
	}
	for name, twin := range map[string]string{headerWebhookID: headerSvixID, headerWebhookTimestamp: headerSvixTimestamp,
		headerWebhookSignature: headerSvixSignature} {
		if values := h.Values(name); len(values) > 0 {
			h.Set(twin, values[0])
		}
	}
	return nil
}

func (svix) validSecret(secret string) error { return standard{}.validSecret(secret) }

func (svix) headers() []string {
	return append(standard{}.headers(), headerSvixID, headerSvixTimestamp, headerSvixSignature)
}

// MessageID returns an event's id in Svix's form: msg_ in place of evt_, and msg_ in front of an id that its publisher
// chose.
func MessageID(eventID string) string {
	return messagePrefix + strings.TrimPrefix(eventID, eventPrefix)
}

// operationalPrefix begins the types of the events that Posthorn publishes about webhooks.
const operationalPrefix = "webhook."

// operationalNames are Svix's names of those types that it has, too.
var operationalNames = map[string]string{
	"webhook.deactivated":        "endpoint.disabled",
	"webhook.created":            "endpoint.created",
	"webhook.updated":            "endpoint.updated",
	"webhook.deleted":            "endpoint.deleted",
	"webhook.enabled":            "endpoint.enabled",
	"webhook.delivery.failing":   "message.attempt.failing",
	"webhook.delivery.failed":    "message.attempt.exhausted",
	"webhook.delivery.recovered": "message.attempt.recovered",
}

// OperationalName is what receivers of profile svix know the type of an operational event by: Svix's name, or Posthorn's own
// where Svix has no such type.
func OperationalName(eventType string) string {
	if name, ok := operationalNames[eventType]; ok {
		return name
	}
	return eventType
}

// operationalData is what is used of the data of an operational event (internal/catalog/operational.json).
type operationalData struct {
	Webhook struct {
		ID        string `json:"id"`
		UID       string `json:"uid"`
		Tenant    string `json:"tenant"`
		TenantUID string `json:"tenant_uid"`
	} `json:"webhook"`
	FailedAttempts *int64 `json:"failed_attempts"`
	Threshold      *int64 `json:"threshold"`
	LastSuccessAt  string `json:"last_success_at"`
	LastFailure    *struct {
		At string `json:"at"`
	} `json:"last_failure"`
	Delivery *struct {
		EventID    string `json:"event_id"`
		ExternalID string `json:"external_id"`
	} `json:"delivery"`
	LastAttempt struct {
		ID         string `json:"id"`
		At         string `json:"at"`
		StatusCode *int   `json:"status_code"`
	} `json:"last_attempt"`
}

// operationalWebhook is Svix's operational webhook about an endpoint.
type operationalWebhook struct {
	Type string `json:"type"`
	Data any    `json:"data"`
}

// operationalEndpoint is the endpoint of an operational webhook, and all that is said about a change of it.
type operationalEndpoint struct {
	AppID       string  `json:"appId"`
	AppUID      *string `json:"appUid"`
	EndpointID  string  `json:"endpointId"`
	EndpointUID *string `json:"endpointUid"`
}

// operationalHealth is about an endpoint that keeps failing. Svix does not have the numbers.
type operationalHealth struct {
	operationalEndpoint
	FailSince      string `json:"failSince"`
	Trigger        string `json:"trigger,omitempty"`
	FailedAttempts *int64 `json:"failedAttempts,omitempty"`
	Threshold      *int64 `json:"threshold,omitempty"`
}

// operationalMessage is about a message to an endpoint.
type operationalMessage struct {
	operationalEndpoint
	MessageID   string             `json:"msgId"`
	EventID     *string            `json:"msgEventId"`
	LastAttempt operationalAttempt `json:"lastAttempt"`
}

type operationalAttempt struct {
	ID         string `json:"id"`
	StatusCode int    `json:"responseStatusCode"` // 0 = there was no answer
	Timestamp  string `json:"timestamp"`
}

// operational gives an operational event the form that Svix's have.
func operational(ev Event) ([]byte, error) {
	var in operationalData
	if err := json.Unmarshal(ev.Data, &in); err != nil {
		return nil, ErrMalformedData
	}
	tenant := in.Webhook.Tenant
	if tenant == "" {
		tenant = ev.Tenant
	}
	about := operationalEndpoint{AppID: "app_" + tenant, AppUID: orNull(in.Webhook.TenantUID),
		EndpointID: "ep_" + strings.TrimPrefix(in.Webhook.ID, "wh_"), EndpointUID: orNull(in.Webhook.UID)}
	out := operationalWebhook{Type: OperationalName(ev.Type), Data: about}
	switch {
	case in.Delivery != nil:
		m := operationalMessage{operationalEndpoint: about, MessageID: MessageID(in.Delivery.EventID), EventID: orNull(in.Delivery.ExternalID),
			LastAttempt: operationalAttempt{ID: "atmpt_" + strings.TrimPrefix(in.LastAttempt.ID, "att_"), Timestamp: in.LastAttempt.At}}
		if code := in.LastAttempt.StatusCode; code != nil {
			m.LastAttempt.StatusCode = *code
		}
		out.Data = m
	case in.Threshold != nil:
		out.Data = in.health(ev, about, out.Type)
	}
	return json.Marshal(out)
}

// health returns what an event says about an endpoint that keeps failing: since it last received something, or since its last
// failure if it never has.
func (in *operationalData) health(ev Event, about operationalEndpoint, name string) operationalHealth {
	h := operationalHealth{operationalEndpoint: about, FailedAttempts: in.FailedAttempts, Threshold: in.Threshold}
	switch {
	case in.LastSuccessAt != "":
		h.FailSince = in.LastSuccessAt
	case in.LastFailure != nil:
		h.FailSince = in.LastFailure.At
	default:
		h.FailSince = ev.Timestamp.UTC().Format(time.RFC3339Nano)
	}
	if name != ev.Type {
		h.Trigger = "automatic"
	}
	return h
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
