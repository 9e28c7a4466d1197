package console

import (
	"net/http"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/models"
)

const (
	get, post = http.MethodGet, http.MethodPost
	keysPath  = "/keys"
)

// staffPages are the pages about no tenant.
var staffPages = []page{
	{get, "", staff, (*visit).overview},
	{get, "/tenants", staff, (*visit).tenants},
	{post, "/tenants", staff, (*visit).createTenant},
	{get, "/audit", staff, (*visit).audit},
	{get, "/event-types", staff, (*visit).eventTypes},
	{get, "/event-types/new", staff, (*visit).newEventType},
	{post, "/event-types/new", staff, (*visit).saveEventType},
	{get, "/event-types/{name}/edit", staff, (*visit).editEventType},
	{post, "/event-types/{name}/edit", staff, (*visit).saveEventType},
}

// tenantPages are the pages about one tenant, in the console and in the portal.
var tenantPages = []page{
	{get, "", readers, (*visit).tenantOverview},
	{get, "/theme.css", readers, (*visit).theme},
	{get, "/webhooks", readers, (*visit).webhooks},
	{get, "/webhooks/new", owners, (*visit).newWebhook},
	{post, "/webhooks/new", owners, (*visit).createWebhook},
	{get, "/webhooks/{id}", readers, (*visit).webhook},
	{get, "/webhooks/{id}/edit", owners, (*visit).editWebhook},
	{post, "/webhooks/{id}/edit", owners, (*visit).saveWebhook},
	{post, "/webhooks/{id}/{action}", owners, (*visit).actOnWebhook},
	{get, "/deliveries", readers, (*visit).deliveries},
	{get, "/deliveries/{id}", readers, (*visit).delivery},
	{post, "/deliveries/{id}/{action}", owners, (*visit).actOnDelivery},
	{get, "/events", readers, (*visit).events},
	{get, "/events/{id}", readers, (*visit).event},
	{post, "/events/{id}/erase", owners, (*visit).eraseEvent},
	{get, "/catalogue", readers, (*visit).catalogue},
	{post, "/catalogue", owners, (*visit).loadCatalog},
	{get, keysPath, keyReader, (*visit).keys},
	{post, keysPath, noLinks, (*visit).createKey},
	{post, "/keys/{id}/revoke", keyOwner, (*visit).revokeKey},
	{post, "/portal-links", noLinks, (*visit).createLink},
	{post, "/portal-links/revoke", noLinks, (*visit).revokeLinks},
	{get, "/audit", auditors, (*visit).audit},
	{get, "/settings", settings, (*visit).settings},
	{post, "/settings", settings, (*visit).saveSettings},
}

// overview says whether everything is well.
func (v *visit) overview() error {
	body := struct {
		Trouble, Version string
		Tenants          []models.Tenant
	}{Version: v.Version}
	if v.Ready != nil {
		if err := v.Ready(v.r.Context()); err != nil {
			body.Trouble = err.Error()
		}
	}
	var err error
	if body.Tenants, _, err = v.Hooks.Tenants(v.r.Context(), models.Page{Limit: 20}); err != nil {
		return err
	}
	return v.show(http.StatusOK, "overview", "Overview", body)
}

type tenantsBody struct {
	Tenants  []models.Tenant
	Next     string
	ID, Name string
	Errors   fieldErrors
}

func (v *visit) tenants() error { return v.showTenants(http.StatusOK, tenantsBody{}) }

func (v *visit) showTenants(status int, body tenantsBody) (err error) {
	var next string
	if body.Tenants, next, err = v.Hooks.Tenants(v.r.Context(), v.after()); err != nil {
		return err
	}
	body.Next = v.more(next)
	return v.show(status, "tenants", "Tenants", body)
}

// createTenant refuses the id of a tenant that there is: to replace one is done on its own page.
func (v *visit) createTenant() error {
	if err := v.readForm(); err != nil {
		return err
	}
	body := tenantsBody{ID: v.form("id"), Name: v.form("name")}
	_, err := v.Hooks.TenantID(v.r.Context(), v.session.Principal, body.ID)
	if err == nil {
		err = hooks.Refuse(hooks.Conflict, "There is a tenant with this id.")
	} else {
		_, _, err = v.Hooks.PutTenant(v.r.Context(), models.Tenant{ID: body.ID, Name: body.Name})
	}
	if err == nil {
		return v.done("/tenants/"+escape(body.ID), "created")
	}
	var ok bool
	if body.Errors, ok = wrong(err, "tenant", "name"); !ok {
		return err
	}
	return v.showTenants(http.StatusUnprocessableEntity, body)
}

