package wire

import (
	"net/http"
	"time"
)

const headerMemsourceToken = "X-Memsource-Token" //nolint:gosec // the name of a header, not a credential

// phrase is Memsource, now Phrase TMS (source: the vendor's documentation and public SDKs). The body is the
// event's own object, then what the system adds at its top level:
//
//	{"jobParts":[…],"event":"JOB_CREATED","timestamp":1478106414,"eventUid":"evt_…"}
//
// `timestamp` is the event's time in seconds since the epoch, `eventUid` its id. Data posted with these members, as the
// document prints its examples, does not get them twice: the event's own are sent.
//
// The token header is the webhook's newest secret, a shared token and not an HMAC; without a secret it is left out.
type phrase struct{}

func (phrase) body(_ Webhook, ev Event) ([]byte, error) {
	o := newObject(ev)
	o.splice(ev.Data, "event", "timestamp", "eventUid")
	o.string("event", ev.Type)
	o.seconds("timestamp", ev.Timestamp)
	o.string("eventUid", ev.ID)
	return o.close()
}

func (phrase) sign(h http.Header, wh Webhook, _ Event, _ time.Time, _ []byte) error {
	return setToken(h, headerMemsourceToken, wh.Secrets)
}

func (phrase) validSecret(secret string) error { return validToken(secret) }

func (phrase) headers() []string { return []string{headerMemsourceToken} }
