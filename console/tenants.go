package console

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

type tenantsBody struct {
	Tenants  []models.Tenant
	Next     string
	Text     string // the beginning of the ids that are listed
	ID, Name string
	Emails   string
	Errors   fieldErrors
}

func (v *visit) tenants() error { return v.showTenants(http.StatusOK, tenantsBody{}) }

func (v *visit) showTenants(status int, body tenantsBody) (err error) {
	var next string
	if body.Text = v.query("q"); body.Text == "" {
		body.Tenants, next, err = v.Service.Tenants(v.r.Context(), v.after())
	} else {
		body.Tenants, next, err = v.Service.TenantsLike(v.r.Context(), body.Text, v.after())
	}
	if err != nil {
		return err
	}
	body.Next = v.more(next)
	return v.show(status, "tenants", "Tenants", body)
}

// createTenant refuses the id of an existing tenant. A tenant is replaced on its own page.
func (v *visit) createTenant() error {
	if err := v.readForm(); err != nil {
		return err
	}
	body := tenantsBody{ID: v.form("id"), Name: v.form("name"), Emails: v.form("admin_emails")}
	_, err := v.Service.TenantID(v.r.Context(), v.session.Principal, body.ID)
	if err == nil {
		err = service.Refuse(service.Conflict, "There is a tenant with this id.")
	} else {
		_, _, err = v.Service.PutTenant(v.r.Context(), models.Tenant{ID: body.ID, Name: body.Name, AdminEmails: lines(body.Emails)})
	}
	if err == nil {
		return v.done("/tenants/"+escape(body.ID), "created")
	}
	var ok bool
	if body.Errors, ok = wrong(err, "tenant", "name", "admin_emails"); !ok {
		return err
	}
	return v.showTenants(http.StatusUnprocessableEntity, body)
}

type keysBody struct {
	Keys   []models.APIKey
	Next   string
	Name   string
	Roles  []models.Role
	Errors fieldErrors
}

func (v *visit) keys() error { return v.showKeys(http.StatusOK, keysBody{}) }

func (v *visit) showKeys(status int, body keysBody) (err error) {
	var next string
	if body.Keys, next, err = v.Service.Keys(v.r.Context(), v.tenant, v.after()); err != nil {
		return err
	}
	body.Next, body.Roles = v.more(next), models.Roles()
	return v.show(status, "keys", "Keys", body)
}

// onceBody is a secret that is shown only once.
type onceBody struct {
	Label, Secret, Text  string
	SecondLabel, Second  string
	Back, BackTo, Verify string
}

func (v *visit) createKey() error {
	if err := v.readForm(); err != nil {
		return err
	}
	body := keysBody{Name: v.form("name")}
	_, key, err := v.Service.CreateKey(v.r.Context(), v.tenant, body.Name, models.Role(v.form("role")))
	if err == nil {
		return v.show(http.StatusCreated, "once", "New key", onceBody{Label: "Key", Secret: key, Text: "Keep it now: it is not shown again.", Back: v.base + keysPath, BackTo: "Keys"})
	}
	var ok bool
	if body.Errors, ok = wrong(err, "name", "role"); !ok {
		return err
	}
	return v.showKeys(http.StatusUnprocessableEntity, body)
}

func (v *visit) revokeKey() error {
	if err := v.Service.RevokeKey(v.r.Context(), v.tenant, v.r.PathValue("id")); err != nil {
		return err
	}
	return v.done(keysPath, "revoked")
}

func (v *visit) createLink() error {
	if err := v.readForm(); err != nil {
		return err
	}
	request := service.LinkRequest{Role: models.Role(v.form("role")), Name: v.form("name"), Capabilities: v.r.PostForm["capability"]}
	if lasts := v.form("expires_in"); lasts != "" {
		d, err := time.ParseDuration(lasts)
		if err != nil {
			return service.Refuse(service.Invalid, "expires_in must be a duration such as 1h")
		}
		request.ExpiresIn = &d
	}
	l, err := v.Service.CreatePortalLink(v.r.Context(), v.session.Principal, v.tenant, request)
	if err != nil {
		return err
	}
	return v.show(http.StatusCreated, "once", "New portal link", onceBody{Label: "Portal link", Secret: l.URL, SecondLabel: "Token for the API", Second: l.Token,
		Text: "The link opens the portal once, within five minutes. Neither is shown again.", Back: v.base + keysPath, BackTo: "Keys"})
}

func (v *visit) revokeLinks() error {
	if err := v.Service.RevokePortalLinks(v.r.Context(), v.tenant); err != nil {
		return err
	}
	return v.done(keysPath, "revoked")
}

type settingsBody struct {
	Name, Emails, Metadata string
	Errors                 fieldErrors
}

func (v *visit) settings() error {
	t, err := v.Service.Tenant(v.r.Context(), v.tenant)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "settings", "Settings", settingsBody{Name: t.Name, Emails: strings.Join(t.AdminEmails, "\n"), Metadata: pairs(t.Metadata)})
}

// saveSettings changes the administrators. Only the staff may change the name.
func (v *visit) saveSettings() error {
	if err := v.readForm(); err != nil {
		return err
	}
	body := settingsBody{Name: v.form("name"), Emails: v.form("admin_emails"), Metadata: v.form("metadata")}
	emails := lines(body.Emails)
	change := service.TenantChange{AdminEmails: &emails}
	var err error
	if v.may(staff) {
		change.Name, change.Metadata = &body.Name, &map[string]string{}
		for _, line := range lines(body.Metadata) {
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				err = &service.Error{Code: service.Invalid, Fields: []service.FieldError{{Field: "metadata", Message: "must be lines such as plan: gold"}}}
			}
			(*change.Metadata)[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	if err == nil {
		_, err = v.Service.UpdateTenant(v.r.Context(), v.tenant, change)
	}
	if err == nil {
		return v.done("/settings", "saved")
	}
	var ok bool
	if body.Errors, ok = wrong(err, "name", "admin_emails", "metadata"); !ok {
		return err
	}
	return v.show(http.StatusUnprocessableEntity, "settings", "Settings", body)
}

// pairs writes metadata as lines.
func pairs(m map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m)) {
		b.WriteString(name + ": " + m[name] + "\n")
	}
	return b.String()
}

// lines returns the lines of a text that are not blank.
func lines(text string) []string {
	all := []string{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// theme writes the stylesheet of a portal link. Its values were checked when the link was made.
func (v *visit) theme() error {
	v.w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, err := v.w.Write([]byte(stylesheet(v.session.Theme)))
	return err
}
