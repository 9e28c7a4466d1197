package wire

import (
	"net/http"
	"slices"
	"time"
)

// up42 is UP42 (source: the vendor's documentation). Its documents name the events and a secret "used to generate
// webhook signatures", but show neither a delivery's body nor how it is signed. Chosen: the event's name as registered
// for, its time, and its object under `data`, as in every answer of that API:
//
//	{"event":"order.status","timestamp":"2026-01-02T03:04:05.678Z","data":{"orderId":"…","status":"FULFILLED"}}
//
// signed as Standard Webhooks, only if a secret is set, with the given secret's bytes as the key, because the
// document's own sample secret is not base64.
type up42 struct{ standard }

func (up42) body(_ Webhook, ev Event) ([]byte, error) {
	o := newObject(ev)
	o.string("event", ev.Type)
	o.time("timestamp", ev.Timestamp)
	o.raw("data", ev.Data)
	return o.close()
}

func (up42) sign(h http.Header, wh Webhook, ev Event, at time.Time, body []byte) error {
	secrets := slices.DeleteFunc(slices.Clone(wh.Secrets), func(s string) bool { return s == "" })
	return signStandard(h, secrets, ev.ID, at, body, signatureOfBytes)
}

// validSecret also accepts "", which in that API means none.
func (up42) validSecret(secret string) error {
	if secret == "" {
		return nil
	}
	return validKey(secret)
}

func signatureOfBytes(secret string, content []byte) (string, error) {
	if err := validKey(secret); err != nil {
		return "", err
	}
	return "v1," + hmacSHA256([]byte(secret), content), nil
}
