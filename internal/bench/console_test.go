package bench

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// pagesOf serves the sign-in and one page, whose stream tells of two changes and ends.
func pagesOf(t *testing.T) (v *visitor, gets *atomic.Int64) {
	t.Helper()
	gets = new(atomic.Int64)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /console/login", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("key") != "phk_right" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "s1", Path: "/console", Secure: true, HttpOnly: true})
		http.Redirect(w, r, "/console", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /console/login", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "sign in") })
	mux.HandleFunc("GET /console", func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("session"); err != nil || c.Value != "s1" {
			http.Redirect(w, r, "/console/login", http.StatusSeeOther)
			return
		}
		if r.Header.Get("Accept") != "text/event-stream" {
			gets.Add(1)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_, _ = fmt.Fprint(w, "retry: 3000\n\nevent: change\ndata: 1\n\n: still here\n\nevent: change\ndata: 2\n\n")
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	target, err := newTarget(server.URL, "phk_right")
	require.NoError(t, err)
	return &visitor{target: target}, gets
}

func TestBenchConsole_VisitorsSignInAndGetPages(t *testing.T) {
	t.Parallel()
	v, gets := pagesOf(t)
	require.Error(t, v.get(t.Context(), "/console"), "the page of the sign-in is not the one that was asked for")
	require.NoError(t, v.signIn(t.Context()))
	require.NoError(t, v.get(t.Context(), "/console"))
	require.Equal(t, int64(1), gets.Load())
	require.Error(t, v.get(t.Context(), "/console/nowhere"))

	v.target.key, v.cookie = "phk_wrong", ""
	require.Error(t, v.signIn(t.Context()))
}

func TestBenchConsole_OpenPagesAskForWhatIsNew(t *testing.T) {
	t.Parallel()
	v, gets := pagesOf(t)
	var opened, changes atomic.Int64
	require.Error(t, v.watch(t.Context(), "/console", &opened, &changes), "nobody is signed in")
	require.Zero(t, opened.Load())
	require.NoError(t, v.signIn(t.Context()))
	require.NoError(t, v.watch(t.Context(), "/console", &opened, &changes))
	require.Equal(t, []int64{1, 2, 3}, []int64{opened.Load(), changes.Load(), gets.Load()})
}
