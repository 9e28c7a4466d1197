package service_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// posted keeps the requests that are made, and answers them all with 204.
type posted struct {
	mu       sync.Mutex
	requests []sender.Request
}

func (p *posted) Post(_ context.Context, r sender.Request) sender.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, r)
	return sender.Result{StartedAt: time.Now(), StatusCode: http.StatusNoContent, Outcome: sender.Received}
}

// process is a Posthorn with a keyset that has started on the database.
type process struct {
	*servicetest.Env
	t    *testing.T
	sent *posted
}

func newProcess(t *testing.T, s *models.Store, keyset string) *process {
	t.Helper()
	require.NoError(t, start(t, s, keyset))
	sent := &posted{}
	env := servicetest.New(t, servicetest.WithPoster(sent), func(_ *sender.Config, o *service.Options) { o.Store, o.Box, o.Now = s, boxOf(t, keyset), s.Clock })
	return &process{Env: env, t: t, sent: sent}
}

// hook is a webhook with every sealed value, and its values at registration.
type hook struct {
	models.Webhook
	secrets []string // that sign
	header  string
}

func (p *process) hook(n int) hook {
	p.t.Helper()
	h := hook{header: fmt.Sprintf("Bearer %d", n)}
	headers := map[string]string{"Authorization": h.header}
	w, secret, err := p.Service.CreateWebhook(p.t.Context(), "acme", service.WebhookChange{URL: new("https://shop.example/hooks"), Headers: &headers, By: "test"})
	require.NoError(p.t, err)
	h.Webhook, h.secrets = w, []string{secret}
	return h
}

// rotate gives the webhook a second secret beside the first.
func (p *process) rotate(h hook) hook {
	p.t.Helper()
	secret, err := p.Service.RotateSecret(p.t.Context(), "acme", h.ID, time.Hour, "", "test")
	require.NoError(p.t, err)
	h.secrets = append([]string{secret}, h.secrets...)
	return h
}

// sends checks that the process sends to the webhook with its headers, signed with its secrets.
func (p *process) sends(h hook) {
	p.t.Helper()
	again := service.New(p.Service.Options) // which remembers no view
	r, err := again.Receiver(p.t.Context(), "acme", h.ID)
	require.NoError(p.t, err)
	_, result := again.Post(p.t.Context(), r, &models.Event{Tenant: "acme", ID: "evt_1", Type: "order.created", Data: []byte(`{}`), CreatedAt: time.Now()})
	require.Equal(p.t, sender.Received, result.Outcome)
	request := p.sent.requests[len(p.sent.requests)-1]
	require.Equal(p.t, h.header, request.Header.Get("Authorization"))
	if h.Profile == wire.ProfileIM4 {
		require.Equal(p.t, h.secrets[0], request.Header.Get("Signature"))
		return
	}
	for _, secret := range h.secrets {
		verifier, err := standardwebhooks.NewWebhook(secret)
		require.NoError(p.t, err)
		require.NoError(p.t, verifier.VerifyIgnoringTimestamp(request.Body, request.Header))
	}
}

// sealedBy counts the webhooks by the key that sealed their secrets.
func sealedBy(t *testing.T, s *models.Store) map[secrets.KeyID]int {
	t.Helper()
	counts := map[secrets.KeyID]int{}
	for after := ""; ; {
		page, err := s.SealedAfter(t.Context(), after)
		require.NoError(t, err)
		for _, row := range page {
			bySecret, _ := secrets.SealedBy(row.Secrets)
			byHeaders, _ := secrets.SealedBy(row.Headers)
			require.Equal(t, bySecret, byHeaders)
			counts[bySecret]++
			after = row.ID
		}
		if len(page) < models.SealedPage {
			return counts
		}
	}
}

func reencrypt(t *testing.T, s *models.Store, keyset string) service.Reencrypted {
	t.Helper()
	done, err := service.Reencrypt(t.Context(), s, boxOf(t, keyset), func(service.Reencrypted) {})
	require.NoError(t, err)
	return done
}

