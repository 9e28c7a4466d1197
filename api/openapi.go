package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/models"
)

const (
	jsonType = "application/json"
	openType = "application/vnd.oai.openapi+json;version=3.1"

	tagTenants    = "Tenants"
	tagKeys       = "Keys"
	tagPortal     = "Portal"
	tagEventTypes = "Event types"
	tagWebhooks   = "Webhooks"
	tagEvents     = "Events"
	tagDeliveries = "Deliveries"
	tagRecoveries = "Recoveries"
	tagStats      = "Statistics"
	tagAudit      = "Audit log"
	tagService    = "Service"
	tagReceived   = "Received"
)

// tags is in reading order.
var tags = []*huma.Tag{
	{Name: tagEvents, Description: "What happened. An accepted event is delivered to every webhook that matches it."},
	{Name: tagWebhooks, Description: "Receivers of events: a URL, the event types it gets, and the secret that signs its deliveries."},
	{Name: tagDeliveries, Description: "One event for one webhook: every attempt made, and when the next ones are due."},
	{Name: tagRecoveries, Description: "Jobs that send held or failed deliveries of a webhook again."},
	{Name: tagEventTypes, Description: "The kinds of events, and the form of their data."},
	{Name: tagTenants, Description: "The customers of the platform: the owners of webhooks, events and keys."},
	{Name: tagKeys, Description: "The API keys of a tenant's programs and people."},
	{Name: tagStats, Description: "How many events were accepted, how many deliveries were delivered, failed or held, and how fast, by minute, hour or day."},
	{Name: tagPortal, Description: "Links through which a tenant's people manage its webhooks, inside your own product or next to it."},
	{Name: tagAudit, Description: "Who changed what, through any API. Entries are written in the transaction that makes the change, and are never altered."},
	{Name: tagService, Description: "Probes. They need no key."},
	{Name: tagReceived, Description: "The requests that Posthorn POSTs to a webhook with the profile standard."},
}

const introduction = `Posthorn accepts events and delivers each one to every matching webhook as a signed POST. It retries until the POST is received, and takes care of webhooks that keep failing.

Authenticate with "Authorization: Bearer <key>". An admin key reaches every tenant. A tenant's key reaches only its own: anything of another tenant is answered as not found.

Errors are application/problem+json (RFC 9457), with one entry in errors for each field that is wrong. 400: the body is not JSON. 401: no valid key. 403: the key's role is not enough. 404: there is no such thing. 409: its state does not allow it, or it exists already. 413: too large. 415: not JSON. 422: well-formed but wrong. 429: this key calls too often, see Retry-After. 503: not now, see Retry-After.

Lists take limit and after. The answer's next is the value of after for the next page, and null on the last one. Times are UTC, RFC 3339, with milliseconds. Unknown fields and parameters are refused.`

// projectURL is the project's page, for API users.
const projectURL = "https://github.com/posthorn/posthorn"

// configuration returns huma's configuration. huma documents, reads and writes; the routes of the document and its
// pages are ours.
func configuration(o Options) huma.Config {
	server := o.PublicURL
	if server == "" {
		server = "/"
	}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "Posthorn", Version: o.Version, Description: introduction,
				License: &huma.License{Name: "Apache License 2.0", Identifier: "Apache-2.0"},
				Contact: &huma.Contact{Name: "Posthorn", URL: projectURL}},
			Servers: []*huma.Server{{URL: server}},
			Tags:    tags,
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"key": {Type: "http", Scheme: "bearer", Description: "An API key, or a portal link's token."},
				},
			},
		},
		Formats:       map[string]huma.Format{jsonType: jsonFormat, "json": jsonFormat}, // "json": +json types
		DefaultFormat: jsonType,
	}
}

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// response documents an answer that huma cannot derive by itself.
func (s *server) response(description string, body reflect.Type) *huma.Response {
	return &huma.Response{Description: description, Content: map[string]*huma.MediaType{
		jsonType: {Schema: s.huma.OpenAPI().Components.Schemas.Schema(body, true, "")},
	}}
}

// documents adds the OpenAPI document and the pages made from it, once every operation is registered.
func (s *server) documents() error {
	document := s.huma.OpenAPI()
	document.Components.Responses = s.problems()
	document.Webhooks = received()
	examples := docsWriter{schemas: document.Components.Schemas}
	for _, item := range document.Paths {
		for _, op := range operationsOf(item) {
			for _, name := range refusals(op) {
				op.Responses[problemStatus(name)] = &huma.Response{Ref: "#/components/responses/" + name}
			}
			if op.RequestBody != nil {
				content := op.RequestBody.Content[jsonType]
				content.Example = examples.request(content.Schema)
			}
		}
	}
	page, err := renderDocs(document)
	if err != nil {
		return fmt.Errorf("api: documentation: %w", err)
	}
	for _, item := range document.Paths { // the page has a separate line for it
		for _, op := range operationsOf(item) {
			op.Description = strings.TrimSpace(op.Description + " " + whoMay(op))
		}
	}
	text, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("api: OpenAPI document: %w", err)
	}
	s.router.GET("/openapi.json", func(c *gin.Context) { c.Data(http.StatusOK, openType, text) })
	s.router.GET("/docs", page.serve)
	return nil
}

// whoMay says which keys may call an operation.
func whoMay(op *huma.Operation) string {
	roles, _ := op.Extensions["x-roles"].([]models.Role)
	switch names := rolesWithoutAdmin(roles); len(names) {
	case 0:
		if len(roles) == 0 {
			return "No key is needed."
		}
		return "For admin keys."
	case 1:
		return "For admin keys, and the tenant's keys with the role " + names[0] + "."
	default:
		return "For admin keys, and the tenant's keys with one of the roles " + strings.Join(names, ", ") + "."
	}
}

func rolesWithoutAdmin(roles []models.Role) []string {
	var names []string
	for _, role := range roles {
		if role != models.RoleAdmin {
			names = append(names, string(role))
		}
	}
	return names
}

// operationsOf returns the operations of a path in reading order.
func operationsOf(item *huma.PathItem) []*huma.Operation {
	var all []*huma.Operation
	for _, op := range []*huma.Operation{item.Post, item.Get, item.Put, item.Patch, item.Delete} {
		if op != nil {
			all = append(all, op)
		}
	}
	return all
}
