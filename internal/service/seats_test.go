package service_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// sitting is one tenant's requests under way.
type sitting struct {
	order chan string // names of tenants, as they come in
	leave chan struct{}
}

func (s *sitting) enter(t *testing.T, svc *service.Service, tenant string, n int) {
	t.Helper()
	for range n {
		go func() {
			_, leave, err := svc.Enter(t.Context(), tenant)
			if err != nil {
				s.order <- tenant + " refused"
				return
			}
			s.order <- tenant
			<-s.leave
			leave()
			leave()
		}()
	}
	synctest.Wait()
}

func (s *sitting) next() string {
	synctest.Wait()
	select {
	case tenant := <-s.order:
		return tenant
	default:
		return ""
	}
}

// A tenth of the seats is reserved for tenants that have none, and the next free seat goes to the tenant that has the
// fewest.
func TestSeats_RequestsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		env := servicetest.New(t)
		seats := max(32, 16*runtime.GOMAXPROCS(0))
		s := &sitting{order: make(chan string, 10*seats), leave: make(chan struct{})}
		s.enter(t, env.Service, "big", 2*seats)
		in := 0
		for s.next() == "big" {
			in++
		}
		require.Equal(t, seats-seats/10, in)
		s.enter(t, env.Service, "small", 3)
		require.Equal(t, "small", s.next(), "at once")
		require.Empty(t, s.next(), "what is kept is for those that have nothing")
		s.leave <- struct{}{}
		s.leave <- struct{}{}
		s.leave <- struct{}{}
		order := []string{s.next(), s.next()}
		require.Equal(t, []string{"small", "small"}, order, "before the big one's, which waited for longer")
		time.Sleep(6 * time.Second)
		require.Equal(t, "big refused", s.next(), "nobody waits for long")
		close(s.leave)
	})
}

// Only a few large bodies are decoded at a time, in turns by tenant. Small ones never wait.
func TestSeats_LargeBodiesAreTakenApartInTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		env := servicetest.New(t)
		for _, tenant := range []string{"big", "small"} {
			env.Tenant(tenant)
		}
		_, err := env.Service.PutEventType(t.Context(), models.EventType{Name: "order.created", Schema: `{"type":"object"}`})
		require.NoError(t, err)
		var done []func()
		for {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			release, err := env.Service.Expand(ctx, "big", 1<<20)
			cancel()
			if err != nil {
				break
			}
			done = append(done, release)
		}
		require.Less(t, len(done), max(4, 2*runtime.GOMAXPROCS(0)), "some are kept for others")
		publish := func(tenant string, size int) error {
			_, err := env.Service.Publish(t.Context(), tenant, request(`{"n":"`+strings.Repeat("x", size)+`"}`))
			return err
		}
		require.NoError(t, publish("big", 1000))
		require.NoError(t, publish("small", 100_000))
		var refused *service.Error
		require.ErrorAs(t, publish("big", 100_000), &refused)
		require.Equal(t, service.Unavailable, refused.Code)
		done[0]()
		require.NoError(t, publish("big", 100_000))
		for _, release := range done[1:] {
			release()
		}
	})
}

// request publishes one event as it would come in a body.
func request(data string) service.PublishRequest {
	return service.PublishRequest{Events: []service.EventInput{{Type: "order.created", Data: []byte(data)}}, Body: []byte(data)}
}
