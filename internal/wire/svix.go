package wire

import (
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
// was posted, without an envelope, signed like Standard Webhooks. Each of the three headers is sent under both names,
// so that receivers can verify with either library.
type svix struct{}

func (svix) body(_ Webhook, ev Event) ([]byte, error) {
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
