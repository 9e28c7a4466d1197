package wire

import (
	"net/http"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/rawjson"
)

// The headers of Svix, beside those of Standard Webhooks that mean the same.
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

// svix is what receivers of Svix get (https://docs.svix.com/receiving/verifying-payloads/how-manual): the data as they were
// posted, without an envelope, signed as Standard Webhooks are. Each of the three headers is sent under both names, so that
// receivers verify with either library.
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

// MessageID is an event's id as Svix's clients know it: msg_ in place of evt_, and before an id that its publisher chose.
func MessageID(eventID string) string {
	return messagePrefix + strings.TrimPrefix(eventID, eventPrefix)
}
