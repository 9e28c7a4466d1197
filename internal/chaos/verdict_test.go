//go:build linux

package chaos

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The state of a pair in /v1, its POSTs at the receiver, and the verdict.
func TestChaosVerdict_OfEveryState(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		status    string // of its delivery; "" = there is none
		received  bool
		unknown   bool // whether it was accepted
		lost      int
		stuck     int
		stored    int
		unrecords int
	}{
		{name: "delivered", status: "delivered", received: true},
		{name: "accepted and not there", lost: 1},
		{name: "said to be delivered, and never received", status: "delivered", lost: 1},
		{name: "given up", status: "failed", lost: 1},
		{name: "pending for ever", status: "pending", stuck: 1},
		{name: "received, and pending for ever", status: "pending", received: true, stuck: 1, unrecords: 1},
		{name: "perhaps accepted, and not there", unknown: true},
		{name: "perhaps accepted, and delivered", unknown: true, status: "delivered", received: true, stored: 1},
		{name: "perhaps accepted, and lost", unknown: true, status: "failed", stored: 1, lost: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/dlv") {
					_ = json.NewEncoder(w).Encode(map[string]any{"attempts": []attempt{}})
					return
				}
				page := map[string]any{"data": []delivery{}, "next": nil}
				if tt.status != "" && strings.Contains(r.URL.Path, tenants[0]) {
					page["data"] = []delivery{{ID: "dlv", EventID: "e", WebhookID: "wh", Status: tt.status, Attempts: 1}}
				}
				_ = json.NewEncoder(w).Encode(page)
			}))
			t.Cleanup(server.Close)
			l := newLedger()
			l.hooks = map[string]int{"wh": 0}
			p := pair{"e", 0}
			l.ask([]pair{p})
			result := answered
			if tt.unknown {
				result = unknown
			}
			l.settle([]pair{p}, result)
			if tt.received {
				l.leave(l.arrive(p, "1"), http.StatusNoContent)
			}
			a := audit{stage: &stage{ledger: l, api: newClient("key", []string{server.URL})}, before: time.Now().Add(time.Second)}

			due := l.due(a.before)
			found, err := a.look(t.Context(), due)
			require.NoError(t, err)
			require.Len(t, found, 1)
			var line Line
			a.count(&line, p, due[p], found[p])
			require.Equal(t, []int{tt.lost, tt.stuck, tt.stored, tt.unrecords}, []int{line.Lost, line.Stuck, line.Stored, line.UnrecordedUnexplained})
			require.Equal(t, tt.lost+tt.stuck == 0, line.kept(0))
			require.Equal(t, !line.kept(0), len(line.Histories) == 1, "a broken promise has its history")
		})
	}
}
