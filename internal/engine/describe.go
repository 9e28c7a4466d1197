package engine

import (
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/temporal"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// describe says in the Web UI's terms what a dispatch is: search attributes, one line, and a paragraph.
func describe(d *models.Dispatch, work []handoff.Work) (temporal.SearchAttributes, string, string) {
	var tenants, types, webhooks, events set
	add := func(owed *models.Delivery) {
		tenants.add(models.TenantSlug(owed.Tenant))
		types.add(owed.EventType)
		webhooks.add(owed.WebhookID)
		events.add(owed.EventID)
	}
	for i := range work {
		add(&work[i].Delivery)
	}
	for i := range d.Owed {
		add(&d.Owed[i])
	}
	attributes := temporal.NewSearchAttributes(workflows.StatusAttribute.ValueSet(workflows.StatusPending), workflows.TenantAttribute.ValueSet(tenants),
		workflows.EventTypeAttribute.ValueSet(types), workflows.WebhookAttribute.ValueSet(webhooks))
	details := "tenants: " + strings.Join(tenants, ", ") + "\n\nevents: " + strings.Join(events, ", ") + "\n\nwebhooks: " + strings.Join(webhooks, ", ")
	return attributes, summary(d, types, webhooks, events), details
}

func summary(d *models.Dispatch, types, webhooks, events set) string {
	switch {
	case len(types) == 0 || len(events) > 1:
		return fmt.Sprintf("%d deliveries, shared dispatch", len(d.Deliveries))
	case len(d.Deliveries) == 1:
		return fmt.Sprintf("%s to %s", types[0], webhooks[0])
	default:
		return fmt.Sprintf("%s to %d webhooks", types[0], len(d.Deliveries))
	}
}

// set is a few different values in the order they came, as many as a search attribute may have.
type set []string

func (s *set) add(value string) {
	if len(*s) == workflows.MaxAttributeValues || slices.Contains(*s, value) {
		return
	}
	size := len("[]")
	for _, other := range append(*s, value) {
		size += len(other) + len(`"",`) // none has a character that JSON escapes
	}
	if size <= workflows.MaxAttributeBytes {
		*s = append(*s, value)
	}
}
