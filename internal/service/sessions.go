package service

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/models"
)

// How long sessions, codes and links last.
const (
	codeFor = 5 * time.Minute
	// signInFor is how long a session that was signed in with a key lasts.
	signInFor = 12 * time.Hour
	// localCodeFor is how long the sign-in link that `dev` prints works.
	localCodeFor = 24 * time.Hour
	// LinkFor is how long a portal link's session and token last by default.
	LinkFor          = time.Hour
	minLink, maxLink = time.Minute, 7 * 24 * time.Hour
)

// The capabilities that a portal link may add to its role.
const (
	CapabilityKeys     = "keys"     // see and revoke the tenant's keys
	CapabilitySettings = "settings" // change the administrators' addresses
	// CapabilityNone is no capability: portal links may not do what needs it.
	CapabilityNone = ""
)

// LinkRequest is a request for a portal link.
type LinkRequest struct {
	Role         models.Role
	ExpiresIn    *time.Duration // nil = LinkFor
	Capabilities []string
	FeatureFlags []string // event types with one of them are visible, and those without any
	Name         string   // the user's name
	Theme        map[string]string
	Wrong        []FieldError // errors that the caller has found already: the request is refused with them and all others
}

// PortalLink is a newly created portal link.
type PortalLink struct {
	models.Session
	URL   string // contains a code that works once
	Token string // for calls of the API
}

// CreatePortalLink creates a link that opens a tenant's portal. It grants no more than the principal has.
func (s *Service) CreatePortalLink(ctx context.Context, by Principal, tenant string, r LinkRequest) (PortalLink, error) {
	p := problems(slices.Clone(r.Wrong))
	if r.Role != models.RoleTenant && r.Role != models.RoleRead {
		p.addf("role", "must be tenant or read")
	}
	lasts := LinkFor
	if r.ExpiresIn != nil {
		lasts = *r.ExpiresIn
	}
	if lasts < minLink || lasts > maxLink {
		p.addf("expires_in", "must be from 60s to 168h")
	}
	for i, c := range r.Capabilities {
		if c != CapabilityKeys && c != CapabilitySettings || slices.Index(r.Capabilities, c) < i {
			p.addf(index("capabilities", i), "must be keys or settings, each once")
		}
	}
	checkLength(&p, "name", r.Name, 200)
	checkFlags(&p, r.FeatureFlags)
	checkTheme(&p, r.Theme, s.LogoOrigins)
	if err := p.err(); err != nil {
		return PortalLink{}, err
	}
	switch {
	case by.Link:
		return PortalLink{}, Refuse(Forbidden, "a portal link cannot create portal links")
	case by.Role != models.RoleAdmin && slices.Contains(r.Capabilities, CapabilitySettings):
		return PortalLink{}, Refuse(Forbidden, "only an admin key can grant the capability settings: a tenant's keys do not have it")
	case s.PublicURL == "":
		return PortalLink{}, Refuse(Conflict, "the link needs this installation's public address: set POSTHORN_PUBLIC_URL")
	}
	theme := r.Theme
	if theme == nil {
		theme = map[string]string{}
	}
	code, token, now := secrets.NewToken(secrets.PrefixCode), secrets.NewToken(secrets.PrefixToken), s.Store.Now()
	link := PortalLink{Token: token, URL: s.PublicURL + "/portal/open?" + url.Values{"code": {code}}.Encode(), Session: models.Session{
		ID: models.NewID(models.PrefixLink), Tenant: tenant, Kind: models.SessionLink, Name: r.Name, Role: r.Role,
		Capabilities: append([]string{}, r.Capabilities...), FeatureFlags: r.FeatureFlags, Theme: theme, Code: hashText(code), Token: hashText(token),
		CodeUntil: now.Add(min(codeFor, lasts)), ExpiresAt: now.Add(lasts)}}
	if by.Role != models.RoleAdmin {
		link.KeyID = by.KeyID
	}
	if link.Name == "" {
		link.Name = "portal link"
	}
	err := s.Store.CreateSession(ctx, &link.Session)
	return link, known(err, "tenant")
}

// RevokePortalLink ends a link with its session and its token, at once and in every process.
func (s *Service) RevokePortalLink(ctx context.Context, tenant, id string) error {
	return known(s.Store.RevokeLink(ctx, tenant, id), "portal link")
}

// RevokePortalLinks ends all of the tenant's links.
func (s *Service) RevokePortalLinks(ctx context.Context, tenant string) error {
	return known(s.Store.RevokeLinks(ctx, tenant), "tenant")
}

// EndPortalLinks ends the tenant's links after a time, at once if it is 0, unless they end sooner. With names, only
// links with these names.
func (s *Service) EndPortalLinks(ctx context.Context, tenant string, names []string, after time.Duration) error {
	return known(s.Store.EndLinks(ctx, tenant, names, s.Store.Now().Add(after)), "tenant")
}

// AuthenticateToken is Authenticate for APIs that portal tokens may call.
func (s *Service) AuthenticateToken(ctx context.Context, key string) (Principal, error) {
	if !strings.HasPrefix(key, secrets.PrefixToken) {
		return s.Authenticate(ctx, key)
	}
	now := s.Now()
	x, err := s.Store.SessionBy(ctx, models.ByToken, *hashText(key))
	switch {
	case errors.Is(err, models.ErrNotFound):
		return Principal{}, s.guesses.failed(ctx, now)
	case err != nil:
		return Principal{}, err
	}
	p := principalOf(&x)
	return p, s.rates.take(p, now)
}

// Session is a signed-in session.
type Session struct {
	Principal
	ID      string
	Theme   map[string]string
	Cookie  string // only set in a new session
	Expires time.Time
}

