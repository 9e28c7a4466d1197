package svix

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/models"
)

// maxRate is the highest rate that a webhook can have.
const maxRate = 10_000

func applicationFields(required bool) []systems.Field {
	return []systems.Field{
		{Name: "name", Required: required},
		{Name: "uid"},
		{Name: "metadata", Kind: systems.Map},
		{Name: "rateLimit", Alias: "throttleRate", Kind: systems.Number, Min: 1, Max: maxRate},
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
	return application{ID: applicationID(t.ID), Name: t.Name, Metadata: map[string]string{}, CreatedAt: t.CreatedAt.UTC(), UpdatedAt: t.UpdatedAt.UTC()}
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
	w, err := windowOf(q, ascending, ascending, func(id string) ([]string, error) {
		slug := strings.TrimPrefix(id, prefixApplication)
		if !hooks.IsTenantSlug(slug) {
			return nil, nil
		}
		return []string{slug}, nil
	})
	if err == nil {
		err = q.Err()
	}
	if err != nil {
		return err
	}
	tenants, next, err := q.API.Hooks.Tenants(q.Ctx(), w.page)
	if err != nil {
		return err
	}
	data := make([]application, len(tenants))
	for i := range tenants {
		data[i] = applicationOf(&tenants[i])
	}
	return answerList(q, w, data, func(a *application) string { return a.ID }, next != "")
}

// checkApplication says what is wrong with the application in the body.
func checkApplication(q *systems.Request) error {
	if name := q.In.Text("name"); name != nil && strings.TrimSpace(*name) == "" {
		q.Problemf("name", "must not be empty")
	}
	return check(q, ofApplication)
}

// createApplication makes a tenant. Without an id of the caller's it cannot be there already, and so get_if_exists changes
// nothing.
func createApplication(q *systems.Request) error {
	if err := checkApplication(q); err != nil {
		return err
	}
	t, _, err := q.API.Hooks.PutTenant(q.Ctx(), models.Tenant{ID: models.NewID(""), Name: q.In.String("name")})
	return answerApplication(q, http.StatusCreated, t, err)
}

func showApplication(q *systems.Request) error {
	t, err := q.API.Hooks.Tenant(q.Ctx(), q.Tenant)
	return answerApplication(q, http.StatusOK, t, err)
}

// putApplication changes the tenant, or makes one that is called as the path says.
func putApplication(q *systems.Request) error {
	if err := checkApplication(q); err != nil {
		return err
	}
	if q.Tenant != "" {
		return updateApplication(q)
	}
	t, created, err := q.API.Hooks.PutTenant(q.Ctx(), models.Tenant{ID: q.API.TenantName(q.Param("app_id")), Name: q.In.String("name")})
	if created {
		return answerApplication(q, http.StatusCreated, t, err)
	}
	return answerApplication(q, http.StatusOK, t, err)
}

func patchApplication(q *systems.Request) error {
	if err := checkApplication(q); err != nil {
		return err
	}
	return updateApplication(q)
}

func updateApplication(q *systems.Request) error {
	t, err := q.API.Hooks.UpdateTenant(q.Ctx(), q.Tenant, hooks.TenantChange{Name: q.In.Text("name")})
	return answerApplication(q, http.StatusOK, t, err)
}

func deleteApplication(q *systems.Request) error {
	if err := q.API.Hooks.DeleteTenant(q.Ctx(), q.Tenant); err != nil {
		return err
	}
	return nothing(q)
}
