package service

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// withoutEchoes removes from a change everything that only repeats what is shown of the webhook, so that an answer can
// be sent back. The schedule and the timeout are shown as in force: if they were stored as the webhook's own, they
// would no longer follow the installation's.
func (s *Service) withoutEchoes(w *models.Webhook, c WebhookChange) WebhookChange {
	policy, timeout := s.Effective(w)
	if r := c.Retry; r != nil && r.Initial == policy.Initial && r.Backoff == policy.Backoff && r.MaxInterval == policy.MaxInterval &&
		r.Max != nil && *r.Max == policy.Max {
		c.Retry = nil
	}
	if c.Timeout != nil && *c.Timeout == timeout {
		c.Timeout = nil
	}
	return c
}

// unmasked replaces masked values of headers with the current ones.
func unmasked(p *problems, headers, now map[string]string) map[string]string {
	values := maps.Clone(headers)
	for name, value := range headers {
		if value != wire.Masked {
			continue
		}
		kept, ok := now[name]
		for other, its := range now {
			if !ok && strings.EqualFold(other, name) {
				kept, ok = its, true
			}
		}
		if !ok {
			p.addf("headers", "header %q has a masked value, and the webhook has no such header", name)
		}
		values[name] = kept
	}
	return values
}

// patched returns headers with the changes of a patch. It knows a header's name in any case.
func patched(headers map[string]string, patch map[string]*string) map[string]string {
	values := maps.Clone(headers)
	maps.DeleteFunc(values, func(has, _ string) bool {
		for name := range patch {
			if strings.EqualFold(has, name) {
				return true
			}
		}
		return false
	})
	for name, value := range patch {
		if value != nil {
			values[name] = *value
		}
	}
	return values
}

// sealChanged encrypts only the parts that differ from before: reencrypting a part would look like a change.
func (s *Service) sealChanged(w *models.Webhook, o, before *sealed) (err error) {
	if len(w.Headers) == 0 || !maps.Equal(o.headers, before.headers) {
		if w.Headers, err = s.sealJSON(o.headers, headersContext(w.ID)); err != nil {
			return err
		}
		w.SealedWith = int64(s.Box.Primary())
	}
	if len(w.Secrets) == 0 || !reflect.DeepEqual(o.secrets, before.secrets) {
		w.Secrets, err = s.sealJSON(o.secrets, secretsContext(w.ID))
		w.SealedWith = int64(s.Box.Primary())
	}
	return err
}

// asWritten returns the old JSON, if the new one has the same meaning, as when a client has read and written it: other
// white space, another order of names, another form of a number.
func asWritten(was, now string) string {
	a, err := decode(was)
	if err != nil {
		return now
	}
	if b, err := decode(now); err == nil && sameJSON(a, b) {
		return was
	}
	return now
}

func decode(text string) (v any, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func sameJSON(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, sameJSON)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameJSON)
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a.String(), b.String())
	default:
		return a == b
	}
}

// exactDigits is the number of digits up to which a float64 surely distinguishes numbers.
const exactDigits = 15

func sameNumber(a, b string) bool {
	if a == b || len(a) > exactDigits || len(b) > exactDigits {
		return a == b
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && x == y
}
