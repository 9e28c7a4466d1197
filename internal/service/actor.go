package service

import (
	"context"

	"github.com/posthorn/posthorn/models"
)

// Actor is the author of a change, for the record: a key, or a person who is known in some other way.
type Actor struct {
	// Kind is one of the kinds in models. "" = unknown.
	Kind string
	// ID is the key's id. For an admin key it is "admin", or "admin:" and its name.
	ID string
	// Name is the key's name.
	Name string
	// Address is the caller's IP address, without a port. "" = there is no caller.
	Address string
	// RequestID is the id in the answer's X-Request-Id.
	RequestID string
}

type actorKey struct{}

// WithActor returns a context that carries the actor.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf returns the context's actor, the zero Actor if it has none.
func ActorOf(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a
}

// Acting returns the context of an authenticated request: its actor, whose address and request id are already known,
// is the principal's key or portal link.
func Acting(ctx context.Context, p Principal) context.Context {
	a := ActorOf(ctx)
	a.Kind, a.ID, a.Name = models.ActorKey, p.KeyID, p.Name
	switch {
	case p.Role == models.RoleAdmin:
		a.Kind = models.ActorAdmin
	case p.Link:
		a.Kind = models.ActorLink
	}
	if p.Link {
		ctx = context.WithValue(ctx, flagsKey{}, &p.FeatureFlags)
	}
	return WithActor(ctx, a)
}

type flagsKey struct{}

// flagsOf returns the feature flags of the portal link that acts; nil = no link does.
func flagsOf(ctx context.Context) *[]string {
	flags, _ := ctx.Value(flagsKey{}).(*[]string)
	return flags
}
