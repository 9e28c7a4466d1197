package console

import (
	"encoding/json"
	"net/http"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// auditRow is an entry of the audit log, with its changes as text.
type auditRow struct {
	models.AuditEntry
	Text string
}

// audit lists the changes with their authors: of one tenant, or, for the staff, of all.
func (v *visit) audit() error {
	since, until, err := v.window()
	if err != nil {
		return err
	}
	f := models.AuditFilter{Action: models.AuditAction(v.query("action")), TargetID: v.query("target"), Since: since, Until: until}
	if v.tenant == "" {
		f.TenantSlug = v.query("tenant")
	}
	entries, next, err := v.Service.AuditLog(v.r.Context(), v.session.Principal, v.tenant, f, v.query("actor"), v.after())
	if err != nil {
		return err
	}
	rows := make([]auditRow, len(entries))
	for i, e := range entries {
		rows[i] = auditRow{AuditEntry: e}
		if len(e.Changes) == 0 {
			continue
		}
		text, err := json.MarshalIndent(e.Changes, "", "  ")
		if err != nil {
			return service.Refuse(service.Unavailable, "an entry cannot be read")
		}
		rows[i].Text = string(text)
	}
	return v.show(http.StatusOK, "audit", "Audit log", struct {
		Rows                         []auditRow
		Next                         string
		Filter                       models.AuditFilter
		Actor, Since, Until, Address string
		Actions                      []models.AuditAction
	}{rows, v.more(next), f, v.query("actor"), v.query("since"), v.query("until"), v.r.URL.Path, models.AuditActions})
}
