package systems_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/ewarehousing"
	"github.com/posthorn/posthorn/api/im4"
	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// TestSystemCatalogs_ASystemsWebhookBringsItsCatalogue: a tenant with a webhook of a system has the system's own types with their
// schemas, whatever types all tenants share. Events of the system are accepted and delivered.
func TestSystemCatalogs_ASystemsWebhookBringsItsCatalogue(t *testing.T) {
	t.Parallel()
	for i := range catalogued {
		t.Run(catalogued[i].name, func(t *testing.T) {
			t.Parallel()
			s := &catalogued[i]
			b := systemstest.New(t, func(r gin.IRouter, o systems.Options) { s.api(o).Mount(r) })
			listed, _ := catalog.Load(s.name)
			for _, e := range listed {
				_, err := b.Service.PutEventType(t.Context(), models.EventType{Name: e.Name, Schema: `{"required":["total"]}`, Example: `{"total":1}`})
				require.NoError(t, err)
			}
			made := b.Do(systemstest.Call{Method: http.MethodPost, Path: strings.Replace(s.create, "TENANT", systemstest.Tenant, 1),
				Authorization: s.authorize(b.Key), Body: s.body})
			require.Less(t, made.Code, 300, made.Body.String())
			for _, e := range listed {
				if e.TestOnly {
					continue
				}
				in, err := b.Service.EventType(t.Context(), systemstest.Tenant, e.Name)
				require.NoError(t, err)
				require.Equal(t, s.name, in.System)
				b.Publish(systemstest.Tenant, e.Name, string(e.Example))
			}
		})
	}
}

// meeting is a tenant that speaks both systems that have an event type of the same name: order.created.
type meeting struct {
	*systemstest.Bench
	t *testing.T
}

func newMeeting(t *testing.T) *meeting {
	t.Helper()
	return &meeting{systemstest.New(t, func(r gin.IRouter, o systems.Options) {
		im4.Mount(r, o)
		ewarehousing.Mount(r, o)
	}), t}
}

func (m *meeting) post(path, body string) (status int, answer string) {
	m.t.Helper()
	w := m.Do(systemstest.Call{Method: http.MethodPost, Path: path, Authorization: "Bearer " + m.Key, Body: body})
	return w.Code, w.Body.String()
}

func (m *meeting) im4(orders string) (status int, answer string) {
	return m.post("/im4/webhooks", `{"webhook_url":"https://a.example/im4","webhook_proofreading_created":true,"webhook_order_created":`+orders+`}`)
}

func (m *meeting) ewarehousing(group, action string) (status int, answer string) {
	return m.post("/ewarehousing/webhooks/", `{"url":"https://a.example/e","group":"`+group+`","action":"`+action+`","hash_secret":"s"}`)
}

// receivers returns the profiles of the webhooks that get an event.
func (m *meeting) receivers(eventType string) []string {
	m.t.Helper()
	all := m.Webhooks(systemstest.Tenant)
	profiles := []string{}
	for _, d := range m.Deliveries(systemstest.Tenant, m.Publish(systemstest.Tenant, eventType, `{"project_id":1,"order_id":2,"proofreading_batch_id":3}`)) {
		i := slices.IndexFunc(all, func(w models.Webhook) bool { return w.ID == d.WebhookID })
		profiles = append(profiles, all[i].Profile)
	}
	return profiles
}

func TestSystemCatalogs_TwoSystemsInOneTenantDoNotGetEachOthersEvents(t *testing.T) {
	t.Parallel()
	m := newMeeting(t)
	status, answer := m.im4("true")
	require.Equal(t, http.StatusOK, status, answer)
	before := m.Webhooks(systemstest.Tenant)
	status, answer = m.ewarehousing("order", "created")
	require.Equal(t, http.StatusConflict, status)
	require.Contains(t, refusal(t, "ewarehousing", []byte(answer)), `"order.created" belongs to im4 in this tenant`)
	require.Equal(t, before, m.Webhooks(systemstest.Tenant))

	status, answer = m.ewarehousing("order", "updated")
	require.Equal(t, http.StatusCreated, status, answer)
	id := systemstest.Text(t, m.Do(systemstest.Call{Method: http.MethodPost, Path: "/ewarehousing/webhooks/", Authorization: "Bearer " + m.Key,
		Body: `{"url":"https://a.example/e","group":"order","action":"shipped","hash_secret":"s"}`}), "id")
	changed := m.Do(systemstest.Call{Method: http.MethodPatch, Path: "/ewarehousing/webhooks/" + id + "/", Authorization: "Bearer " + m.Key, Body: `{"action":"created"}`})
	require.Equal(t, http.StatusConflict, changed.Code, changed.Body.String())
	require.Equal(t, []string{"im4"}, m.receivers("order.created"))
	require.Equal(t, []string{"ewarehousing"}, m.receivers("order.updated"))
}

// A type name without a registered webhook goes to the system that needs it. A name in use does not.
func TestSystemCatalogs_ANameGoesToTheSystemThatNeedsIt(t *testing.T) {
	t.Parallel()
	m := newMeeting(t)
	status, answer := m.ewarehousing("stock", "updated")
	require.Equal(t, http.StatusCreated, status, answer)
	owner := func() string {
		e, err := m.Service.EventType(t.Context(), systemstest.Tenant, "order.created")
		require.NoError(t, err)
		return e.System
	}
	require.Equal(t, "ewarehousing", owner())
	status, answer = m.im4("false")
	require.Equal(t, http.StatusOK, status, answer)
	require.Equal(t, "ewarehousing", owner())
	status, answer = m.im4("true")
	require.Equal(t, http.StatusOK, status, answer)
	require.Equal(t, "im4", owner())
	require.Equal(t, []string{"im4"}, m.receivers("order.created"))
	status, _ = m.ewarehousing("order", "created")
	require.Equal(t, http.StatusConflict, status)

	other := newMeeting(t)
	status, _ = other.ewarehousing("order", "created")
	require.Equal(t, http.StatusCreated, status)
	status, answer = other.im4("true")
	require.Equal(t, http.StatusConflict, status)
	require.Contains(t, refusal(t, "im4", []byte(answer)), `"order.created" belongs to ewarehousing in this tenant`)
	require.Len(t, other.Webhooks(systemstest.Tenant), 1)
}

func TestSystemCatalogs_ASecondCatalogueWithTheSameNameIsRefused(t *testing.T) {
	t.Parallel()
	m := newMeeting(t)
	_, err := m.Service.LoadCatalog(t.Context(), systemstest.Tenant, "im4")
	require.NoError(t, err)
	before, _, err := m.Service.EventTypes(t.Context(), systemstest.Tenant, models.Page{Limit: 1000})
	require.NoError(t, err)
	_, err = m.Service.LoadCatalog(t.Context(), systemstest.Tenant, "ewarehousing")
	var refused *service.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, service.Conflict, refused.Code)
	require.Contains(t, refused.Detail, `"order.created" belongs to im4`)
	after, _, err := m.Service.EventTypes(t.Context(), systemstest.Tenant, models.Page{Limit: 1000})
	require.NoError(t, err)
	require.Equal(t, before, after, "all of it is refused")
	for _, system := range []string{"im4", "phrase", "languageweaver", "up42"} {
		_, err = m.Service.LoadCatalog(t.Context(), systemstest.Tenant, system)
		require.NoError(t, err, system)
	}
	_, err = m.Service.LoadCatalog(t.Context(), systemstest.Other, "ewarehousing")
	require.NoError(t, err)
}
