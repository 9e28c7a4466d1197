package models

import (
	"context"
	"slices"
	"time"
)

// SessionKind is how a session was created.
type SessionKind string

// The kinds of sessions.
const (
	SessionKey  SessionKind = "key"  // signed in with a key
	SessionLink SessionKind = "link" // a portal link; its session begins when the code is redeemed
)

// Session is the permission to act for a key or through a portal link, with the secrets that open it, as SHA-256 in
// hexadecimal.
type Session struct {
	ID           string
	Tenant       string // "" = the platform's staff
	Kind         SessionKind
	Name         string // the actor's name
	Role         Role
	KeyID        string            // the key that created it. "" = a link that an admin key created
	Capabilities []string          `gorm:"serializer:json;not null"` // what a link allows in addition to its role
	FeatureFlags []string          `gorm:"serializer:json"`          // of the event types that a link shows beside those without flags
	Theme        map[string]string `gorm:"serializer:json;not null"` // how a link's pages look
	Epoch        int64             // the tenant's epoch when the session was created
	Code         *string           // works once, until CodeUntil
	Cookie       *string           // nil = the code has not been redeemed
	Token        *string
	Proof        string // for a staff session: made from the cookie and the admin key
	CodeUntil    time.Time
	CreatedAt    time.Time
	ExpiresAt    time.Time
}

// The secrets by which a session can be found.
const (
	ByCode   = "code"
	ByCookie = "cookie"
	ByToken  = "token"
)

// CreateSession stores a session. ErrNotFound if its tenant does not exist.
func (s *Store) CreateSession(ctx context.Context, x *Session) error {
	x.CreatedAt = s.now()
	return s.Tx(ctx, func(tx *Store) error {
		db := tx.db.WithContext(ctx)
		if x.Tenant != "" {
			if err := tx.holdTenant(ctx, x.Tenant); err != nil {
				return err
			}
			if err := db.Raw("SELECT link_epoch FROM tenants WHERE id = ?", x.Tenant).Scan(&x.Epoch).Error; err != nil {
				return err
			}
		}
		if err := db.Create(x).Error; err != nil {
			return found(err)
		}
		if x.Kind != SessionLink {
			return nil
		}
		return tx.audit(ctx, x.Tenant, AuditPortalLinkCreated, AuditTarget{"portal_link", x.ID}, AuditChanges{"name": FromTo(nil, x.Name),
			"role": FromTo(nil, string(x.Role)), "capabilities": FromTo(nil, x.Capabilities), "expires_at": FromTo(nil, x.ExpiresAt)})
	})
}

// sessionInForce is true for a session that has not expired, whose tenant and key still exist, and which has not been
// revoked with all of its tenant's links.
const sessionInForce = `expires_at > ? AND (tenant = '' OR EXISTS (SELECT 1 FROM tenants t WHERE t.id = sessions.tenant AND t.deleted_at IS NULL
		AND (sessions.kind <> 'link' OR t.link_epoch = sessions.epoch)))
	AND (tenant = '' OR key_id = '' OR EXISTS (SELECT 1 FROM api_keys k WHERE k.id = sessions.key_id AND k.revoked_at IS NULL))`

// SessionBy returns the session in force that a secret opens: ByCode, ByCookie or ByToken.
func (s *Store) SessionBy(ctx context.Context, secret, hash string) (Session, error) {
	var x Session
	err := s.db.WithContext(ctx).Take(&x, secret+" = ? AND "+sessionInForce, hash, s.now()).Error
	return x, found(err)
}

// RedeemCode starts the session of a code. ErrNotFound if the code has already been redeemed or has expired.
func (s *Store) RedeemCode(ctx context.Context, id, cookie, proof string) error {
	result := s.db.WithContext(ctx).Exec("UPDATE sessions SET cookie = ?, proof = ? WHERE id = ? AND cookie IS NULL AND code_until > ?",
		cookie, proof, id, s.now())
	if result.Error == nil && result.RowsAffected == 0 {
		return ErrNotFound
	}
	return result.Error
}

// EndSession ends the session of a cookie. A link's token stays in force, and its code stays used.
func (s *Store) EndSession(ctx context.Context, id string) error {
	db := s.db.WithContext(ctx)
	if err := db.Exec("DELETE FROM sessions WHERE id = ? AND kind = ?", id, SessionKey).Error; err != nil {
		return err
	}
	return db.Exec("UPDATE sessions SET cookie = ? WHERE id = ?", "ended "+id, id).Error
}

