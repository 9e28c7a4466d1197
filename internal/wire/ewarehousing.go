package wire

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/rawjson"
)

const (
	headerHmacSHA256 = "X-Hmac-SHA256"
	headerXWebhookID = "X-Webhook-Id"
)

// Attributes of an event that the eWarehousing envelope carries.
const (
	attributeEntity   = "entity"
	attributeEntityID = "entityId"
	attributeCustomer = "customer"
)

// eWarehousing is the eWarehousing Solutions middleware (source: the vendor's documentation and public webhook pages):
//
//	{"body":{…},"group":"stock","action":"updated","entity":"variant","customer":"<id>","entityId":"<id>"}
//
// Group and action are the two halves of the topic. Entity, customer and entityId come from the event's attributes.
// Without them they are the group, the tenant's id, and the data's own `id` (the vendor's example repeats it), or null
// if there is none.
//
// X-Hmac-SHA256 is the base64 HMAC-SHA256 of the body under the newest secret, whose bytes are the key. X-Webhook-Id
// is the same for every attempt at an event. The vendor's are bare UUIDs and receivers may store them as such, so of
// an id "evt_<uuid>" only the UUID is sent; any other id is sent whole.
type eWarehousing struct{}

func (eWarehousing) body(_ Webhook, ev Event) ([]byte, error) {
	group, action, _ := strings.Cut(ev.Type, ".")
	o := newObject(ev)
	o.raw("body", ev.Data)
	o.string("group", group)
	o.string("action", action)
	o.string("entity", attribute(ev, attributeEntity, group))
	o.string("customer", attribute(ev, attributeCustomer, ev.Tenant))
	if id := attribute(ev, attributeEntityID, dataID(ev.Data)); id != "" {
		o.string("entityId", id)
	} else {
		o.null("entityId")
	}
	return o.close()
}

func (eWarehousing) sign(h http.Header, wh Webhook, ev Event, _ time.Time, body []byte) error {
	h.Set(headerXWebhookID, bareUUID(ev.ID))
	if len(wh.Secrets) == 0 {
		return nil
	}
	secret := wh.Secrets[0]
	if err := validKey(secret); err != nil {
		return err
	}
	h.Set(headerHmacSHA256, hmacSHA256([]byte(secret), body))
	return nil
}

func (eWarehousing) validSecret(secret string) error { return validKey(secret) }

func (eWarehousing) headers() []string { return []string{headerHmacSHA256, headerXWebhookID} }

func attribute(ev Event, name, otherwise string) string {
	if v := ev.Attributes[name]; v != "" {
		return v
	}
	return otherwise
}

// dataID returns the `id` member of an object if it is a string, else "".
func dataID(data []byte) string {
	data = rawjson.Trim(data)
	if len(data) == 0 || data[0] != '{' {
		return ""
	}
	id := ""
	for name, pair := range rawjson.Members(data) {
		if pair == nil || rawjson.Name(name) != "id" {
			continue
		}
		id = ""
		// A non-string id leaves it empty. If names repeat the last one counts, as for most parsers.
		_ = json.Unmarshal(rawjson.Value(name, pair), &id)
	}
	return id
}

// bareUUID turns "evt_<uuid>" into "<uuid>", with dashes. Only ids of Posthorn's own form lose their prefix: two
// different ids must stay different, or receivers would take one event for a repeat of the other.
func bareUUID(id string) string {
	uuid, own := strings.CutPrefix(id, "evt_")
	if !own {
		return id
	}
	if len(uuid) == 32 {
		uuid = uuid[:8] + "-" + uuid[8:12] + "-" + uuid[12:16] + "-" + uuid[16:20] + "-" + uuid[20:]
	}
	if len(uuid) != 36 {
		return id
	}
	for i := range len(uuid) {
		switch i {
		case 8, 13, 18, 23:
			if uuid[i] != '-' {
				return id
			}
		default:
			if !strings.ContainsRune("0123456789abcdefABCDEF", rune(uuid[i])) {
				return id
			}
		}
	}
	return uuid
}