// SignIn starts a session for the key. Forbidden if its role may not read.
func (s *Service) SignIn(ctx context.Context, key string) (Session, error) {
	p, err := s.Authenticate(ctx, key)
	if err != nil {
		return Session{}, err
	}
	if !p.May(p.Tenant, models.RoleRead) {
		return Session{}, Refuse(Forbidden, "a key with the role %q cannot sign in", p.Role)
	}
	cookie, now := secrets.NewToken(secrets.PrefixCookie), s.Store.Now()
	x := models.Session{ID: models.NewID(models.PrefixSession), Tenant: p.Tenant, Kind: models.SessionKey, Name: p.Name, Role: p.Role, KeyID: p.KeyID,
		Capabilities: []string{}, Theme: map[string]string{}, Cookie: hashText(cookie), Proof: s.proof(p, cookie), CodeUntil: now, ExpiresAt: now.Add(signInFor)}
	if err := s.Store.CreateSession(ctx, &x); err != nil {
		return Session{}, known(err, "tenant")
	}
	return sessionOf(&x, cookie), nil
}

// LocalCode returns a code that signs in the first admin key once. It must only be redeemed from the same machine.
func (s *Service) LocalCode(ctx context.Context) (string, error) {
	code, until := secrets.NewToken(secrets.PrefixCode), s.Store.Now().Add(localCodeFor)
	x := models.Session{ID: models.NewID(models.PrefixSession), Kind: models.SessionKey, Name: bootstrap, Role: models.RoleAdmin, KeyID: bootstrap,
		Capabilities: []string{}, Theme: map[string]string{}, Code: hashText(code), CodeUntil: until, ExpiresAt: until}
	return code, s.Store.CreateSession(ctx, &x)
}

// RedeemCode starts the session of a code, for the staff or for a tenant's people. If the code has been redeemed and
// cookie is that session's, it returns that session; with any other cookie it returns none.
func (s *Service) RedeemCode(ctx context.Context, code, cookie string, staff bool) (Session, error) {
	refused := Refuse(Unauthorized, "this link has been used or has expired: ask for a new one")
	x, err := s.Store.SessionBy(ctx, models.ByCode, *hashText(code))
	switch {
	case errors.Is(err, models.ErrNotFound):
		_ = s.guesses.failed(ctx, s.Now())
		return Session{}, refused
	case err != nil:
		return Session{}, err
	case staff != (x.Tenant == ""):
		return Session{}, refused
	case x.Cookie != nil && cookie != "" && *x.Cookie == *hashText(cookie):
		return sessionOf(&x, cookie), nil
	}
	cookie = secrets.NewToken(secrets.PrefixCookie)
	switch err := s.Store.RedeemCode(ctx, x.ID, *hashText(cookie), s.proof(principalOf(&x), cookie)); {
	case errors.Is(err, models.ErrNotFound):
		return Session{}, refused
	case err != nil:
		return Session{}, err
	}
	return sessionOf(&x, cookie), nil
}

// SessionOf returns the session of a cookie. Unauthorized if it is not in force: it has ended or expired, or its key
// or link has been revoked.
func (s *Service) SessionOf(ctx context.Context, cookie string) (Session, error) {
	refused := Refuse(Unauthorized, "sign in first")
	if !strings.HasPrefix(cookie, secrets.PrefixCookie) {
		return Session{}, refused
	}
	x, err := s.Store.SessionBy(ctx, models.ByCookie, *hashText(cookie))
	if errors.Is(err, models.ErrNotFound) {
		return Session{}, refused
	}
	if err != nil {
		return Session{}, err
	}
	session := sessionOf(&x, "")
	if x.Tenant == "" {
		if proof := s.proof(session.Principal, cookie); proof == "" || !hmac.Equal([]byte(proof), []byte(x.Proof)) {
			return Session{}, refused // the admin key has been replaced
		}
	}
	return session, s.rates.take(session.Principal, s.Now())
}

// SignOut ends the session of a cookie, if there is one.
func (s *Service) SignOut(ctx context.Context, cookie string) error {
	x, err := s.Store.SessionBy(ctx, models.ByCookie, *hashText(cookie))
	if errors.Is(err, models.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Store.EndSession(ctx, x.ID)
}

// proof ties a staff session to the admin key that created it. Those keys are in no database: when one is removed from
// the configuration or replaced, its sessions end. It returns "" for any other principal, and for an admin key that no
// longer exists.
func (s *Service) proof(p Principal, cookie string) string {
	if p.Role != models.RoleAdmin {
		return ""
	}
	var hash []byte
	if p.KeyID == bootstrap && s.AdminKey != "" {
		hash = secrets.HashAPIKey(s.AdminKey)
	}
	for _, k := range s.admins {
		if p.KeyID == bootstrap+":"+k.name {
			hash = k.hash
		}
	}
	if hash == nil {
		return ""
	}
	mac := hmac.New(sha256.New, []byte(cookie))
	_, _ = mac.Write(hash)
	return hex.EncodeToString(mac.Sum(nil))
}

func sessionOf(x *models.Session, cookie string) Session {
	return Session{Principal: principalOf(x), ID: x.ID, Theme: x.Theme, Cookie: cookie, Expires: x.ExpiresAt}
}

func principalOf(x *models.Session) Principal {
	p := Principal{Tenant: x.Tenant, KeyID: x.KeyID, Name: x.Name, Role: x.Role}
	if x.Kind == models.SessionLink {
		p.KeyID, p.Link, p.Capabilities = x.ID, true, x.Capabilities
		p.FeatureFlags = x.FeatureFlags
	}
	return p
}

// hashText returns the stored form of a session's secret.
func hashText(secret string) *string {
	return new(hex.EncodeToString(secrets.HashAPIKey(secret)))
}
