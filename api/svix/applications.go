package svix

import (
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// maxRate is the highest rate that a webhook can have.
const maxRate = 10_000

// operationalApplication would be the id of the operational tenant. It is no application of Svix's, and not in the list.
const operationalApplication = prefixApplication + models.OperationalTenant

func applicationFields(required bool) []systems.Field {
	return []systems.Field{
		{Name: "name", Required: required},
		{Name: "uid", Nullable: true},
		{Name: "metadata", Kind: systems.Map},
		{Name: "rateLimit", Alias: "throttleRate", Kind: systems.Number, Min: 1, Max: maxRate, Nullable: true},
		{Name: "id", ReadOnly: true},
		{Name: "createdAt", ReadOnly: true},
		{Name: "updatedAt", ReadOnly: true},
	}
}

func applications(api *systems.API) {
	api.Handle(systems.Operation{Method: http.MethodGet, Path: appPath, Admins: true, Query: append(slices.Clone(sorting),
		systems.Field{Name: "exclude_apps_with_no_endpoints", Kind: systems.Flag}, systems.Field{Name: "exclude_apps_with_disabled_endpoints", Kind: systems.Flag},
		systems.Field{Name: "exclude_apps_with_svix_play_endpoints", Kind: systems.Flag})}, listApplications)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: appPath, Admins: true, Body: systems.JSON, Fields: applicationFields(true),
		Query: []systems.Field{{Name: "get_if_exists", Kind: systems.Flag}}}, createApplication)
	api.Handle(systems.Operation{Method: http.MethodGet, Path: oneApp}, showApplication)
	api.Handle(systems.Operation{Method: http.MethodPut, Path: oneApp, Admins: true, MakesTenant: true, Body: systems.JSON,
		Fields: applicationFields(true)}, putApplication)
	api.Handle(systems.Operation{Method: http.MethodPatch, Path: oneApp, Admins: true, Body: systems.JSON, Fields: applicationFields(false)},
		patchApplication)
	api.Handle(systems.Operation{Method: http.MethodDelete, Path: oneApp, Admins: true}, deleteApplication)
}

type application struct {
	ID           string            `json:"id"`
	UID          *string           `json:"uid"`
	Name         string            `json:"name"`
	RateLimit    *int              `json:"rateLimit"`
	ThrottleRate *int              `json:"throttleRate"`
	Metadata     map[string]string `json:"metadata"`
	CreatedAt    time.Time         `json:"createdAt"`
	UpdatedAt    time.Time         `json:"updatedAt"`
}

func applicationOf(t *models.Tenant) application {
	a := application{ID: applicationID(t.ID), UID: orNil(t.UID), Name: t.Name, Metadata: map[string]string{}, CreatedAt: t.CreatedAt.UTC(), UpdatedAt: t.UpdatedAt.UTC()}
	maps.Copy(a.Metadata, t.Metadata)
	a.RateLimit = wholeRate(t.RateLimit)
	a.ThrottleRate = a.RateLimit
	return a
}

func answerApplication(q *systems.Request, status int, t models.Tenant, err error) error {
	if err != nil {
		return err
	}
	q.PureJSON(status, applicationOf(&t))
	return nil
}

func listApplications(q *systems.Request) error {
	for _, name := range []string{"exclude_apps_with_no_endpoints", "exclude_apps_with_disabled_endpoints", "exclude_apps_with_svix_play_endpoints"} {
		if flag(q, name, false) {
			return notYet("applications cannot be filtered by " + name)
		}
	}
	w, err := wholeWindowOf(q, ascending, ascending, func(id string) ([]string, error) {
		slug := strings.TrimPrefix(id, prefixApplication)
		if !service.IsTenantSlug(slug) && id != operationalApplication {
			return nil, nil
		}
		return []string{slug}, nil
	})
	if err != nil {
		return err
	}
	tenants, next, err := q.API.Service.Tenants(q.Ctx(), w.page)
	if err != nil {
		return err
	}
	data := make([]application, len(tenants))
	for i := range tenants {
		data[i] = applicationOf(&tenants[i])
	}
	return answerKept(q, w, data, func(a *application) string { return a.ID }, next != "", func(a *application) bool { return a.ID != operationalApplication })
}

// checkApplication checks the application in the body, or in a field of it.
func checkApplication(q *systems.Request, in systems.Values, prefix string) error {
	if name := in.Text("name"); name != nil && strings.TrimSpace(*name) == "" {
		q.Problemf(prefix+"name", "must not be empty")
	}
	if strings.HasPrefix(in.String("uid"), prefixApplication) {
		q.Problemf(prefix+"uid", "must not begin with %s, as ids do", prefixApplication)
	}
	return q.Err()
}

