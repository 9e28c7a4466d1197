package models

import (
	"context"
	"errors"
	"slices"
)

// TypeChanges lists the changes of an import of event types, made or planned.
type TypeChanges struct {
	Created, Updated, Deleted []string
	Unchanged                 int
}

// errDryRun ends a transaction that only shows what it would do.
var errDryRun = errors.New("models: dry run")

// ImportTypes stores types that all tenants share, and deletes those in remove, in one transaction. A dry run does the
// same and then rolls back. Callers bound both lists. A *FullError as for PutEventTypes.
func (s *Store) ImportTypes(ctx context.Context, types []EventType, remove []string, dryRun bool) (TypeChanges, error) {
	var c TypeChanges
	err := s.changeTenant(ctx, "", func(tx *Store) error {
		if err := tx.lockTypes(ctx, ""); err != nil {
			return err
		}
		changed, stored, err := tx.changedTypes(ctx, types)
		if err != nil {
			return err
		}
		c = TypeChanges{Unchanged: len(types) - len(changed)}
		for _, t := range changed {
			if stored[t.Name] == nil {
				c.Created = append(c.Created, t.Name)
			} else {
				c.Updated = append(c.Updated, t.Name)
			}
		}
		if c.Deleted, err = tx.removeTypes(ctx, remove); err != nil {
			return err
		}
		if err := tx.putTypes(ctx, "", types); err != nil {
			return err
		}
		if dryRun {
			return errDryRun
		}
		return nil
	})
	if errors.Is(err, errDryRun) {
		err = nil
	}
	return c, err
}

// removeTypes deletes shared types, and returns the names of those that existed.
func (s *Store) removeTypes(ctx context.Context, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	var removed []string
	err := s.db.WithContext(ctx).Raw("DELETE FROM event_types WHERE tenant = '' AND name IN ? RETURNING name", names).Scan(&removed).Error
	if err != nil || len(removed) == 0 {
		return nil, err
	}
	if err := s.touchTypes(ctx, ""); err != nil {
		return nil, err
	}
	slices.Sort(removed)
	for _, name := range removed {
		if err := s.audit(ctx, "", AuditEventTypeDeleted, AuditTarget{"event_type", name}, nil); err != nil {
			return nil, err
		}
	}
	return removed, nil
}

// NamedTypes returns those of the names for which a webhook of any tenant is registered by name, not by a wildcard. It
// reads all webhooks, a page at a time.
func (s *Store) NamedTypes(ctx context.Context, names []string) ([]string, error) {
	asked, named := map[string]bool{}, []string{}
	for _, name := range names {
		asked[name] = true
	}
	for after := ""; len(asked) > 0; {
		var rows []Webhook
		err := alive(s.db.WithContext(ctx)).Select("id", "event_types").Where("id > ?", after).Order("id").Limit(wantedPage).Find(&rows).Error
		if err != nil {
			return nil, err
		}
		for i := range rows {
			for _, name := range rows[i].EventTypes {
				if asked[name] {
					delete(asked, name)
					named = append(named, name)
				}
			}
		}
		if len(rows) < wantedPage {
			break
		}
		after = rows[len(rows)-1].ID
	}
	slices.Sort(named)
	return named, nil
}
