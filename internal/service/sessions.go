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

// How long things work.
const (
	codeFor = 5 * time.Minute
	// signInFor is how long somebody who signed in with a key stays signed in.
	signInFor = 12 * time.Hour
	// localCodeFor is how long the sign-in link works that `dev` prints.
	localCodeFor = 24 * time.Hour
	// LinkFor is how long a portal link's session and token last where nothing else is asked for.
	LinkFor          = time.Hour
	minLink, maxLink = time.Minute, 7 * 24 * time.Hour
)

// The capabilities that a portal link may add to its role.
const (
	CapabilityKeys     = "keys"     // see and revoke the tenant's keys
	CapabilitySettings = "settings" // change the administrators' addresses
	// CapabilityNone is no capability: what needs it is not for portal links.
	CapabilityNone = ""
)

// LinkRequest asks for a portal link.
type LinkRequest struct {
	Role         models.Role
	ExpiresIn    *time.Duration // nil = LinkFor
	Capabilities []string
	Name         string // of who comes through it
	Theme        map[string]string
}

// PortalLink is a portal link that has just been made.
type PortalLink struct {
	models.Session
	URL   string // holds a code that works once
	Token string // for calls of the API
}

// CreatePortalLink makes a link that opens the portal of a tenant. It gives no more than the principal has.
func (s *Service) CreatePortalLink(ctx context.Context, by Principal, tenant string, r LinkRequest) (PortalLink, error) {
	var p problems
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
		Capabilities: append([]string{}, r.Capabilities...), Theme: theme, Code: hashText(code), Token: hashText(token),
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

// EndPortalLinks lets the tenant's links end after a time, at once if it is 0, unless they end sooner. With names, only links of
// these names.
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

// Session is somebody who is signed in.
type Session struct {
	Principal
	ID      string
	Theme   map[string]string
	Cookie  string // only of a session that has just begun
	Expires time.Time
}

// SignIn begins a session for the key. Forbidden if there is nothing that its role could see.
func (s *Service) SignIn(ctx context.Context, key string) (Session, error) {
	p, err := s.Authenticate(ctx, key)
	if err != nil {
		return Session{}, err
	}
	if p.Role == models.RolePublish || p.Role == models.RoleSettings {
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

// LocalCode makes a code that signs the bootstrap admin key in, once. It must only be redeemed from the same machine.
func (s *Service) LocalCode(ctx context.Context) (string, error) {
	code, until := secrets.NewToken(secrets.PrefixCode), s.Store.Now().Add(localCodeFor)
	x := models.Session{ID: models.NewID(models.PrefixSession), Kind: models.SessionKey, Name: bootstrap, Role: models.RoleAdmin, KeyID: bootstrap,
		Capabilities: []string{}, Theme: map[string]string{}, Code: hashText(code), CodeUntil: until, ExpiresAt: until}
	return code, s.Store.CreateSession(ctx, &x)
}

// RedeemCode begins the session of a code, for the staff or for a tenant's people. A code that has been redeemed leads to the
// session that it made, if cookie is that session's, and to none otherwise.
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

// SessionOf finds the session of a cookie. Unauthorized if it is not in force: it has ended or expired, or its key or its link
// has been revoked.
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
			return Session{}, refused // the admin key is another one now
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

// proof ties a session of the staff to the admin key that made it. Those keys are in no database: when one is taken out of the
// configuration or replaced, its sessions end. "" of any other principal, and of an admin key that is not there.
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
	}
	return p
}

// hashText is how the secrets of sessions are kept.
func hashText(secret string) *string {
	return new(hex.EncodeToString(secrets.HashAPIKey(secret)))
}