// tenantOverview shows the failing webhooks first, and the latest deliveries that have failed.
func (v *visit) tenantOverview() error {
	ctx := v.r.Context()
	t, err := v.Hooks.Tenant(ctx, v.tenant)
	if err != nil {
		return err
	}
	body := struct {
		Tenant       models.Tenant
		Deactivated  []models.Webhook
		Failing      []models.Webhook
		Failed, Held []models.Delivery
	}{Tenant: t}
	if body.Deactivated, _, err = v.Hooks.Webhooks(ctx, v.tenant, models.WebhookFilter{Status: models.WebhookDeactivated}, models.Page{Limit: 20}); err != nil {
		return err
	}
	active, _, err := v.Hooks.Webhooks(ctx, v.tenant, models.WebhookFilter{Status: models.WebhookActive}, models.Page{Limit: 200})
	if err != nil {
		return err
	}
	for _, w := range active {
		if w.Health.Failed > 0 {
			body.Failing = append(body.Failing, w)
		}
	}
	for status, list := range map[models.DeliveryStatus]*[]models.Delivery{models.Failed: &body.Failed, models.Held: &body.Held} {
		if *list, _, err = v.Hooks.Deliveries(ctx, v.tenant, models.DeliveryFilter{Status: status}, models.Page{Limit: 10}); err != nil {
			return err
		}
	}
	title := t.Name
	if title == "" {
		title = t.Slug
	}
	return v.show(http.StatusOK, "tenant", title, body)
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
	if body.Keys, next, err = v.Hooks.Keys(v.r.Context(), v.tenant, v.after()); err != nil {
		return err
	}
	body.Next, body.Roles = v.more(next), []models.Role{models.RoleTenant, models.RolePublish, models.RoleRead, models.RoleSettings}
	return v.show(status, "keys", "Keys", body)
}

// onceBody is a secret that is shown this once.
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
	_, key, err := v.Hooks.CreateKey(v.r.Context(), v.tenant, body.Name, models.Role(v.form("role")))
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
	if err := v.Hooks.RevokeKey(v.r.Context(), v.tenant, v.r.PathValue("id")); err != nil {
		return err
	}
	return v.done(keysPath, "revoked")
}

func (v *visit) createLink() error {
	if err := v.readForm(); err != nil {
		return err
	}
	request := hooks.LinkRequest{Role: models.Role(v.form("role")), Name: v.form("name"), Capabilities: v.r.PostForm["capability"]}
	if lasts := v.form("expires_in"); lasts != "" {
		d, err := time.ParseDuration(lasts)
		if err != nil {
			return hooks.Refuse(hooks.Invalid, "expires_in must be a duration such as 1h")
		}
		request.ExpiresIn = &d
	}
	l, err := v.Hooks.CreatePortalLink(v.r.Context(), v.session.Principal, v.tenant, request)
	if err != nil {
		return err
	}
	return v.show(http.StatusCreated, "once", "New portal link", onceBody{Label: "Portal link", Secret: l.URL, SecondLabel: "Token for the API", Second: l.Token,
		Text: "The link opens the portal once, within five minutes. Neither is shown again.", Back: v.base + keysPath, BackTo: "Keys"})
}

func (v *visit) revokeLinks() error {
	if err := v.Hooks.RevokePortalLinks(v.r.Context(), v.tenant); err != nil {
		return err
	}
	return v.done(keysPath, "revoked")
}

type settingsBody struct {
	Name, Emails string
	Errors       fieldErrors
}

func (v *visit) settings() error {
	t, err := v.Hooks.Tenant(v.r.Context(), v.tenant)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "settings", "Settings", settingsBody{Name: t.Name, Emails: strings.Join(t.AdminEmails, "\n")})
}

// saveSettings changes the administrators; the name is for the staff alone.
func (v *visit) saveSettings() error {
	if err := v.readForm(); err != nil {
		return err
	}
	body := settingsBody{Name: v.form("name"), Emails: v.form("admin_emails")}
	emails := lines(body.Emails)
	change := hooks.TenantChange{AdminEmails: &emails}
	if v.may(staff) {
		change.Name = &body.Name
	}
	_, err := v.Hooks.UpdateTenant(v.r.Context(), v.tenant, change)
	if err == nil {
		return v.done("/settings", "saved")
	}
	var ok bool
	if body.Errors, ok = wrong(err, "name", "admin_emails"); !ok {
		return err
	}
	return v.show(http.StatusUnprocessableEntity, "settings", "Settings", body)
}

// lines are the lines of a text that are not blank.
func lines(text string) []string {
	all := []string{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// theme is the stylesheet of a portal link. Its values have been checked when the link was made.
func (v *visit) theme() error {
	v.w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, err := v.w.Write([]byte(stylesheet(v.session.Theme)))
	return err
}
