package service

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"

	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/models"
)

// Principal is an authenticated caller: an API key in force, or the user of a portal link.
type Principal struct {
	Tenant string // its id; "" for an admin
	KeyID  string // the id of the key or the link
	Name   string // the name of the key or the link; created_by of everything it creates
	Role   models.Role
	// Link says that it is a portal link, which may do less than a key with its role: see Can.
	Link         bool
	Capabilities []string
	FeatureFlags []string // of a portal link: the event types with one of them are seen
	key          string
}

// Can reports whether the principal has a capability. Keys have all; a portal link has those it was created with.
func (p Principal) Can(capability string) bool {
	return !p.Link || slices.Contains(p.Capabilities, capability)
}

// Secret returns the key itself: InMemory4 signs with it.
func (p Principal) Secret() string { return p.key }

// May reports whether the principal can act in the tenant with a role that includes at least one of roles. Admins, and
// keys of the tenant with the role tenant, may do everything.
func (p Principal) May(tenant string, roles ...models.Role) bool {
	if p.Role == models.RoleAdmin {
		return true
	}
	if p.Tenant != tenant {
		return false
	}
	if p.Role == models.RoleTenant {
		return true
	}
	return slices.Contains(roles, p.Role)
}

// AdminKey is an admin key with its actor name.
type AdminKey struct{ Name, Key string }

type adminKey struct {
	name string
	hash []byte
}

func hashed(keys []AdminKey) []adminKey {
	var all []adminKey
	for _, k := range keys {
		all = append(all, adminKey{k.Name, secrets.HashAPIKey(k.Key)})
	}
	return all
}

// bootstrap is the id and the name of the installation's first admin key.
const bootstrap = "admin"

// admin returns the principal of the admin key with this hash. It takes the same time for every key, and for none.
func (s *Service) admin(hash []byte) (Principal, bool) {
	p, ok := Principal{Role: models.RoleAdmin}, false
	if s.AdminKey != "" && subtle.ConstantTimeCompare(secrets.HashAPIKey(s.AdminKey), hash) == 1 {
		p.KeyID, p.Name, ok = bootstrap, bootstrap, true
	}
	for i := range s.admins {
		if k := &s.admins[i]; subtle.ConstantTimeCompare(k.hash, hash) == 1 {
			p.KeyID, p.Name, ok = bootstrap+":"+k.name, k.name, true
		}
	}
	return p, ok
}

// Authenticate returns the principal of a key. It returns Unauthorized for anything that is not a key in force; the
// more often that happens from the context's address (ActorOf), the later it returns. It returns TooMany if the key
// calls too often.
func (s *Service) Authenticate(ctx context.Context, key string) (Principal, error) {
	return s.authenticate(ctx, key, func(hash []byte) (models.APIKey, error) { return s.Store.APIKeyByHash(ctx, hash) })
}

// AuthenticatePublisher is Authenticate for publishing to the tenant with this slug: a key of the tenant that is in
// memory is not looked up. Publish checks in the accepting transaction whether it has been revoked in the meantime.
func (s *Service) AuthenticatePublisher(ctx context.Context, slug, key string) (Principal, error) {
	return s.authenticate(ctx, key, func(hash []byte) (models.APIKey, error) {
		id, ok := s.ids.Get(slug)
		if !ok {
			id = slug
		}
		if v, ok := s.directory.views.Get(id); ok {
			if k, ok := v.keys[string(hash)]; ok {
				return k, nil
			}
		}
		k, err := s.Store.APIKeyByHash(ctx, hash)
		if err == nil && models.TenantSlug(k.Tenant) == slug {
			s.ids.Add(slug, k.Tenant)
		}
		return k, err
	})
}

// inForce reports whether the principal's key is among the tenant's keys in the view.
func (p Principal) inForce(v *view) bool {
	if p.key == "" || p.Role == models.RoleAdmin {
		return true
	}
	_, ok := v.keys[string(secrets.HashAPIKey(p.key))]
	return ok
}

func (s *Service) authenticate(ctx context.Context, key string, find func(hash []byte) (models.APIKey, error)) (Principal, error) {
	if key == "" { // not a guess
		return Principal{}, Refuse(Unauthorized, "a valid API key is required")
	}
	now, hash := s.Now(), secrets.HashAPIKey(key)
	if p, ok := s.admin(hash); ok {
		p.key = key
		return p, s.rates.take(p, now)
	}
	k, err := find(hash)
	switch {
	case errors.Is(err, models.ErrNotFound):
		return Principal{}, s.guesses.failed(ctx, now)
	case err != nil:
		return Principal{}, err
	}
	s.uses.note(k.ID, now)
	p := Principal{Tenant: k.Tenant, KeyID: k.ID, Name: k.Name, Role: k.Role, key: key}
	return p, s.rates.take(p, now)
}

// CreateKey creates a key for the tenant and returns it in clear. It is shown only this once.
func (s *Service) CreateKey(ctx context.Context, tenant, name string, role models.Role) (models.APIKey, string, error) {
	var p problems
	checkLength(&p, "name", name, 200)
	if roles := models.Roles(); !slices.Contains(roles, role) {
		p.addf("role", "must be one of %s", joined(roles))
	}
	if err := p.err(); err != nil {
		return models.APIKey{}, "", err
	}
	if _, err := s.Tenant(ctx, tenant); err != nil {
		return models.APIKey{}, "", err
	}
	key := secrets.NewAPIKey()
	k := models.APIKey{ID: models.NewID(models.PrefixKey), Tenant: tenant, Name: name, Role: role, Hash: secrets.HashAPIKey(key)}
	if err := s.Store.CreateAPIKey(ctx, &k); err != nil {
		return models.APIKey{}, "", known(err, "tenant")
	}
	return k, key, nil
}

// Keys lists the tenant's keys in force.
func (s *Service) Keys(ctx context.Context, tenant string, page models.Page) ([]models.APIKey, string, error) {
	return readPage(ctx, s, "key", func(ctx context.Context, store *models.Store) ([]models.APIKey, string, error) {
		return store.APIKeyPage(ctx, tenant, page)
	})
}

// RevokeKey revokes a key at once. Webhooks that send it to receivers stop doing so, see retireKey.
func (s *Service) RevokeKey(ctx context.Context, tenant, id string) error {
	keys, err := s.Store.APIKeys(ctx, tenant)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(keys, func(k models.APIKey) bool { return k.ID == id })
	if i < 0 {
		return Refuse(NotFound, "there is no such key")
	}
	// Once before, so that no crash leaves a revoked key in a webhook, and once after, for webhooks saved with the key
	// in the meantime.
	if err := s.retireKey(ctx, tenant, keys[i].Hash); err != nil {
		return err
	}
	err = known(s.Store.RevokeAPIKey(ctx, tenant, id), "key")
	if s.directory.forget(tenant); err != nil {
		return err
	}
	return s.retireKey(ctx, tenant, keys[i].Hash)
}
