package service_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

func from(ctx context.Context, address string) context.Context {
	return service.WithActor(ctx, service.Actor{Address: address})
}

// Failures from one address wait longer and longer, up to a limit. Keys in force never wait, from any address.
func TestAuth_OnlyGuessesWait(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	key := env.Tenant("acme")
	now := env.Clock.Now() // stands still: the calls come at once
	env.Service.Now = func() time.Time { return now }
	ctx := from(t.Context(), "203.0.113.9")
	guess := func(ctx context.Context, n int) {
		for i := range n {
			_, err := env.Service.Authenticate(ctx, fmt.Sprint("phk_wrong", i))
			requireRefused(t, err, service.Unauthorized)
		}
	}
	guess(ctx, 10)
	require.Empty(t, env.Pauses.Take(), "a client may be wrong now and then")
	guess(ctx, 3)
	require.Equal(t, []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 600 * time.Millisecond}, env.Pauses.Take())
	guess(ctx, 100)
	waits := env.Pauses.Take()
	require.Len(t, waits, 100)
	require.Equal(t, 5*time.Second, waits[99], "no longer than that")

	for range 50 {
		_, err := env.Service.Authenticate(ctx, key)
		require.NoError(t, err)
		_, err = env.Service.Authenticate(ctx, servicetest.AdminKey)
		require.NoError(t, err)
		_, err = env.Service.AuthenticatePublisher(ctx, "acme", key)
		require.NoError(t, err)
	}
	_, err := env.Service.Authenticate(ctx, "")
	requireRefused(t, err, service.Unauthorized)
	require.Empty(t, env.Pauses.Take())

	guess(from(t.Context(), "203.0.113.10"), 10)
	require.Empty(t, env.Pauses.Take(), "another address")
	for i := range 11 {
		guess(from(t.Context(), fmt.Sprintf("2001:db8:1:2::%x", i+1)), 1)
	}
	require.Len(t, env.Pauses.Take(), 1, "a host has a whole network of IPv6 addresses")
	guess(from(t.Context(), "2001:db8:1:3::1"), 10)
	require.Empty(t, env.Pauses.Take())
	now = now.Add(time.Minute)
	guess(ctx, 10)
	require.Empty(t, env.Pauses.Take(), "it is forgotten")
	_, err = env.Service.AuthenticatePublisher(ctx, "acme", "phk_wrong")
	requireRefused(t, err, service.Unauthorized)
	require.Len(t, env.Pauses.Take(), 1, "publishing is no way around it")
}

func TestAuth_CallsOfAKeyAndATenantAreCounted(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t, func(_ *sender.Config, o *service.Options) { o.RequestRate = 2 })
	now := env.Clock.Now()
	env.Service.Now = func() time.Time { return now }
	key, other := env.Tenant("acme"), env.Tenant("globex")
	call := func(key string) *service.Error {
		_, err := env.Service.Authenticate(t.Context(), key)
		refused, _ := errors.AsType[*service.Error](err)
		return refused
	}
	for range 4 { // a burst of twice the rate
		require.Nil(t, call(key))
	}
	refused := call(key)
	require.Equal(t, service.TooMany, refused.Code)
	require.Equal(t, 1, refused.RetryAfter)
	_, err := env.Service.AuthenticatePublisher(t.Context(), "acme", key)
	requireRefused(t, err, service.TooMany)
	require.Nil(t, call(other), "another tenant's key")
	require.Nil(t, call(servicetest.AdminKey))
	now = now.Add(time.Second)
	require.Nil(t, call(key))
	require.Nil(t, call(key))
	require.Equal(t, service.TooMany, call(key).Code, "what was refused has not counted")

	now = now.Add(time.Hour)
	for range 20 { // keys of one tenant, each within its own rate: the tenant may make 40 calls at once
		k := env.Key("acme", models.RoleRead)
		require.Nil(t, call(k))
		require.Nil(t, call(k))
	}
	require.Equal(t, service.TooMany, call(env.Key("acme", models.RoleRead)).Code)
	for range 3 {
		require.Nil(t, call(other))
	}
	for range 4 {
		require.Nil(t, call(servicetest.AdminKey))
	}
	require.Equal(t, service.TooMany, call(servicetest.AdminKey).Code)
}

func TestAuth_AdminKeysHaveNames(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t, func(_ *sender.Config, o *service.Options) {
		o.AdminKeys = []service.AdminKey{{Name: "alice", Key: "alice's key, which is long"}, {Name: "bob", Key: "bob's key, which is long"}}
	})
	for key, want := range map[string]service.Actor{
		servicetest.AdminKey:         {Kind: "admin", ID: "admin", Name: "admin"},
		"alice's key, which is long": {Kind: "admin", ID: "admin:alice", Name: "alice"},
		"bob's key, which is long":   {Kind: "admin", ID: "admin:bob", Name: "bob"},
	} {
		p, err := env.Service.Authenticate(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, models.RoleAdmin, p.Role)
		require.Equal(t, key, p.Secret())
		want.Address, want.RequestID = "203.0.113.9", "r1"
		ctx := service.WithActor(t.Context(), service.Actor{Address: "203.0.113.9", RequestID: "r1"})
		require.Equal(t, want, service.ActorOf(service.Acting(ctx, p)))
	}
	_, err := env.Service.Authenticate(t.Context(), "alice")
	requireRefused(t, err, service.Unauthorized)
	require.Equal(t, service.Actor{}, service.ActorOf(t.Context()))

	env.Service.AdminKey = "" // it has been rotated out
	_, err = env.Service.Authenticate(t.Context(), servicetest.AdminKey)
	requireRefused(t, err, service.Unauthorized)
}

// The use of a key is recorded at once, then at most once a minute. Publishing records it too.
func TestAuth_TheLastUseOfAKeyIsKnown(t *testing.T) {
	onBoth(t, 4, func(t *testing.T, env *servicetest.Env, store *models.Store) {
		key := env.Tenant("acme")
		begun := time.Now().UTC().Truncate(time.Millisecond)
		now := begun
		used := func() *time.Time {
			keys, err := store.APIKeys(t.Context(), "acme")
			require.NoError(t, err)
			return keys[0].LastUsedAt
		}
		// Each process has its own memory of what it has written. Closing it waits for the writes.
		process := func(calls func(s *service.Service)) {
			s := env.Another()
			s.Now = func() time.Time { return now }
			calls(s)
			s.Close()
		}
		require.Nil(t, used())
		process(func(s *service.Service) {
			_, err := s.Authenticate(t.Context(), "phk_wrong")
			require.Error(t, err)
		})
		require.Nil(t, used())
		process(func(s *service.Service) {
			for range 10 {
				_, err := s.Authenticate(t.Context(), key)
				require.NoError(t, err)
				now = now.Add(time.Second)
			}
		})
		require.Equal(t, begun, used().UTC())
		now = begun.Add(time.Hour)
		process(func(s *service.Service) {
			_, err := s.AuthenticatePublisher(t.Context(), "acme", key)
			require.NoError(t, err)
		})
		require.Equal(t, begun.Add(time.Hour), used().UTC())
		now = begun
		process(func(s *service.Service) {
			_, err := s.Authenticate(t.Context(), key)
			require.NoError(t, err)
		})
		require.Equal(t, begun.Add(time.Hour), used().UTC(), "another process has seen it later")
	})
}
