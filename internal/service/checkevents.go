package service

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/cut"
	"github.com/posthorn/posthorn/internal/jsonschema"
	"github.com/posthorn/posthorn/models"
)

// eventID is the form of a caller's own event id: it is used in a header, and in the signed text between dots.
var eventID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_:-]{0,127}$`)

func checkKey(key string) error {
	if len(key) > 255 {
		return invalid(FieldError{"Idempotency-Key", "must be at most 255 characters"})
	}
	for _, c := range key {
		if c < 0x20 || c > 0x7e {
			return invalid(FieldError{"Idempotency-Key", "must be printable ASCII"})
		}
	}
	return nil
}

// checkEvents turns the input into events, or returns everything that is wrong with it.
func (s *Service) checkEvents(ctx context.Context, v snapshot, tenant string, r PublishRequest) ([]models.Event, error) {
	p := problems(slices.Clone(r.Wrong))
	if len(r.Events) == 0 || len(r.Events) > MaxBatch {
		p.addf("events", "must be 1 to %d", MaxBatch)
		return nil, p.err()
	}
	now := s.Now().UTC().Truncate(time.Millisecond)
	events := make([]models.Event, len(r.Events))
	budget := s.checkBudget(r.Events...)
	for i, in := range r.Events {
		prefix := ""
		if r.Batch {
			prefix = index("events", i) + "."
		}
		if in.ID == "" {
			in.ID = models.NewID(models.PrefixEvent)
		} else if !eventID.MatchString(in.ID) {
			p.addf(prefix+"id", "must be 1 to 128 letters, digits, dashes, underscores or colons, and begin with a letter or digit")
		}
		if strings.HasPrefix(in.Type, models.OperationalPrefix) && r.By.KeyID != "" {
			p.addf(prefix+"type", "only Posthorn publishes events that begin with %q", models.OperationalPrefix)
		} else if err := s.checkEvent(ctx, &p, v, prefix, in, budget); err != nil {
			return nil, err
		}
		events[i] = models.Event{Tenant: tenant, ID: in.ID, Type: in.Type, Data: in.Data, Attributes: in.Attributes,
			ExternalID: in.ExternalID, Channels: once(in.Channels), Tags: once(in.Tags), CreatedAt: now}
		if in.KeepData > 0 && (s.Retention <= 0 || in.KeepData < s.Retention) {
			events[i].DataUntil = new(now.Add(in.KeepData))
		}
	}
	return events, p.err()
}

// checkBudget returns the budget for checking a request's data against schemas.
func (s *Service) checkBudget(events ...EventInput) *jsonschema.Budget {
	bytes := 0
	for i := range events {
		bytes += len(events[i].Data)
	}
	return jsonschema.NewBudget(bytes, s.Now().Add(checkFor), s.Now)
}

func (s *Service) checkEvent(ctx context.Context, p *problems, v snapshot, prefix string, in EventInput, budget *jsonschema.Budget) error {
	if len(in.Attributes) > 20 {
		p.addf(prefix+"attributes", "must be at most 20")
	}
	for name, value := range in.Attributes {
		checkLength(p, prefix+"attributes."+name, value, 1000)
		checkLength(p, prefix+"attributes", name, 100)
	}
	checkLabels(p, prefix, &in)
	t := v.eventType(in.Type)
	if t == nil {
		p.addf(prefix+"type", "%q is not a known event type", cut.Text(in.Type, shownName))
		return nil
	}
	schema, err := t.compiled()
	if err != nil { // it was stored before the bounds existed
		p.addf(prefix+"type", "the schema of %q cannot be used and must be registered again: %s", in.Type, err)
	}
	if schema != nil {
		return checkData(ctx, p, prefix+"data", schema, in.Data, budget)
	}
	if !json.Valid(in.Data) {
		p.addf(prefix+"data", "must be JSON")
	}
	return nil
}
