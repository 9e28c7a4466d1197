package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/temporal"

	"github.com/posthorn/posthorn/internal/cut"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// The bounds of what a workflow's input and page list individually.
const (
	namedMost  = 5  // tenants, event types and webhooks
	linkedMost = 10 // deliveries
)

// told is what the Web UI says about a dispatch at its start.
type told struct {
	tenants, types, webhooks, events set
	names                            []string // names of the first webhooks, as far as they are known
	rows                             []string // lines about the first deliveries, as Markdown
	deliveries                       int
	what                             string // a phrase for what is delivered to which webhooks
	console                          string
}

// describe collects what the Web UI says about a dispatch.
func (e *Engine) describe(d *models.Dispatch, work []handoff.Work) *told {
	t := &told{deliveries: len(d.Deliveries), console: e.ConsoleURL}
	add := func(owed *models.Delivery) {
		known := len(t.webhooks)
		t.tenants.add(models.TenantSlug(owed.Tenant))
		t.types.add(owed.EventType)
		t.webhooks.add(owed.WebhookID)
		t.events.add(owed.EventID)
		listed, named := len(t.rows) < linkedMost, len(t.webhooks) > known && known < namedMost
		if !listed && !named {
			return
		}
		name := owed.WebhookID
		if e.Named != nil {
			n, host := e.Named(owed.Tenant, owed.WebhookID)
			name = workflows.Named(brief(n), brief(host), owed.WebhookID)
		}
		if named {
			t.names = append(t.names, name)
		}
		if listed {
			t.rows = append(t.rows, t.row(owed, name))
		}
	}
	for i := range work {
		add(&work[i].Delivery)
	}
	for i := range d.Owed {
		add(&d.Owed[i])
	}
	t.what = t.phrase()
	return t
}

// phrase says what the dispatch delivers, and to which webhooks.
func (t *told) phrase() string {
	of := ""
	if len(t.tenants) == 1 {
		of = " of " + t.tenants[0]
	}
	all := fmt.Sprintf("%d deliveries", t.deliveries)
	if len(t.types) == 1 {
		all = fmt.Sprintf("%d × %s", t.deliveries, t.types[0])
	}
	switch {
	case len(t.types) == 0: // nothing about it is in memory
		return all
	case t.deliveries == 1:
		return t.types[0] + of + " to " + t.names[0]
	case len(t.webhooks) == 1:
		return all + of + " to " + t.names[0]
	case len(t.events) == 1:
		return fmt.Sprintf("%s%s to %d webhooks", t.types[0], of, t.deliveries)
	case len(t.tenants) > 1:
		return all + " of several tenants"
	default:
		return all + of + " to several webhooks"
	}
}

// row returns a line about one delivery, with a link to it.
func (t *told) row(d *models.Delivery, name string) string {
	delivery := d.ID
	if t.console != "" {
		delivery = fmt.Sprintf("[%s](%s/tenants/%s/deliveries/%s)", d.ID, t.console, models.TenantSlug(d.Tenant), d.ID)
	}
	return fmt.Sprintf("- %s to %s: %s", d.EventType, plain.Replace(name), delivery)
}

// plain keeps a user-chosen name from being read as Markdown.
var plain = strings.NewReplacer("|", "/", "\n", " ", "\r", " ", "<", "‹", ">", "›", "`", "'", "[", "(", "]", ")", "*", "∗", "_", "\\_")

// details returns a paragraph about the dispatch.
func (t *told) details() string {
	if len(t.webhooks) == 0 {
		return ""
	}
	text := strings.Join(t.rows, "\n")
	if more := t.deliveries - len(t.rows); more > 0 {
		text += fmt.Sprintf("\n- and %d more", more)
	}
	return text + "\n\ntenants: " + strings.Join(t.tenants, ", ") + "\n\nevents: " + strings.Join(t.events, ", ") +
		"\n\nwebhooks: " + strings.Join(t.webhooks, ", ")
}

// attributes returns the search attributes.
func (t *told) attributes(status string) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(workflows.StatusAttribute.ValueSet(status), workflows.TenantAttribute.ValueSet(t.tenants),
		workflows.EventTypeAttribute.ValueSet(t.types), workflows.WebhookAttribute.ValueSet(t.webhooks))
}

// about returns the part of the workflow's input that describes the dispatch.
func (t *told) about() *workflows.About {
	a := &workflows.About{What: t.what, Tenants: first(t.tenants, namedMost), EventTypes: first(t.types, namedMost), Deliveries: t.deliveries, Console: t.console}
	for i, name := range t.names {
		if id := t.webhooks[i]; name != id {
			name += ", " + id
		}
		a.Webhooks = append(a.Webhooks, name)
	}
	return a
}

func first(values []string, n int) []string { return values[:min(n, len(values))] }

// brief cuts a user-chosen name.
func brief(text string) string { return cut.Text(text, 60) }

// watchInput returns the input of a webhook's health workflow.
func (e *Engine) watchInput(ctx context.Context, webhookID string) workflows.WatchInput {
	in := workflows.WatchInput{WebhookID: webhookID}
	if e.Webhook != nil {
		tenant, name, host := e.Webhook(ctx, webhookID)
		in.Tenant, in.Name, in.Host = models.TenantSlug(tenant), brief(name), brief(host)
	}
	return in
}

// recoverInput returns the input of a recovery's workflow.
func (e *Engine) recoverInput(ctx context.Context, recoveryID string) workflows.RecoverInput {
	in := workflows.RecoverInput{RecoveryID: recoveryID}
	if e.Recovered == nil {
		return in
	}
	if id := e.Recovered(ctx, recoveryID); id != "" {
		w := e.watchInput(ctx, id)
		in.WebhookID, in.Tenant, in.Name, in.Host = id, w.Tenant, w.Name, w.Host
	}
	return in
}

// recoveryOf returns the summary of a recovery's workflow.
func recoveryOf(in workflows.RecoverInput) string {
	if in.WebhookID == "" {
		return "recovery " + in.RecoveryID
	}
	text := "recovery of " + workflows.Named(in.Name, in.Host, in.WebhookID)
	if in.Tenant != "" {
		text += " of " + in.Tenant
	}
	return text
}

// healthOf returns the summary of a health workflow.
func healthOf(in workflows.WatchInput) string {
	text := "health of " + workflows.Named(in.Name, in.Host, in.WebhookID)
	if in.Tenant != "" {
		text += " of " + in.Tenant
	}
	return text
}

// set holds different values in the order in which they came, as many as a search attribute may have.
type set []string

func (s *set) add(value string) {
	if len(*s) == workflows.MaxAttributeValues || slices.Contains(*s, value) {
		return
	}
	size := len("[]")
	for _, other := range append(*s, value) {
		size += len(other) + len(`"",`) // none contains a character that JSON escapes
	}
	if size <= workflows.MaxAttributeBytes {
		*s = append(*s, value)
	}
}