// A key is replaced in the four steps, while processes with the keyset of a step and of the previous step run side by
// side. The re-encryption is ended in the middle, and old processes write while it runs again. No sealed value is lost
// or missed.
func TestReencrypt_AKeyIsReplacedBesideOldProcesses(t *testing.T) {
	keysetStores(t, func(t *testing.T, s *models.Store) {
		first := newKeyset(t)
		second := added(t, first)
		third := promoted(t, second)
		k1, k2 := boxOf(t, first).Primary(), boxOf(t, third).Primary()

		original := newProcess(t, s, first)
		original.Tenant("acme")
		var all []hook
		for n := range models.SealedPage + 5 {
			all = append(all, original.hook(n))
		}
		all[1] = original.rotate(all[1])
		signature := "u_key-1"
		im4, _, err := original.Service.CreateWebhook(t.Context(), "acme", service.WebhookChange{URL: new("https://shop.example/im4"), Profile: wire.ProfileIM4,
			Secret: &signature, Headers: &map[string]string{"Authorization": "im4"}, By: "test"})
		require.NoError(t, err)
		all = append(all, hook{im4, []string{signature}, "im4"})
		deleted := original.hook(0)
		_, err = original.Service.DeleteWebhook(t.Context(), "acme", deleted.ID)
		require.NoError(t, err)

		old := newProcess(t, s, second)
		fresh := newProcess(t, s, third)
		before, after := old.hook(1000), fresh.hook(1001)
		all = append(all, before, after)
		old.sends(after)
		fresh.sends(before)
		require.Equal(t, map[secrets.KeyID]int{k1: len(all) - 1, k2: 1, 0: 1}, sealedBy(t, s))

		var inUse *service.KeyInUseError
		require.ErrorAs(t, service.RetireKey(t.Context(), s, boxOf(t, third), k1), &inUse)
		require.Equal(t, service.KeyInUseError{Key: k1, Webhooks: len(all) - 1}, *inUse)

		ctx, kill := context.WithCancel(t.Context())
		done, err := service.Reencrypt(ctx, s, boxOf(t, third), func(service.Reencrypted) { kill() })
		require.Error(t, err)
		require.Equal(t, models.SealedPage, done.Changed)
		require.Equal(t, models.SealedPage, sealedBy(t, s)[k2]-1)

		meanwhile := sync.OnceFunc(func() {
			all[0] = old.rotate(all[0]) // on a page that is done
			all = append(all, old.hook(1002))
		})
		passes := 0
		done, err = service.Reencrypt(t.Context(), s, boxOf(t, third), func(r service.Reencrypted) {
			if r.Looked == models.SealedPage {
				passes++
				meanwhile()
			}
		})
		require.NoError(t, err)
		require.GreaterOrEqual(t, passes, 2)
		require.Zero(t, done.Unreadable)
		require.Equal(t, map[secrets.KeyID]int{k2: len(all), 0: 1}, sealedBy(t, s))

		all[2] = old.rotate(all[2])
		require.ErrorAs(t, service.RetireKey(t.Context(), s, boxOf(t, third), k1), &inUse)
		require.Equal(t, 1, inUse.Webhooks)
		all[3] = old.rotate(all[3]) // the refusal has changed nothing
		require.Equal(t, 2, reencrypt(t, s, third).Changed)
		require.Zero(t, reencrypt(t, s, third).Changed)
		for range 2 { // the second time is like a run after a kill before the result was printed
			require.NoError(t, service.RetireKey(t.Context(), s, boxOf(t, third), k1))
		}

		_, _, err = old.Service.CreateWebhook(t.Context(), "acme", service.WebhookChange{URL: new("https://shop.example/late"), By: "test"})
		requireCode(t, err, service.Unavailable)
		_, err = old.Service.RotateSecret(t.Context(), "acme", all[0].ID, time.Hour, "", "test")
		requireCode(t, err, service.Unavailable)
		_, err = old.Service.UpdateWebhook(t.Context(), "acme", all[0].ID, service.WebhookChange{Headers: &map[string]string{"X-Late": "1"}, By: "test"})
		requireCode(t, err, service.Unavailable)
		old.sends(all[0])

		var wrong *service.KeysetError
		require.ErrorAs(t, start(t, s, second), &wrong)
		require.True(t, wrong.Removed)
		require.ErrorContains(t, wrong, "has been removed")
		require.NoError(t, start(t, s, third), "a process that has the key and does not seal with it")
		fourth, err := secrets.RemoveKey(third, k1)
		require.NoError(t, err)
		last := newProcess(t, s, fourth)
		for _, h := range all {
			last.sends(h)
		}
	})
}

