// Package svix serves the API of Svix under /svix, so that Svix's clients and receivers need only another base URL. An
// application is a tenant, an endpoint is a webhook, and a message is an event. An admin key is the organisation's
// token; a tenant's key or a portal link's token is an application's. docs/systems/svix.md says what works, what
// differs and what is missing.
//
// It holds only the mapping: the rules are in internal/service. It must not import another system's package.
package svix

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// Mount serves the API on a router whose base path is "/".
func Mount(r gin.IRouter, o systems.Options) { API(o).Mount(r) }

// API returns the API.
func API(o systems.Options) *systems.API {
	api := systems.New(systems.Form{
		System:       wire.ProfileSvix,
		Key:          systems.Bearer,
		Challenge:    "Bearer",
		TenantParam:  "app_id",
		TenantName:   func(id string) string { return strings.TrimPrefix(id, prefixApplication) },
		HidesTenants: true,
		Unbuilt:      unbuilt,
		Repeats:      true,
		Invalid:      http.StatusUnprocessableEntity,
		Fields: map[string]string{"event_types": "filterTypes", "rate_limit": "rateLimit", "type": "eventType", "data": "payload",
			"schema": "schemas", "overlap": "gracePeriodSeconds", "after": "iterator", "external_id": "eventId", "category": "groupName", "expires_in": "expiry",
			"statuses": "status", "limits.rate": "rateLimit", "feature_flags": "featureFlags"},
		Tokens: true,
		CORS:   true,
		Refuse: refuse,
	}, o)
	applications(api)
	endpoints(api)
	secrets(api)
	operational(api)
	eventTypes(api)
	messages(api)
	attempts(api)
	statistics(api)
	tasks(api)
	access(api)
	environment(api)
	health(api)
	return api
}

// Parts of paths.
const (
	base        = "/api/v1"
	appPath     = base + "/app"
	oneApp      = appPath + "/:app_id"
	endpointsOf = oneApp + "/endpoint"
	oneEndpoint = endpointsOf + "/:endpoint_id"
	messagesOf  = oneApp + "/msg"
	oneMessage  = messagesOf + "/:msg_id"
)

// health adds the calls that need no key.
func health(api *systems.API) {
	for _, path := range []string{base + "/health", base + "/health/ping"} {
		api.Handle(systems.Operation{Method: http.MethodGet, Path: path, Anyone: true}, nothing)
	}
}

// nothing answers that the call is done.
func nothing(q *systems.Request) error {
	q.Status(http.StatusNoContent)
	q.Writer.WriteHeaderNow()
	return nil
}

// orNil returns nil for "".
func orNil(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// isNotFound reports whether a use case returned NotFound.
func isNotFound(err error) bool { return isRefused(err, service.NotFound) }

func isRefused(err error, code service.Code) bool {
	refused, ok := errors.AsType[*service.Error](err)
	return ok && refused.Code == code
}

// codes are Svix's codes of its refusals.
var codes = map[int]string{
	http.StatusBadRequest:            "generic_error",
	http.StatusUnauthorized:          "authentication_failed",
	http.StatusForbidden:             "insufficient access",
	http.StatusNotFound:              codeNotFound,
	http.StatusMethodNotAllowed:      "method_not_allowed",
	http.StatusRequestTimeout:        "request_timeout",
	http.StatusConflict:              "conflict",
	http.StatusRequestEntityTooLarge: "payload_too_large",
	http.StatusUnsupportedMediaType:  "unsupported_media_type",
	http.StatusTooManyRequests:       "rate_limit",
	http.StatusInternalServerError:   "server_error",
	http.StatusNotImplemented:        "not_implemented",
	http.StatusServiceUnavailable:    "service_unavailable",
}

const codeNotFound = "not_found"

// wrong says what is wrong with one field of a request.
type wrong struct {
	Loc  []any  `json:"loc"`
	Msg  string `json:"msg"`
	Type string `json:"type"`
}

// refuse answers {"code":"not_found","detail":"Entity not found"}. If fields are wrong, it answers
// {"detail":[{"loc":["body","url"],"msg":"…","type":"value_error"}]}.
func refuse(c *gin.Context, r systems.Refusal) {
	if r.Status == http.StatusUnprocessableEntity {
		detail := []wrong{}
		for _, f := range r.Fields {
			detail = append(detail, wrong{location(c, f.Field), f.Message, "value_error"})
		}
		if len(detail) == 0 {
			detail = append(detail, wrong{[]any{"body"}, r.Message, "value_error"})
		}
		c.PureJSON(r.Status, gin.H{"detail": detail})
		return
	}
	code, detail := r.Code, r.Error()
	if code == "" {
		code = codes[r.Status]
	}
	if code == "" {
		code = "generic_error"
	}
	if r.Status == http.StatusNotFound {
		detail = "Entity not found"
	}
	c.PureJSON(r.Status, gin.H{"code": code, "detail": detail})
}

// location returns the location of a field: ["body","filterTypes",2] for "filterTypes[2]".
func location(c *gin.Context, field string) []any {
	name, _, _ := strings.Cut(field, "[")
	at := "body"
	switch {
	case field == "Idempotency-Key":
		at = "header"
	case c.Request.URL.Query().Has(name), c.Request.URL.Query().Has(field), field == "query":
		at = "query"
	}
	loc := []any{at}
	for part := range strings.FieldsFuncSeq(field, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		if n, err := strconv.Atoi(part); err == nil {
			loc = append(loc, n)
		} else if part != at {
			loc = append(loc, part)
		}
	}
	return loc
}

// The prefixes of Svix's ids. The rest of an id is the same as after Posthorn's own prefix.
const (
	prefixApplication = "app_"
	prefixEndpoint    = "ep_"
	prefixMessage     = "msg_"
	prefixAttempt     = "atmpt_"
	prefixTask        = "qtask_"
)

func applicationID(tenant string) string { return prefixApplication + models.TenantSlug(tenant) }

func endpointID(webhookID string) string {
	return prefixEndpoint + strings.TrimPrefix(webhookID, models.PrefixWebhook)
}

func attemptID(id string) string { return prefixAttempt + strings.TrimPrefix(id, models.PrefixAttempt) }

// native returns Posthorn's own id for one of Svix's, which may already be Posthorn's own; "" = it is neither.
func native(id, svix, own string) string {
	rest, ok := strings.CutPrefix(strings.ToLower(id), svix)
	if !ok {
		rest, ok = strings.CutPrefix(strings.ToLower(id), own)
	}
	if id = own + rest; !ok || !models.HasIDForm(own, id) {
		return ""
	}
	return id
}

// eventIDs returns the ids that a message's event may have: the publisher may have chosen it.
func eventIDs(id string) []string {
	if strings.HasPrefix(id, models.PrefixEvent) {
		return []string{id}
	}
	rest, ok := strings.CutPrefix(id, prefixMessage)
	switch {
	case !ok || rest == "" || len(rest) > maxEventID:
		return nil
	case models.HasIDForm(models.PrefixEvent, models.PrefixEvent+rest):
		return []string{models.PrefixEvent + rest, rest}
	}
	return []string{rest, models.PrefixEvent + rest}
}

// maxEventID is the longest id that a publisher can choose.
const maxEventID = 128
