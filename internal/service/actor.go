package service

import (
	"context"

	"github.com/posthorn/posthorn/models"
)

// Actor is who makes a change, for the record: a key, or a person who is known in some other way.
type Actor struct {
	// Kind is one of the kinds in models. "" means that it is not known.
	Kind string
	// ID is the key's id. Of an admin key it is "admin", or "admin:" and its name.
	ID string
	// Name is what the key is called.
	Name string
	// Address is the IP address of the caller, without a port. "" means that there is no caller.
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

// Acting returns the context of a request that has been authenticated: its actor, whose address and id are known already,
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
	return WithActor(ctx, a)
}
