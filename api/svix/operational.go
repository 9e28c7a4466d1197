package svix

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

const (
	operationalEndpoints   = base + "/operational-webhook/endpoint"
	oneOperationalEndpoint = operationalEndpoints + "/:endpoint_id"
)

// operational adds the endpoints that get events about the endpoints of all applications. They are the webhooks of the operational
// tenant.
func operational(api *systems.API) {
	fields := func(more ...systems.Field) []systems.Field {
		return slices.DeleteFunc(endpointFields(true, more...), func(f systems.Field) bool { return f.Name == "channels" || f.Name == "version" })
	}
	add := func(o systems.Operation, h systems.Handler) {
		o.Admins = true
		api.Handle(o, h)
	}
	add(systems.Operation{Method: http.MethodGet, Path: operationalEndpoints, Query: sorting}, listOperational)
	add(systems.Operation{Method: http.MethodPost, Path: operationalEndpoints, Body: systems.JSON, Fields: fields(systems.Field{Name: "secret"})}, createOperational)
	add(systems.Operation{Method: http.MethodGet, Path: oneOperationalEndpoint}, ofOperational(showOperational))
	add(systems.Operation{Method: http.MethodPut, Path: oneOperationalEndpoint, Body: systems.JSON, Fields: fields()}, ofOperational(putOperational))
	add(systems.Operation{Method: http.MethodDelete, Path: oneOperationalEndpoint}, ofOperational(deleteEndpoint))
	add(systems.Operation{Method: http.MethodGet, Path: oneOperationalEndpoint + "/secret", Private: true}, ofOperational(showSecret))
	add(systems.Operation{Method: http.MethodPost, Path: oneOperationalEndpoint + "/secret/rotate", Body: systems.OptionalJSON, Fields: []systems.Field{{Name: "key"}}},
		ofOperational(rotate))
	add(systems.Operation{Method: http.MethodGet, Path: oneOperationalEndpoint + "/headers"}, ofOperational(showHeaders))
	add(systems.Operation{Method: http.MethodPut, Path: oneOperationalEndpoint + "/headers", Body: systems.JSON, Fields: []systems.Field{
		{Name: "headers", Kind: systems.Map, Required: true}, {Name: "sensitive", Kind: systems.Names, ReadOnly: true}}}, ofOperational(putHeaders))
}

// ofOperational makes the handler of an endpoint act on the webhooks of the operational tenant.
func ofOperational(h systems.Handler) systems.Handler {
	return func(q *systems.Request) error {
		tenant, err := q.API.Service.OperationalTenant(q.Ctx())
		switch {
		case err != nil:
			return err
		case tenant == "":
			return service.Refuse(service.NotFound, "there is no such endpoint")
		}
		q.Tenant = tenant
		return h(q)
	}
}

// operationalTypes covers all operational events.
const operationalTypes = models.OperationalPrefix + "*"

// unsent are the types of Svix's operational events that Posthorn does not publish.
var unsent = []string{"background_task.finished", "message.attempt.log"}

// operationalChange is read for an operational endpoint.
func operationalChange(q *systems.Request) (service.WebhookChange, error) {
	c := read(q, true)
	types := []string{}
	for i, name := range *c.EventTypes {
		at := slices.IndexFunc(catalog.Operational(), func(t catalog.EventType) bool { return name == t.Name || name == wire.OperationalName(t.Name) })
		switch {
		case at >= 0:
			types = append(types, catalog.Operational()[at].Name)
		case slices.Contains(unsent, name):
			return c, notYet("Posthorn does not send " + name)
		default:
			q.Problemf("filterTypes["+strconv.Itoa(i)+"]", "is not the type of an operational event")
		}
	}
	if len(types) == 0 {
		types = []string{operationalTypes}
	}
	c.EventTypes, c.Wrong = &types, q.Wrong()
	return c, nil
}

func operationalOf(q *systems.Request, w *models.Webhook) endpoint {
	e := endpointOf(q, w)
	e.FilterTypes = nil
	if !slices.Contains(w.EventTypes, operationalTypes) {
		for _, name := range w.EventTypes {
			e.FilterTypes = append(e.FilterTypes, wire.OperationalName(name))
		}
	}
	e.EventTypes = e.FilterTypes
	return e
}

func answerOperational(q *systems.Request, status int, w models.Webhook, err error) error {
	if err != nil {
		return err
	}
	q.PureJSON(status, operationalOf(q, &w))
	return nil
}

func listOperational(q *systems.Request) error {
	tenant, err := q.API.Service.OperationalTenant(q.Ctx())
	if err != nil {
		return err
	}
	w, err := wholeWindowOf(q, ascending, ascending, keyOf(prefixEndpoint, models.PrefixWebhook))
	if err != nil {
		return err
	}
	data, next := []endpoint{}, ""
	if tenant != "" {
		var webhooks []models.Webhook
		if webhooks, next, err = q.API.Service.Webhooks(q.Ctx(), tenant, models.WebhookFilter{}, w.page); err != nil {
			return err
		}
		for i := range webhooks {
			data = append(data, operationalOf(q, &webhooks[i]))
		}
	}
	return answerList(q, w, data, func(e *endpoint) string { return e.ID }, next != "")
}

func createOperational(q *systems.Request) error {
	c, err := operationalChange(q)
	if err != nil {
		return err
	}
	if c.URL == nil { // the use case would say so again, in other words
		return q.Err()
	}
	tenant, err := q.API.Service.MakeOperationalTenant(q.Ctx())
	if err != nil {
		return err
	}
	c.Profile = wire.ProfileSvix
	w, _, err := q.API.Service.CreateWebhook(q.Ctx(), tenant, c)
	return answerOperational(q, http.StatusCreated, w, err)
}

func showOperational(q *systems.Request) error {
	w, err := endpointNamed(q)
	return answerOperational(q, http.StatusOK, w, err)
}

func putOperational(q *systems.Request) error {
	w, err := endpointNamed(q)
	if err != nil {
		return err
	}
	c, err := operationalChange(q)
	if err != nil {
		return err
	}
	changed, err := change(q, &w, c)
	return answerOperational(q, http.StatusOK, changed, err)
}
