package svix

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

func attempts(api *systems.API) {
	status := systems.Field{Name: "status", Kind: systems.Number, Max: statusCanceled}
	class := systems.Field{Name: "status_code_class", Kind: systems.Number, Max: 500}
	withMsg := systems.Field{Name: "with_msg", Kind: systems.Flag}
	api.Handle(systems.Operation{Method: http.MethodGet, Path: oneApp + "/attempt/endpoint/:endpoint_id",
		Query: slices.Concat(paging, bounds, []systems.Field{status, class, withMsg})}, listByEndpoint)
	api.Handle(systems.Operation{Method: http.MethodGet, Path: oneApp + "/attempt/msg/:msg_id",
		Query: slices.Concat(paging, bounds, []systems.Field{status, class, {Name: "endpoint_id"}})}, listByMessage)
	api.Handle(systems.Operation{Method: http.MethodGet, Path: oneMessage + "/attempt/:attempt_id", Query: []systems.Field{withContent, expanded}}, showAttempt)
	api.Handle(systems.Operation{Method: http.MethodDelete, Path: oneMessage + "/attempt/:attempt_id/content"}, expungeAttempt)
	api.Handle(systems.Operation{Method: http.MethodGet, Path: oneEndpoint + "/msg",
		Query: slices.Concat(paging, bounds, []systems.Field{status})}, listAttemptedMessages)
	api.Handle(systems.Operation{Method: http.MethodGet, Path: oneMessage + "/endpoint", Query: slices.Concat(paging, []systems.Field{expanded})}, listDestinations)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: oneMessage + "/endpoint/:endpoint_id/resend"}, resend)
}

// The statuses of a message, a destination or an attempt.
const (
	statusSuccess = iota
	statusPending
	statusFail
	statusSending
	statusCanceled
)

var statusTexts = []string{"success", "pending", "fail", "sending", "canceled"}

type attempt struct {
	ID                 string    `json:"id"`
	MsgID              string    `json:"msgId"`
	EndpointID         string    `json:"endpointId"`
	URL                string    `json:"url"`
	Response           string    `json:"response"`
	ResponseStatusCode int       `json:"responseStatusCode"`
	ResponseDurationMS int64     `json:"responseDurationMs"`
	Status             int       `json:"status"`
	StatusText         string    `json:"statusText"`
	TriggerType        int       `json:"triggerType"` // 0: by the schedule, 1: requested
	Timestamp          time.Time `json:"timestamp"`
	Msg                *message  `json:"msg,omitempty"`
}

var outcomes = map[models.Outcome]int{models.OutcomeReceived: statusSuccess, models.OutcomeFailed: statusFail, models.OutcomeRepeating: statusSending}

func attemptOf(q *systems.Request, a *models.ListedAttempt, content bool) attempt {
	v := attempt{ID: attemptID(a.ID), MsgID: wire.MessageID(a.EventID), EndpointID: endpointID(a.WebhookID), URL: q.URL(a.URL),
		ResponseStatusCode: a.StatusCode, ResponseDurationMS: a.DurationMS, Status: outcomes[a.Outcome], Timestamp: a.StartedAt.UTC()}
	if v.StatusText = statusTexts[v.Status]; a.Manual {
		v.TriggerType = 1
	}
	if content {
		v.Response = strings.ToValidUTF8(string(a.ResponseBody), "\uFFFD")
		if a.StatusCode == 0 {
			v.Response = a.Error
		}
	}
	return v
}

func listByEndpoint(q *systems.Request) error {
	w, err := endpointNamed(q)
	if err != nil {
		return err
	}
	return listAttempts(q, models.AttemptFilter{WebhookID: w.ID})
}

func listByMessage(q *systems.Request) error {
	e, err := eventNamed(q)
	if err != nil {
		return err
	}
	f := models.AttemptFilter{EventID: e.ID}
	if name := q.In.String("endpoint_id"); name != "" {
		f.WebhookID, err = webhookID(q, name)
		if isNotFound(err) {
			q.Problemf("endpoint_id", "is not the id or the uid of an endpoint")
		} else if err != nil {
			return err
		}
	}
	return listAttempts(q, f)
}

// none reports whether no attempt can have the requested status.
func none(status *int) bool {
	return status != nil && (*status == statusPending || *status == statusCanceled)
}

