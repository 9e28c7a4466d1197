// Package phrase serves the webhook API of Memsource, now Phrase TMS, under /phrase/web, as the vendor's
// documentation, public API and SDKs describe it. Webhooks are in webhooks.go, the log of their calls in calls.go.
// docs/systems/phrase.md lists the choices made where the documents are silent.
//
// It holds only the mapping: the rules are in internal/service. It must not import another system's package.
package phrase

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/wire"
)

// Mount serves the API on a router whose base path is "/".
func Mount(r gin.IRouter, o systems.Options) { API(o).Mount(r) }

const (
	webhooksPath = "/web/api2/v2/webhooks"
	callsPath    = "/web/api2/v1/webhooksCalls"
)

// API returns the API.
func API(o systems.Options) *systems.API {
	api := systems.New(systems.Form{
		System:    wire.ProfilePhrase,
		Key:       key,
		Challenge: "ApiToken",
		Invalid:   http.StatusBadRequest,
		Fields:    map[string]string{"event_types": "events", "event_type": "event", "secret": "secretToken", "calls": "webhookCalls"},
		Refuse:    refuse,
	}, o)
	for _, r := range []struct {
		systems.Operation
		do systems.Handler
	}{
		{systems.Operation{Method: http.MethodPost, Path: webhooksPath, Body: systems.JSON, Fields: webhookFields}, create},
		{systems.Operation{Method: http.MethodGet, Path: webhooksPath, Query: slices.Concat(pageFields, listFields)}, list},
		{systems.Operation{Method: http.MethodGet, Path: webhooksPath + "/previews", Query: []systems.Field{eventsField}}, previews},
		{systems.Operation{Method: http.MethodGet, Path: webhooksPath + "/:uid"}, show},
		{systems.Operation{Method: http.MethodPut, Path: webhooksPath + "/:uid", Body: systems.JSON, Fields: webhookFields}, update},
		{systems.Operation{Method: http.MethodDelete, Path: webhooksPath + "/:uid"}, remove},
		{systems.Operation{Method: http.MethodPost, Path: webhooksPath + "/:uid/test", Query: []systems.Field{{Name: "event", Required: true}}}, test},
		{systems.Operation{Method: http.MethodGet, Path: callsPath, Query: slices.Concat(pageFields, callFields, callIDs)}, calls},
		{systems.Operation{Method: http.MethodPost, Path: callsPath + "/replay", Body: systems.JSON, Fields: replayFields}, replay},
		{systems.Operation{Method: http.MethodPost, Path: callsPath + "/replay/latest", Query: slices.Concat(latestFields, callFields)}, replayLatest},
	} {
		api.Handle(r.Operation, r.do)
	}
	return api
}

// key returns the API token in "Authorization: ApiToken <token>", or a bearer token.
func key(r *http.Request) string {
	if token := systems.Scheme(r, "ApiToken"); token != "" {
		return token
	}
	return systems.Bearer(r)
}

var errorCodes = map[int]string{
	http.StatusBadRequest:            "InvalidRequest",
	http.StatusUnauthorized:          "AuthInvalidCredentials",
	http.StatusForbidden:             "AccessDenied",
	http.StatusNotFound:              "ObjectNotFound",
	http.StatusMethodNotAllowed:      "MethodNotAllowed",
	http.StatusConflict:              "Conflict",
	http.StatusRequestEntityTooLarge: "RequestTooLarge",
	http.StatusInternalServerError:   "InternalError",
}

// refuse answers {"errorCode":"ObjectNotFound","errorDescription":"…"}.
func refuse(c *gin.Context, r systems.Refusal) {
	code := cmp.Or(errorCodes[r.Status], strings.ReplaceAll(http.StatusText(r.Status), " ", ""))
	c.PureJSON(r.Status, gin.H{"errorCode": code, "errorDescription": r.Error()})
}

// instant returns a time in the API's format.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

const maxPageSize = 50

// pageRequest says which page of a list is requested.
type pageRequest struct{ number, size int }

var pageFields = []systems.Field{
	{Name: "pageNumber", Kind: systems.Number, Max: 1_000_000},
	{Name: "pageSize", Kind: systems.Number, Min: 1, Max: maxPageSize},
}

func readPage(q *systems.Request) pageRequest {
	return pageRequest{number: q.In.Number("pageNumber", 0), size: q.In.Number("pageSize", maxPageSize)}
}

func (p pageRequest) offset() int { return p.number * p.size }

// page is a page of a list.
type page[T any] struct {
	TotalElements    int64 `json:"totalElements"`
	TotalPages       int64 `json:"totalPages"`
	PageSize         int   `json:"pageSize"`
	PageNumber       int   `json:"pageNumber"`
	NumberOfElements int   `json:"numberOfElements"`
	Content          []T   `json:"content"`
}

func answerPage[T any](q *systems.Request, p pageRequest, total int64, content []T) error {
	size := int64(p.size)
	q.PureJSON(http.StatusOK, page[T]{TotalElements: total, TotalPages: (total + size - 1) / size, PageSize: p.size,
		PageNumber: p.number, NumberOfElements: len(content), Content: content})
	return nil
}

var eventsField = systems.Field{Name: "events", Kind: systems.JoinedNames}

// aliases are the vendor's own alternative names of events.
var aliases = map[string]string{"PROJECT_TEMPLATE_CHANGED": "PROJECT_TEMPLATE_UPDATED"}

// known replaces aliases of events with the catalogue's names.
func known(names []string) []string {
	for i, name := range names {
		names[i] = cmp.Or(aliases[name], name)
	}
	return names
}

// eventFilter reads the events to filter a list by. Any of them matches; none = all.
func eventFilter(q *systems.Request) []string {
	events := known(q.In.List("events"))
	if len(events) > 0 {
		q.CheckEvents("events", events, nil)
	}
	return events
}

// unprocessed answers a replay that cannot be carried out now with 400: the vendor's API has no 409.
func unprocessed(err error) error {
	var refused *service.Error
	if errors.As(err, &refused) && refused.Code == service.Conflict {
		return &systems.Refusal{Status: http.StatusBadRequest, Message: refused.Detail}
	}
	return err
}
