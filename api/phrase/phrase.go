// Package phrase serves the webhook API of Memsource, now Phrase TMS, under /phrase/web, as
// 001_114d07e2f43a1b51.txt and the vendor's public API and SDKs document it: webhooks in webhooks.go, the log of their
// calls in calls.go. docs/systems/phrase.md says what was chosen where the documents are silent.
//
// It holds the mapping alone: what may change is said in internal/hooks. It must not import another system's package.
package phrase

import (
	"cmp"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/internal/wire"
)

// Mount serves the API on a router whose base path is "/".
func Mount(r gin.IRouter, o systems.Options) {
	api := systems.New(systems.Form{
		System:    wire.ProfilePhrase,
		Key:       key,
		Challenge: "ApiToken",
		Invalid:   http.StatusBadRequest,
		Fields:    map[string]string{"event_types": "events", "event_type": "event", "secret": "secretToken", "calls": "webhookCalls"},
		Refuse:    refuse,
	}, o)
	api.Handle(http.MethodPost, "/web/api2/v2/webhooks", create)
	api.Handle(http.MethodGet, "/web/api2/v2/webhooks", list)
	api.Handle(http.MethodGet, "/web/api2/v2/webhooks/previews", previews)
	api.Handle(http.MethodGet, "/web/api2/v2/webhooks/:uid", show)
	api.Handle(http.MethodPut, "/web/api2/v2/webhooks/:uid", update)
	api.Handle(http.MethodDelete, "/web/api2/v2/webhooks/:uid", remove)
	api.Handle(http.MethodPost, "/web/api2/v2/webhooks/:uid/test", test)
	api.Handle(http.MethodGet, "/web/api2/v1/webhooksCalls", calls)
	api.Handle(http.MethodPost, "/web/api2/v1/webhooksCalls/replay", replay)
	api.Handle(http.MethodPost, "/web/api2/v1/webhooksCalls/replay/latest", replayLatest)
	api.Mount(r)
}

// key is an API token, "Authorization: ApiToken <token>", or a bearer token.
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
	http.StatusTooManyRequests:       "TooManyRequests",
	http.StatusServiceUnavailable:    "ServiceUnavailable",
	http.StatusInternalServerError:   "InternalError",
}

// refuse answers {"errorCode":"ObjectNotFound","errorDescription":"…"}.
func refuse(c *gin.Context, r systems.Refusal) {
	c.PureJSON(r.Status, gin.H{"errorCode": cmp.Or(errorCodes[r.Status], "InvalidRequest"), "errorDescription": r.Error()})
}

// instant is a time as the API writes it.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

const maxPageSize = 50

// pageRequest is which page of a list is asked for.
type pageRequest struct{ number, size int }

func readPage(q *systems.Request) (p pageRequest, err error) {
	if p.number, err = q.Int("pageNumber", 0, 0, 1_000_000); err != nil {
		return p, err
	}
	p.size, err = q.Int("pageSize", maxPageSize, 1, maxPageSize)
	return p, err
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

// eventFilter reads the events that a list is filtered by, any of which will do.
func eventFilter(q *systems.Request) ([]string, error) {
	events := systems.Split(q.QueryArray("events")...)
	if len(events) == 0 {
		return nil, nil
	}
	return events, q.CheckEvents("events", events)
}

// unprocessed answers what cannot be carried out just now with 400: the vendor's API has no 409.
func unprocessed(err error) error {
	var refused *hooks.Error
	if errors.As(err, &refused) && refused.Code == hooks.Conflict {
		return &systems.Refusal{Status: http.StatusBadRequest, Message: refused.Detail}
	}
	return err
}
