package models

import (
	"context"
	"fmt"
	"slices"
)

// TypeTakenError says that an event type of a catalogue belongs to another system in the tenant: a type has one form.
type TypeTakenError struct{ Name, System string }

// Error implements error.
func (e *TypeTakenError) Error() string {
	return fmt.Sprintf("models: the event type %q belongs to %s", e.Name, e.System)
}

// LoadCatalog makes a system's event types a tenant's own, all of them or none, and replaces those that it has from
// the system. It sets their times. A *TypeTakenError if one of the names belongs to another system; ErrNotFound if the
// tenant does not exist.
func (s *Store) LoadCatalog(ctx context.Context, types []EventType) error {
	return s.bringTypes(ctx, types, func(_ *Store, t EventType, owner string) (bool, error) {
		if owner != "" && owner != t.System {
			return false, &TypeTakenError{Name: t.Name, System: owner}
		}
		return true, nil
	})
}

// CompleteCatalog makes those of a system's event types a tenant's own whose names it does not have. A name that
// belongs to another system stays with that system. Exception: a needed one is taken over if no webhook of that system
// is registered for it; if one is, the error is a *TypeTakenError.
func (s *Store) CompleteCatalog(ctx context.Context, types []EventType, needed []string) error {
	return s.bringTypes(ctx, types, func(tx *Store, t EventType, owner string) (bool, error) {
		switch {
		case owner == "":
			return true, nil
		case owner == t.System || !slices.Contains(needed, t.Name):
			return false, nil
		}
		used, err := tx.wanted(ctx, t.Tenant, owner, t.Name)
		if err == nil && used {
			err = &TypeTakenError{Name: t.Name, System: owner}
		}
		return true, err
	})
}

// bringTypes stores the types of one tenant for which bring returns true, in one transaction. owner is the system of
// the tenant's existing type with the name, "" if there is none.
func (s *Store) bringTypes(ctx context.Context, types []EventType, bring func(tx *Store, t EventType, owner string) (bool, error)) error {
	if len(types) == 0 {
		return nil
	}
	tenant := types[0].Tenant
	return s.changeTenant(ctx, tenant, func(tx *Store) error {
		if err := tx.lockTypes(ctx, tenant); err != nil {
			return err
		}
		owners, err := tx.typeOwners(ctx, tenant)
		if err != nil {
			return err
		}
		var brought []EventType
		for _, t := range types {
			switch is, err := bring(tx, t, owners[t.Name]); {
			case err != nil:
				return err
			case is:
				brought = append(brought, t)
			}
		}
		if err := tx.putTypes(ctx, tenant, brought); err != nil {
			return err
		}
		if len(brought) == len(types) {
			copy(types, brought) // with their times
		}
		return nil
	})
}

// typeOwners returns the system of each of a tenant's own types, by name.
func (s *Store) typeOwners(ctx context.Context, tenant string) (map[string]string, error) {
	var rows []struct{ Name, System string }
	err := s.db.WithContext(ctx).Raw("SELECT name, system FROM event_types WHERE tenant = ?", tenant).Scan(&rows).Error
	owners := make(map[string]string, len(rows))
	for _, r := range rows {
		owners[r.Name] = r.System
	}
	return owners, err
}

// wanted reports whether a webhook of the profile is registered for the type. Because of wildcards this is decided
// here and not in SQL; it is needed only if two systems share a name.
func (s *Store) wanted(ctx context.Context, tenant, profile, name string) (bool, error) {
	after := ""
	for {
		var rows []Webhook
		err := alive(s.db.WithContext(ctx)).Select("id", "event_types").Where("tenant = ? AND profile = ? AND id > ?", tenant, profile, after).
			Order("id").Limit(wantedPage).Find(&rows).Error
		if err != nil {
			return false, err
		}
		for i := range rows {
			if rows[i].Wants(name) {
				return true, nil
			}
		}
		if len(rows) < wantedPage {
			return false, nil
		}
		after = rows[len(rows)-1].ID
	}
}

// wantedPage is how many webhooks are read at once.
const wantedPage = 1000
