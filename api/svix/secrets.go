package svix

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/wire"
)

// maxGrace is how long a rotated secret signs in Svix, in seconds.
const maxGrace = 7 * 24 * 60 * 60

func secrets(api *systems.API) {
	api.Handle(systems.Operation{Method: http.MethodGet, Path: oneEndpoint + "/secret", Private: true}, showSecret)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: oneEndpoint + "/secret/rotate", Body: systems.OptionalJSON, Fields: []systems.Field{
		{Name: "key"}, {Name: "gracePeriodSeconds", Kind: systems.Number, Max: maxGrace}}}, rotate)
	headers := systems.Field{Name: "headers", Kind: systems.Map, Required: true}
	api.Handle(systems.Operation{Method: http.MethodGet, Path: oneEndpoint + "/headers"}, showHeaders)
	api.Handle(systems.Operation{Method: http.MethodPut, Path: oneEndpoint + "/headers", Body: systems.JSON, Fields: []systems.Field{headers,
		{Name: "sensitive", Kind: systems.Names, ReadOnly: true}}}, putHeaders)
	api.Handle(systems.Operation{Method: http.MethodPatch, Path: oneEndpoint + "/headers", Body: systems.JSON, Fields: []systems.Field{headers,
		{Name: "deleteHeaders", Kind: systems.Names}}}, patchHeaders)
}

// showSecret shows the secret that receivers of Svix's wire format verify with: the signing secret, or the public key
// that belongs to a private one. Other APIs show the secrets of their endpoints once, or have rules of their own.
func showSecret(q *systems.Request) error {
	w, err := endpointNamed(q)
	switch {
	case err != nil:
		return err
	case w.Profile != wire.ProfileSvix:
		return service.Refuse(service.Forbidden, "the secret of an endpoint with profile %s is not shown here", w.Profile)
	}
	secret, err := q.Secret(&w)
	switch {
	case err != nil:
		return err
	case secret == "":
		return service.Refuse(service.Conflict, "the signing secret cannot be opened: rotate it")
	}
	key, err := wire.VerificationKey(secret)
	if err != nil {
		return err
	}
	if err := q.NoteShown(); err != nil {
		return err
	}
	q.PureJSON(http.StatusOK, struct {
		Key string `json:"key"`
	}{key})
	return nil
}

func rotate(q *systems.Request) error {
	w, err := endpointNamed(q)
	if err == nil {
		err = q.Err()
	}
	if err != nil {
		return err
	}
	overlap := time.Duration(q.In.Number("gracePeriodSeconds", int(service.DefaultOverlap/time.Second))) * time.Second
	_, err = q.API.Service.RotateSecret(q.Ctx(), q.Tenant, w.ID, overlap, prefixed(q.In.String("key")), q.Who.Name)
	refused, ok := errors.AsType[*service.Error](err)
	switch {
	case ok && refused.Code == service.Conflict: // Svix's status for too many old secrets
		return &systems.Refusal{Status: http.StatusBadRequest, Code: "limit_reached", Message: refused.Detail}
	case ok && refused.Code == service.Invalid:
		for _, f := range refused.Fields {
			if f.Field == "secret" {
				f.Field = "key"
			}
			q.Problemf(f.Field, "%s", f.Message)
		}
		return q.Err()
	case err != nil:
		return err
	}
	return nothing(q)
}

// telling are words in header names that suggest that the value is a credential.
var telling = []string{"auth", "token", "secret", "key", "password", "passwd", "cookie", "credential", "session", "signature", "bearer", "jwt"}

func sensitive(header string) bool {
	return slices.ContainsFunc(telling, func(part string) bool { return strings.Contains(strings.ToLower(header), part) })
}

// showHeaders shows an endpoint's headers with their values. It shows only the names of headers that look like
// credentials. A key that may only read sees only names, and so does everyone for an endpoint with another wire
// format.
func showHeaders(q *systems.Request) error {
	w, err := endpointNamed(q)
	if err != nil {
		return err
	}
	values, err := q.API.Service.HeaderValues(&w)
	if err != nil {
		return err
	}
	v := struct {
		Headers   map[string]string `json:"headers"`
		Sensitive []string          `json:"sensitive"`
	}{map[string]string{}, []string{}}
	for name, value := range values {
		if sensitive(name) || !q.MaySeeSecrets() || w.Profile != wire.ProfileSvix {
			v.Sensitive = append(v.Sensitive, name)
		} else {
			v.Headers[name] = value
		}
	}
	slices.Sort(v.Sensitive)
	q.PureJSON(http.StatusOK, v)
	return nil
}

func putHeaders(q *systems.Request) error {
	return setHeaders(q, service.WebhookChange{Headers: new(texts(q.In.Map("headers")))})
}

// patchHeaders changes the headers in the body, and removes those that are null or in deleteHeaders. It does not read
// the other values: a mask stands for a header's current value.
func patchHeaders(q *systems.Request) error {
	patch := map[string]*string{}
	for _, name := range q.In.List("deleteHeaders") {
		patch[name] = nil
	}
	maps.Copy(patch, q.In.Map("headers"))
	return setHeaders(q, service.WebhookChange{PatchHeaders: patch})
}

func setHeaders(q *systems.Request, c service.WebhookChange) error {
	w, err := endpointNamed(q)
	if err == nil {
		err = q.Err()
	}
	if err != nil {
		return err
	}
	c.By = q.Who.Name
	if _, err := q.API.Service.UpdateWebhook(q.Ctx(), q.Tenant, w.ID, c); err != nil {
		return err
	}
	return nothing(q)
}