func listAttempts(q *systems.Request, f models.AttemptFilter) error {
	w, err := windowOf(q, descending, descending, keyOf(prefixAttempt, models.PrefixAttempt))
	if err != nil {
		return err
	}
	status := number(q, "status")
	for outcome, of := range outcomes {
		if status != nil && *status == of {
			f.Outcome = outcome
		}
	}
	if class := number(q, "status_code_class"); class != nil {
		if f.StatusClass = new(*class / 100); *class%100 != 0 {
			q.Problemf("status_code_class", "must be 0, 100, 200, 300, 400 or 500")
		}
	}
	f.EventTypes, f.Channel, f.Tag = q.In.List("event_types"), q.In.String("channel"), q.In.String("tag")
	f.Since, f.Until = instant(q, "after"), instant(q, "before")
	if err := q.Err(); err != nil {
		return err
	}
	if none(status) {
		return answerList(q, w, []attempt{}, nil, false)
	}
	rows, next, err := q.API.Service.Attempts(q.Ctx(), q.Tenant, f, w.page)
	if err != nil {
		return err
	}
	data := make([]attempt, len(rows))
	for i := range rows {
		data[i] = attemptOf(q, &rows[i], flag(q, "with_content", true))
	}
	if flag(q, "with_msg", false) {
		if err := addMessages(q, data, rows); err != nil {
			return err
		}
	}
	behind := ""
	if key := models.CursorKey(next); len(key) == 1 {
		behind = attemptID(key[0])
	}
	return answerLooked(q, w, data, func(a *attempt) string { return a.ID }, next != "", behind)
}

// addMessages adds its message to each attempt, without the payload.
func addMessages(q *systems.Request, data []attempt, rows []models.ListedAttempt) error {
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = rows[i].EventID
	}
	events, err := q.API.Service.EventsByID(q.Ctx(), q.Tenant, ids)
	for i := range rows {
		if e := events[rows[i].EventID]; e != nil {
			data[i].Msg = new(messageOf(e, false))
		}
	}
	return err
}

// number returns a number in the query, nil if none is given.
func number(q *systems.Request, name string) *int {
	if n := q.In.Number(name, -1); n >= 0 {
		return &n
	}
	return nil
}

// attemptNamed reads the attempt in the path. It must belong to the path's message.
func attemptNamed(q *systems.Request) (models.ListedAttempt, error) {
	e, err := eventNamed(q)
	if err == nil {
		err = q.Err()
	}
	if err != nil {
		return models.ListedAttempt{}, err
	}
	missing := service.Refuse(service.NotFound, "there is no such attempt")
	id := native(q.Param("attempt_id"), prefixAttempt, models.PrefixAttempt)
	if id == "" {
		return models.ListedAttempt{}, missing
	}
	a, err := q.API.Service.Attempt(q.Ctx(), q.Tenant, id)
	if err == nil && a.EventID != e.ID {
		err = missing
	}
	return a, err
}

func showAttempt(q *systems.Request) error {
	a, err := attemptNamed(q)
	if err != nil {
		return err
	}
	q.PureJSON(http.StatusOK, attemptOf(q, &a, flag(q, "with_content", true)))
	return nil
}

// expungeAttempt erases the receiver's answer.
func expungeAttempt(q *systems.Request) error {
	a, err := attemptNamed(q)
	if err == nil {
		err = q.API.Service.EraseAnswer(q.Ctx(), q.Tenant, a.ID)
	}
	if err != nil {
		return err
	}
	return nothing(q)
}

// statusOf returns a delivery's status in Svix's terms. A held delivery is pending, like one that has not been
// attempted.
func statusOf(d *models.Delivery) int {
	switch {
	case d.Status == models.Delivered:
		return statusSuccess
	case d.Status == models.Failed:
		return statusFail
	case d.Status == models.Canceled:
		return statusCanceled
	case d.Status == models.Pending && d.Attempts > 0:
		return statusSending
	}
	return statusPending
}

// progress is the part of a delivery in lists of messages and of endpoints.
type progress struct {
	Status      int        `json:"status"`
	StatusText  string     `json:"statusText"`
	NextAttempt *time.Time `json:"nextAttempt"`
}

// progressOf returns a delivery's progress. Clients that do not know the status canceled get success for it, as from
// Svix.
func progressOf(d *models.Delivery, expanded bool) progress {
	p := progress{Status: statusOf(d), NextAttempt: d.NextAttemptAt}
	if p.Status == statusCanceled && !expanded {
		p.Status = statusSuccess
	}
	p.StatusText = statusTexts[p.Status]
	return p
}

type attemptedMessage struct {
	message
	progress
}

// filterOf restricts deliveries to those with a status.
func filterOf(f *models.DeliveryFilter, status *int) {
	if status == nil {
		return
	}
	switch *status {
	case statusSuccess:
		f.Status = models.Delivered
	case statusPending:
		f.Untried = true
	case statusFail:
		f.Status = models.Failed
	case statusSending:
		f.Tried = true
	case statusCanceled:
		f.Status = models.Canceled
	}
}

// deliveryOf returns the delivery of an event to a webhook; the zero Delivery if there is none.
func deliveryOf(q *systems.Request, eventID, webhookID string) (models.Delivery, error) {
	rows, _, err := q.API.Service.Deliveries(q.Ctx(), q.Tenant, models.DeliveryFilter{EventID: eventID, WebhookID: webhookID}, models.Page{Limit: 1})
	if err != nil || len(rows) == 0 {
		return models.Delivery{}, err
	}
	return rows[0], nil
}

