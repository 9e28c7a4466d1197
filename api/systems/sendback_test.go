package systems_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// webhookOf takes the one webhook out of an answer: out of its envelope or its list, if it is in one.
func webhookOf(t *testing.T, body []byte) string {
	t.Helper()
	var answer map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(body, &answer))
	for _, name := range []string{"data", "content", "webhooks", "results"} {
		inner, ok := answer[name]
		if !ok {
			continue
		}
		var list []json.RawMessage
		if json.Unmarshal(inner, &list) == nil {
			require.Len(t, list, 1)
			return string(list[0])
		}
		return string(inner)
	}
	return string(body)
}

// formOf writes a JSON object as a form.
func formOf(t *testing.T, object string) string {
	t.Helper()
	var members map[string]any
	require.NoError(t, json.Unmarshal([]byte(object), &members))
	values := url.Values{}
	for name, value := range members {
		switch value := value.(type) {
		case string:
			values.Set(name, value)
		case bool:
			values.Set(name, map[bool]string{true: "on", false: "0"}[value])
		case []any:
			if len(value) == 0 {
				values.Set(name, "")
			}
			for _, element := range value {
				values.Add(name+"[]", element.(string))
			}
		}
	}
	return values.Encode()
}

// reads are the ways to read a webhook, changes the ways to send it back.
func (w *walk) reads() (reads, changes []string) {
	for _, o := range w.api.Operations() {
		target := w.target(&o)
		switch {
		case strings.HasSuffix(target, "/previews") || strings.HasSuffix(target, "/events") || strings.HasSuffix(target, "Calls"):
		case o.Method == http.MethodGet:
			reads = append(reads, target)
		case o.Method == http.MethodPut && !strings.HasSuffix(target, "/test"), o.Method == http.MethodPatch,
			w.s.name == "im4" && len(o.Fields) > 0:
			changes = append(changes, o.Method+" "+target)
		}
	}
	return reads, changes
}

// TestSystemSendBack_WhatWasReadMayBeSentBack: every answer of GET or a list can be sent back by every call that changes a webhook,
// and changes nothing. This holds for keys that may see secrets and for others, and for webhooks that only /v1 can
// make.
func TestSystemSendBack_WhatWasReadMayBeSentBack(t *testing.T) {
	t.Parallel()
	states := map[string]func(*walk) error{
		"as it was made": func(*walk) error { return nil },
		"wildcards": func(w *walk) error {
			prefix, _, _ := strings.Cut(w.webhook.EventTypes[0], ".")
			types := []string{prefix + ".*"}
			if w.s.name == "phrase" {
				types = []string{"*"}
			}
			return w.update(service.WebhookChange{EventTypes: &types})
		},
		"every type": func(w *walk) error { return w.update(service.WebhookChange{EventTypes: &[]string{}}) },
		"no type": func(w *walk) error {
			return w.update(service.WebhookChange{EventTypes: &[]string{models.NoEventTypes}})
		},
		"no name": func(w *walk) error { return w.update(service.WebhookChange{Name: new("")}) },
		"paused": func(w *walk) error {
			_, err := w.Service.Pause(w.t.Context(), systemstest.Tenant, w.webhook.ID, "test")
			return err
		},
		"disabled": func(w *walk) error {
			_, err := w.Service.Disable(w.t.Context(), systemstest.Tenant, w.webhook.ID, "", "test")
			return err
		},
		"rotated": func(w *walk) error {
			_, err := w.Service.RotateSecret(w.t.Context(), systemstest.Tenant, w.webhook.ID, service.DefaultOverlap, "", "test")
			return err
		},
	}
	for name, prepare := range states {
		for i := range catalogued {
			if name == "rotated" && catalogued[i].name == "im4" { // its secret is the key that saves
				continue
			}
			t.Run(name+" "+catalogued[i].name, func(t *testing.T) {
				t.Parallel()
				w := newWalk(t, &catalogued[i])
				require.NoError(t, prepare(w))
				read := w.Env.Key(systemstest.Tenant, models.RoleRead)
				before := w.state()
				reads, changes := w.reads()
				for _, target := range reads {
					for _, key := range []string{w.Key, read} {
						got := w.Do(systemstest.Call{Method: http.MethodGet, Path: target, Authorization: w.s.authorize(key)})
						require.Equal(t, http.StatusOK, got.Code, got.Body.String())
						w.sendBack(changes, webhookOf(t, got.Body.Bytes()), before)
					}
				}
			})
		}
	}
}

