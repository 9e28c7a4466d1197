package api_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/internal/hooks"
)

// desk is a handler within the bound that reads bodies, and keeps each until it may answer.
type desk struct {
	handler http.Handler
	answer  chan struct{}
	errs    chan error
}

func newDesk(room int64) *desk {
	d := &desk{answer: make(chan struct{}), errs: make(chan error, 10)}
	router := gin.New()
	router.POST("/", api.BoundBodies(room), func(c *gin.Context) {
		_, err := io.ReadAll(c.Request.Body)
		d.errs <- err
		if err == nil {
			<-d.answer
		}
	})
	d.handler = router
	return d
}

func (d *desk) post(body string) {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", strings.NewReader(body))
	go d.handler.ServeHTTP(httptest.NewRecorder(), r)
}

// next is what has come of the next body that is read or refused; nil, false if none is yet.
func (d *desk) next() (err error, ended bool) { //nolint:revive // it is the result
	synctest.Wait()
	select {
	case err = <-d.errs:
		return err, true
	default:
		return nil, false
	}
}

func TestBodiesWaitForRoomAndAreRefusedInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(100)
		ends := func(want bool) {
			t.Helper()
			err, ended := d.next()
			require.NoError(t, err)
			require.Equal(t, want, ended)
		}
		d.post(strings.Repeat("a", 60))
		ends(true)
		d.post(strings.Repeat("b", 60))
		ends(false)
		time.Sleep(api.BodyWait - time.Second)
		ends(false)
		d.answer <- struct{}{} // the first is answered: there is room again
		ends(true)

		d.post(strings.Repeat("c", 60))
		time.Sleep(api.BodyWait + time.Second)
		err, _ := d.next()
		var refused *hooks.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, hooks.Unavailable, refused.Code)

		d.answer <- struct{}{}
		d.post(strings.Repeat("d", 100)) // what was refused holds nothing
		ends(true)
		d.answer <- struct{}{}
	})
}

func TestABodyWithoutRoomIsAnsweredWith503(t *testing.T) {
	t.Parallel()
	e := newEnvWith(t, func(o *api.Options) { o.BodyRoom = 10 })
	for _, path := range []string{"/events", "/events/batch", "/webhooks"} {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Millisecond, errors.New("the caller is impatient"))
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/tenants/acme"+path, strings.NewReader(`{"type":"order.created","data":{}}`))
		r.Header.Set("Authorization", "Bearer "+e.key)
		answer := httptest.NewRecorder()
		e.handler.ServeHTTP(answer, r)
		cancel()
		require.Equal(t, http.StatusServiceUnavailable, answer.Code, answer.Body)
		require.Equal(t, "1", answer.Header().Get("Retry-After"))
		require.Contains(t, answer.Body.String(), "memory")
	}
}
