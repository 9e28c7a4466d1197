package hooks

import "context"

// Actor is who makes a change, for the record: a key, or a person who is known in some other way.
type Actor struct {
	// Kind is "admin", "key" (a tenant's), "staff" or "system". "" means that it is not known.
	Kind string
	// ID is the key's id. An admin key's is "admin:" and its name.
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