func (w *walk) update(c service.WebhookChange) error {
	_, err := w.Service.UpdateWebhook(w.t.Context(), systemstest.Tenant, w.webhook.ID, c)
	return err
}

func (w *walk) sendBack(changes []string, object string, before []any) {
	w.t.Helper()
	require.NotEmpty(w.t, changes)
	for _, change := range changes {
		method, target, _ := strings.Cut(change, " ")
		answer := w.do(method, target, "application/json", object)
		require.Less(w.t, answer.Code, 300, "%s\n%s", object, answer.Body)
		require.Equal(w.t, before, w.state(), "%s %s", change, object)
		if w.s.name != "im4" && w.s.name != "languageweaver" {
			continue
		}
		answer = w.do(method, target, "application/x-www-form-urlencoded", formOf(w.t, object))
		require.Less(w.t, answer.Code, 300, "%s\n%s", formOf(w.t, object), answer.Body)
		require.Equal(w.t, before, w.state(), "%s %s", change, object)
	}
}

// Another webhook's id in the body is a mistake, and so is a mask as the first secret.
func TestSystemSendBack_AnotherIDAndAMaskAreRefused(t *testing.T) {
	t.Parallel()
	each(t, func(w *walk, o *systems.Operation) {
		for i := range o.Fields {
			switch f := &o.Fields[i]; {
			case f.Identity && o.Method != http.MethodPost:
				answer := w.do(o.Method, w.target(o), "application/json", w.object(o, f.Name, `"774bf6ee-90cf-11e9-b36d-0242ac120005"`))
				w.requireRefused(answer, f.Name+" is not the id of this webhook")
			case strings.Contains(strings.ToLower(f.Name), "secret") && f.Name != "secretTokenType" && o.Method == http.MethodPost:
				w.requireRefused(w.do(o.Method, w.target(o), "application/json", w.object(o, f.Name, `"********"`)), f.Name)
			}
		}
	})
}

// A key that may only read sees no token of a URL's query, and cannot search for one.
func TestSystemSendBack_AURLsQueryIsNotForReaders(t *testing.T) {
	t.Parallel()
	for i := range catalogued {
		t.Run(catalogued[i].name, func(t *testing.T) {
			t.Parallel()
			w := newWalk(t, &catalogued[i])
			require.NoError(t, w.update(service.WebhookChange{URL: new("https://a.example/hook?token=tok-8841")}))
			read := w.Env.Key(systemstest.Tenant, models.RoleRead)
			reads, _ := w.reads()
			for _, target := range reads {
				whole := w.Do(systemstest.Call{Method: http.MethodGet, Path: target, Authorization: w.s.authorize(w.Key)})
				require.Contains(t, whole.Body.String(), "token=tok-8841", target)
				hidden := w.Do(systemstest.Call{Method: http.MethodGet, Path: target, Authorization: w.s.authorize(read)})
				require.Equal(t, http.StatusOK, hidden.Code)
				require.Contains(t, hidden.Body.String(), "a.example/hook", target)
				require.NotContains(t, hidden.Body.String(), "tok", target)
				searched := w.Do(systemstest.Call{Method: http.MethodGet, Path: target + "?url=tok-8841", Authorization: w.s.authorize(read)})
				require.NotContains(t, searched.Body.String(), "a.example", target)
			}
		})
	}
}