// createApplication creates a tenant. With get_if_exists it returns the tenant that already has the uid, if there is
// one.
func createApplication(q *systems.Request) error {
	if err := checkApplication(q, q.In, ""); err != nil {
		return err
	}
	get := flag(q, "get_if_exists", false)
	t, err := applicationWith(q, q.In.String("uid"))
	if err == nil && t.ID == "" {
		t, err = makeApplication(q, q.In)
		if err == nil {
			return answerApplication(q, http.StatusCreated, t, nil)
		}
		if get && isRefused(err, service.Conflict) { // another request was first
			t, err = applicationWith(q, q.In.String("uid"))
		}
	}
	if err == nil && !get {
		err = service.Refuse(service.Conflict, "there is an application with this id or uid already")
	}
	return answerApplication(q, http.StatusOK, t, err)
}

// applicationWith reads the application with this uid or id; the zero Tenant if there is none.
func applicationWith(q *systems.Request, uid string) (models.Tenant, error) {
	if uid == "" {
		return models.Tenant{}, nil
	}
	id, err := q.API.Service.TenantID(q.Ctx(), q.Who, uid)
	if err == nil {
		var t models.Tenant
		if t, err = q.API.Service.Tenant(q.Ctx(), id); err == nil {
			return t, nil
		}
	}
	if isNotFound(err) {
		err = nil
	}
	return models.Tenant{}, err
}

// makeApplication creates a tenant with a generated id.
func makeApplication(q *systems.Request, in systems.Values) (models.Tenant, error) {
	t, _, err := q.API.Service.PutTenant(q.Ctx(), models.Tenant{ID: models.NewID(""), UID: in.String("uid"), Name: in.String("name"),
		Metadata: texts(in.Map("metadata")), RateLimit: float64(in.Number("rateLimit", 0))})
	return t, err
}

// inlineApplication returns the id of the tenant in the path. If there is none, it creates the tenant from the
// application in the body, which must have the path's uid.
func inlineApplication(q *systems.Request) (string, error) {
	in := q.In.Nested("application")
	switch {
	case q.Tenant != "":
		return q.Tenant, nil
	case in == nil:
		return "", service.Refuse(service.NotFound, "there is no such application")
	case in.String("uid") != q.Param("app_id"):
		q.Problemf("application.uid", "must be the uid in the path: there is no application with that one")
	}
	if err := checkApplication(q, in, "application."); err != nil {
		return "", err
	}
	t, err := makeApplication(q, in)
	if isRefused(err, service.Conflict) { // another request was first
		t, err = applicationWith(q, in.String("uid"))
	}
	return t.ID, err
}

func showApplication(q *systems.Request) error {
	t, err := q.API.Service.Tenant(q.Ctx(), q.Tenant)
	return answerApplication(q, http.StatusOK, t, err)
}

// putApplication replaces the whole tenant, or creates one: with the uid in the body, or else the one in the path.
func putApplication(q *systems.Request) error {
	if err := checkApplication(q, q.In, ""); err != nil {
		return err
	}
	if q.Tenant != "" {
		return updateApplication(q, service.TenantChange{Name: q.In.Text("name"), UID: new(q.In.String("uid")), Metadata: new(texts(q.In.Map("metadata"))),
			RateLimit: new(float64(q.In.Number("rateLimit", 0)))})
	}
	if q.In.String("uid") != "" {
		t, err := makeApplication(q, q.In)
		return answerApplication(q, http.StatusCreated, t, err)
	}
	t, created, err := q.API.Service.PutTenant(q.Ctx(), models.Tenant{ID: q.API.TenantName(q.Param("app_id")), Name: q.In.String("name"),
		Metadata: texts(q.In.Map("metadata")), RateLimit: float64(q.In.Number("rateLimit", 0))})
	if created {
		return answerApplication(q, http.StatusCreated, t, err)
	}
	return answerApplication(q, http.StatusOK, t, err)
}

func patchApplication(q *systems.Request) error {
	if err := checkApplication(q, q.In, ""); err != nil {
		return err
	}
	c := service.TenantChange{Name: q.In.Text("name"), UID: q.In.Text("uid")}
	if q.In.IsNull("uid") {
		c.UID = new("")
	}
	if rate := q.In.Number("rateLimit", 0); rate > 0 || q.In.IsNull("rateLimit") {
		c.RateLimit = new(float64(rate))
	}
	if metadata := q.In.Map("metadata"); metadata != nil {
		c.Metadata = new(texts(metadata))
	}
	return updateApplication(q, c)
}

// updateApplication changes the tenant. A rate that repeats what is shown changes nothing.
func updateApplication(q *systems.Request, c service.TenantChange) error {
	if c.RateLimit != nil {
		t, err := q.API.Service.Tenant(q.Ctx(), q.Tenant)
		if err != nil {
			return err
		}
		if *c.RateLimit == math.Ceil(t.RateLimit) {
			c.RateLimit = nil
		}
	}
	t, err := q.API.Service.UpdateTenant(q.Ctx(), q.Tenant, c)
	return answerApplication(q, http.StatusOK, t, err)
}

func deleteApplication(q *systems.Request) error {
	if err := q.API.Service.DeleteTenant(q.Ctx(), q.Tenant); err != nil {
		return err
	}
	return nothing(q)
}