func keyOfDelivery(d *models.Delivery) []string {
	if d.ID == "" {
		return nil
	}
	return []string{d.ID}
}

func listAttemptedMessages(q *systems.Request) error {
	to, err := endpointNamed(q)
	if err != nil {
		return err
	}
	w, err := windowOf(q, descending, descending, func(id string) ([]string, error) {
		d, err := eventOf(q, id, func(_ context.Context, _, id string) (models.Delivery, error) {
			d, err := deliveryOf(q, id, to.ID)
			if err == nil && d.ID == "" {
				err = service.Refuse(service.NotFound, "there is no such delivery")
			}
			return d, err
		})
		if isNotFound(err) {
			err = nil
		}
		return keyOfDelivery(&d), err
	})
	if err != nil {
		return err
	}
	f := models.DeliveryFilter{WebhookID: to.ID, EventTypes: q.In.List("event_types"), Channel: q.In.String("channel"), Tag: q.In.String("tag"),
		Since: instant(q, "after"), Until: instant(q, "before")}
	filterOf(&f, number(q, "status"))
	if err := q.Err(); err != nil {
		return err
	}
	deliveries, next, err := q.API.Service.Deliveries(q.Ctx(), q.Tenant, f, w.page)
	if err != nil {
		return err
	}
	events, err := withData(q, deliveries, func(d *models.Delivery) string { return d.EventID })
	if err != nil {
		return err
	}
	data := make([]attemptedMessage, len(events))
	for i := range events {
		if d := &deliveries[i]; events[i].ID == "" { // it has been removed in the meantime
			events[i] = models.Event{ID: d.EventID, Type: d.EventType, CreatedAt: d.CreatedAt, ErasedAt: &d.CreatedAt}
		}
		data[i] = attemptedMessage{messageOf(&events[i], flag(q, "with_content", true)), progressOf(&deliveries[i], flag(q, "expanded_statuses", false))}
	}
	behind := ""
	if key := models.CursorKey(next); len(key) == 1 && len(deliveries) < w.page.Limit { // it has looked farther than at the last row
		eventID, err := q.API.Service.EventOfDelivery(q.Ctx(), q.Tenant, key[0])
		if err != nil {
			return err
		}
		behind = wire.MessageID(eventID)
	}
	if len(events) < len(deliveries) { // what is left out comes next
		behind = ""
	}
	return answerLooked(q, w, data, func(m *attemptedMessage) string { return m.ID }, next != "" || len(events) < len(deliveries), behind)
}

type destination struct {
	endpoint
	progress
}

// listDestinations lists the endpoints that a message goes to, including deleted ones.
func listDestinations(q *systems.Request) error {
	e, err := eventNamed(q)
	if err != nil {
		return err
	}
	w, err := wholeWindowOf(q, descending, descending, func(id string) ([]string, error) {
		if id = native(id, prefixEndpoint, models.PrefixWebhook); id == "" {
			return nil, nil
		}
		d, err := deliveryOf(q, e.ID, id)
		return keyOfDelivery(&d), err
	})
	if err != nil {
		return err
	}
	deliveries, next, err := q.API.Service.Deliveries(q.Ctx(), q.Tenant, models.DeliveryFilter{EventID: e.ID}, w.page)
	if err != nil {
		return err
	}
	ids := make([]string, len(deliveries))
	for i := range deliveries {
		ids[i] = deliveries[i].WebhookID
	}
	webhooks, err := q.API.Service.WebhooksByID(q.Ctx(), q.Tenant, ids)
	if err != nil {
		return err
	}
	data := make([]destination, len(deliveries))
	for i := range deliveries {
		of := cmp.Or(webhooks[ids[i]], &models.Webhook{ID: ids[i]})
		data[i] = destination{endpointOf(q, of), progressOf(&deliveries[i], flag(q, "expanded_statuses", false))}
	}
	return answerList(q, w, data, func(d *destination) string { return d.ID }, next != "")
}

// resend sends a delivery again. For an endpoint that was created, or registered for the type, later it makes the
// first delivery.
func resend(q *systems.Request) error {
	e, err := eventNamed(q)
	if err != nil {
		return err
	}
	w, err := endpointNamed(q)
	if err != nil {
		return err
	}
	d, err := deliveryOf(q, e.ID, w.ID)
	switch {
	case err != nil:
		return err
	case d.ID != "":
		_, err = q.API.Service.RetryDelivery(q.Ctx(), q.Tenant, d.ID)
	default:
		_, _, err = q.API.Service.Replay(q.Ctx(), q.Tenant, e.ID, []string{w.ID})
	}
	if refused, ok := errors.AsType[*service.Error](err); ok && refused.Code == service.Invalid && len(refused.Fields) > 0 {
		return &systems.Refusal{Status: http.StatusBadRequest, Message: refused.Fields[0].Message} // the endpoint does not match the message
	}
	if err != nil {
		return err
	}
	q.PureJSON(http.StatusAccepted, struct{}{})
	return nil
}
