package wire

import (
	"net/http"
	"time"
)

const headerSignature = "Signature"

// im4 is InMemory4 (source: the vendor's documentation). The body is flat, `event` first and then the data's members in
// the order posted:
//
//	{"event":"order.created","project_id":12,"order_id":34}
//
// The Signature header is the client's API key itself, a shared token and not an HMAC; it is the webhook's newest secret.
type im4 struct{}

func (im4) body(_ Webhook, ev Event) ([]byte, error) {
	o := newObject(ev)
	o.string("event", ev.Type)
	o.splice(ev.Data, "event")
	return o.close()
}

func (im4) sign(h http.Header, wh Webhook, _ Event, _ time.Time, _ []byte) error {
	return setToken(h, headerSignature, wh.Secrets)
}

func (im4) validSecret(secret string) error { return validToken(secret) }

func (im4) headers() []string { return []string{headerSignature} }
