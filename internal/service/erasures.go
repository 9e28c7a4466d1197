package service

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/models"
)

// ErasureRequest asks for the data of many events to be erased.
type ErasureRequest struct {
	Until      *time.Time   // only events accepted before this time
	EventTypes []string     // only events of these types; wildcards allowed
	Attribute  string       // only events with this attribute, as name:value
	All        bool         // confirms that Until is the only criterion
	Wrong      []FieldError // errors that the caller has found already: the request is refused with them and all others
}

// countedEvents is the most events that a dry run examines.
const countedEvents = 100_000

// erasure checks a request. It requires a criterion, and All if the request would erase everything by mistake.
func (s *Service) erasure(ctx context.Context, tenant string, r ErasureRequest) (models.Erasure, error) {
	x := models.Erasure{Tenant: tenant, EventTypes: each(r.EventTypes), Attribute: r.Attribute}
	p := problems(slices.Clone(r.Wrong))
	switch narrow := len(r.EventTypes) > 0 || r.Attribute != ""; {
	case narrow, len(r.Wrong) > 0: // the criteria may be among what is wrong
	case r.Until == nil:
		p.addf("until", "at least one of until, event_types and attribute is required")
	case !r.All:
		p.addf("all", "must be true if until is the only criterion: every earlier event is erased")
	}
	if name, _, ok := strings.Cut(r.Attribute, ":"); r.Attribute != "" && (!ok || name == "") {
		p.addf("attribute", "must be name:value")
	}
	checkLength(&p, "attribute", r.Attribute, maxAttributeFilter)
	if err := s.checkEventTypes(ctx, &p, &models.Webhook{Tenant: tenant}, r.EventTypes); err != nil {
		return x, err
	}
	if r.Until != nil {
		x.Until = models.Bound(*r.Until)
	}
	return x, p.err()
}

// maxAttributeFilter is the longest attribute with its value, in characters.
const maxAttributeFilter = 2000

// Erase erases the data of many events, in pages.
func (s *Service) Erase(ctx context.Context, tenant string, r ErasureRequest) (models.Erasure, error) {
	x, err := s.erasure(ctx, tenant, r)
	if err != nil {
		return x, err
	}
	return x, known(s.Store.CreateErasure(ctx, &x), "tenant")
}

// CountErasure counts what Erase would erase. complete is false if there are more events than it examines.
func (s *Service) CountErasure(ctx context.Context, tenant string, r ErasureRequest) (n int64, complete bool, err error) {
	x, err := s.erasure(ctx, tenant, r)
	if err != nil {
		return 0, false, err
	}
	n, err = read(ctx, s, "tenant", func(ctx context.Context, store *models.Store) (n int64, err error) {
		n, complete, err = store.CountErasure(ctx, &x, countedEvents)
		return n, err
	})
	return n, complete, err
}

// Erasures lists a tenant's erasures, newest first; tenant "" = those of all tenants.
func (s *Service) Erasures(ctx context.Context, tenant string, page models.Page) ([]models.Erasure, string, error) {
	return readPage(ctx, s, "erasure", func(ctx context.Context, store *models.Store) ([]models.Erasure, string, error) {
		return store.Erasures(ctx, tenant, page)
	})
}

// Erasure reads the receipt of an erasure; tenant "" = of any tenant's.
func (s *Service) Erasure(ctx context.Context, tenant, id string) (models.Erasure, error) {
	x, err := s.Store.Erasure(ctx, tenant, id)
	return x, known(err, "erasure")
}