// An old process has sealed a value in a transaction that is still open when the key is removed. The removal waits for
// it, and is refused.
func TestReencrypt_ARemovalWaitsForTransactionsThatHaveSealed(t *testing.T) {
	keysetStores(t, func(t *testing.T, s *models.Store) {
		first := newKeyset(t)
		third := rotated(t, first)
		old := newProcess(t, s, first)
		old.Tenant("acme")
		require.NoError(t, start(t, s, third))
		box := boxOf(t, first)
		require.NoError(t, s.Tx(t.Context(), func(tx *models.Store) error {
			w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: "acme", Profile: wire.ProfileStandard, URL: "https://shop.example/",
				Status: models.WebhookActive, EventTypes: []string{}, Settings: map[string]string{}, SealedWith: int64(box.Primary())}
			var err error
			w.Secrets, err = box.Seal([]byte(`[]`), w.ID+"/secrets")
			require.NoError(t, err)
			if err := tx.CreateWebhook(t.Context(), &w); err != nil {
				return err
			}
			if strings.HasSuffix(t.Name(), "postgres") { // SQLite has one writer at a time
				err := service.RetireKey(t.Context(), s, boxOf(t, third), box.Primary())
				require.True(t, models.IsLocked(err), err)
			}
			return nil
		}))
		var inUse *service.KeyInUseError
		require.ErrorAs(t, service.RetireKey(t.Context(), s, boxOf(t, third), box.Primary()), &inUse)
		require.Equal(t, 1, inUse.Webhooks)
		old.hook(1) // may go on
	})
}

// Old processes write as fast as they can until they are refused. When the removal succeeds, no value needs the key.
func TestReencrypt_ARemovalIsExactBesideWriters(t *testing.T) {
	keysetStores(t, func(t *testing.T, s *models.Store) {
		first := newKeyset(t)
		third := rotated(t, first)
		k1 := boxOf(t, first).Primary()
		old := newProcess(t, s, first)
		old.Tenant("acme")
		require.NoError(t, start(t, s, third))
		var writers sync.WaitGroup
		for range 3 {
			writers.Go(func() {
				for range 40 {
					_, _, err := old.Service.CreateWebhook(t.Context(), "acme", service.WebhookChange{URL: new("https://shop.example/hooks"), By: "test"})
					var refused *service.Error
					if errors.As(err, &refused) && refused.Code == service.Unavailable {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for {
			if _, err := service.Reencrypt(t.Context(), s, boxOf(t, third), func(service.Reencrypted) {}); err != nil {
				require.ErrorIs(t, err, service.ErrStillSealing)
			}
			err := service.RetireKey(t.Context(), s, boxOf(t, third), k1)
			if err == nil {
				break
			}
			if _, ok := errors.AsType[*service.KeyInUseError](err); !ok {
				require.True(t, models.IsLocked(err), err)
			}
		}
		require.Zero(t, sealedBy(t, s)[k1])
		writers.Wait()
		require.Zero(t, sealedBy(t, s)[k1])
	})
}

// Values that the keyset cannot open stay unchanged and are counted. They do not prevent the removal of a key.
func TestReencrypt_LeavesWhatItCannotOpen(t *testing.T) {
	keysetStores(t, func(t *testing.T, s *models.Store) {
		first := newKeyset(t)
		third := rotated(t, first)
		p := newProcess(t, s, first)
		p.Tenant("acme")
		damaged, well := p.hook(1), p.hook(2)
		_, err := s.UpdateWebhook(t.Context(), "acme", damaged.ID, func(w *models.Webhook) error {
			w.Secrets[len(w.Secrets)-1] ^= 1
			return nil
		})
		require.NoError(t, err)
		done := reencrypt(t, s, third)
		require.Equal(t, 2, done.Changed, "of the damaged one the headers")
		require.Equal(t, 1, done.Unreadable)
		require.NoError(t, service.RetireKey(t.Context(), s, boxOf(t, third), boxOf(t, first).Primary()))
		newProcess(t, s, third).sends(well)
	})
}

// A keyset or a key that does not fit is refused before anything changes.
func TestReencrypt_WithAnotherKeyset(t *testing.T) {
	keysetStores(t, func(t *testing.T, s *models.Store) {
		first := newKeyset(t)
		newProcess(t, s, first).Tenant("acme")
		_, err := service.Reencrypt(t.Context(), s, boxOf(t, newKeyset(t)), func(service.Reencrypted) {})
		refused(t, err, boxOf(t, first).Primary())
		require.ErrorIs(t, service.RetireKey(t.Context(), s, boxOf(t, first), boxOf(t, first).Primary()), secrets.ErrPrimary)
		require.ErrorIs(t, service.RetireKey(t.Context(), s, boxOf(t, first), 1), secrets.ErrNoKey)
	})
}