// RevokeLink ends one portal link with its session and its token. ErrNotFound if the tenant has no such link in force.
func (s *Store) RevokeLink(ctx context.Context, tenant, id string) error {
	return s.Tx(ctx, func(tx *Store) error {
		result := tx.db.WithContext(ctx).Exec("DELETE FROM sessions WHERE tenant = ? AND id = ? AND kind = ? AND "+sessionInForce, tenant, id, SessionLink, tx.now())
		if result.Error == nil && result.RowsAffected == 0 {
			return ErrNotFound
		}
		if result.Error != nil {
			return result.Error
		}
		return tx.audit(ctx, tenant, AuditPortalLinkRevoked, AuditTarget{"portal_link", id}, nil)
	})
}

// RevokeLinks revokes all portal links of a tenant, however many there are. ErrNotFound if the tenant does not exist.
func (s *Store) RevokeLinks(ctx context.Context, tenant string) error {
	return s.changeTenant(ctx, tenant, func(tx *Store) error {
		db := tx.db.WithContext(ctx)
		var epoch int64
		result := db.Raw("UPDATE tenants SET link_epoch = link_epoch + 1 WHERE id = ? AND deleted_at IS NULL RETURNING link_epoch", tenant).Scan(&epoch)
		if result.Error == nil && result.RowsAffected == 0 {
			return ErrNotFound
		}
		if result.Error != nil {
			return result.Error
		}
		var revoked []string
		err := db.Raw("SELECT id FROM sessions WHERE tenant = ? AND kind = 'link' AND epoch = ? AND expires_at > ? LIMIT 1", tenant, epoch-1, tx.now()).
			Scan(&revoked).Error
		if err != nil || len(revoked) == 0 {
			return err
		}
		return tx.audit(ctx, tenant, AuditPortalLinksRevoked, AuditTarget{"tenant", TenantSlug(tenant)}, nil)
	})
}

// linksLooked is how many sessions one page of EndLinks examines.
const linksLooked = 1000

// EndLinks makes the tenant's portal links in force end at a time, unless they end earlier. With names, only links
// with these names. It works in pages, and repeating a failed call finds the links that the failed one has not
// reached. ErrNotFound if the tenant does not exist.
func (s *Store) EndLinks(ctx context.Context, tenant string, names []string, at time.Time) error {
	for after := ""; ; {
		last := ""
		err := s.Tx(ctx, func(tx *Store) (err error) {
			last, err = tx.endLinksPage(ctx, tenant, names, *timeOf(at), after)
			return err
		})
		if after = last; err != nil || after == "" {
			return err
		}
	}
}

// endLinksPage is EndLinks for the sessions after one. It returns the last examined one, "" = there are no more.
func (s *Store) endLinksPage(ctx context.Context, tenant string, names []string, at time.Time, after string) (last string, err error) {
	db := s.db.WithContext(ctx)
	var epoch int64
	result := db.Raw("SELECT link_epoch FROM tenants WHERE id = ? AND deleted_at IS NULL", tenant).Scan(&epoch)
	if result.Error == nil && result.RowsAffected == 0 {
		return "", ErrNotFound
	}
	if result.Error != nil {
		return "", result.Error
	}
	var rows []Session
	err = db.Select("id", "kind", "name", "epoch", "expires_at").Where("tenant = ? AND id > ?", tenant, after).Order("id").Limit(linksLooked).Find(&rows).Error
	if err != nil {
		return "", err
	}
	var ids []string
	for i := range rows {
		x := &rows[i]
		if x.Kind == SessionLink && x.Epoch == epoch && x.ExpiresAt.After(at) && (len(names) == 0 || slices.Contains(names, x.Name)) {
			ids = append(ids, x.ID)
		}
	}
	if len(rows) == linksLooked {
		last = rows[len(rows)-1].ID
	}
	if len(ids) == 0 {
		return last, nil
	}
	if err := db.Exec("UPDATE sessions SET expires_at = ? WHERE id IN ?", at, ids).Error; err != nil {
		return "", err
	}
	return last, s.audit(ctx, tenant, AuditPortalLinksRevoked, AuditTarget{"tenant", TenantSlug(tenant)},
		AuditChanges{"links": FromTo(nil, len(ids)), "expires_at": FromTo(nil, at)})
}
