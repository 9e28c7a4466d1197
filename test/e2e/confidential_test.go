package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"github.com/posthorn/posthorn/test/harness"
)

// confidential holds the secrets that must not appear where operators look.
type confidential struct {
	payload string // stands in the data of every event

	mu      sync.Mutex
	secrets []string
}

func newConfidential() *confidential { return &confidential{payload: "payload" + rand.Text()} }

// keep adds secrets. Of a URL it is the password.
func (c *confidential) keep(secrets ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range secrets {
		if u, err := url.Parse(s); err == nil && u.User != nil {
			s, _ = u.User.Password()
		}
		if s != "" {
			c.secrets = append(c.secrets, s)
		}
	}
}

// traces returns the forms of a secret in a text: unchanged, or inside a base64 text.
func traces(secret string) []string {
	all := []string{secret}
	for shift := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
		all = append(all, encoded[4:len(encoded)-4]) // the ends depend on what stands beside it
	}
	return all
}

// in returns the secrets that appear in a text.
func (c *confidential) in(text []byte, except ...string) (found []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, secret := range append(slices.Clone(c.secrets), c.payload) {
		for _, trace := range traces(secret) {
			if !slices.Contains(except, secret) && bytes.Contains(text, []byte(trace)) {
				found = append(found, secret)
			}
		}
	}
	return found
}

func (c *confidential) absentFromLogs(t *testing.T, w *world) {
	t.Helper()
	require.Greater(t, len(c.secrets), len(behaviours), "there are secrets to look for")
	log := w.server.Log()
	require.Contains(t, log, "level=DEBUG", "the log is as talkative as it can be")
	require.Empty(t, c.in([]byte(log)))
	// The welcome of dev shows the admin key.
	require.Empty(t, c.in([]byte(w.server.Out()), w.AdminKey))
}

func (c *confidential) absentFromHistories(t *testing.T, w *world) {
	t.Helper()
	temporal := harness.DialTemporal(t, w.TemporalAddr)
	kinds := map[string]int{}
	var page []byte
	for {
		list, err := temporal.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{NextPageToken: page})
		require.NoError(t, err)
		for _, e := range list.GetExecutions() {
			kinds[e.GetType().GetName()]++
			text, err := proto.Marshal(e)
			require.NoError(t, err)
			require.Empty(t, c.in(text), "in the list: %s", e)
			c.absentFromHistory(t, w, e)
		}
		if page = list.GetNextPageToken(); len(page) == 0 {
			break
		}
	}
	for _, kind := range []string{"Deliver", "WatchWebhook", "Recover"} {
		require.NotZero(t, kinds[kind], "%s among %v", kind, kinds)
	}
}

func (c *confidential) absentFromHistory(t *testing.T, w *world, e *workflow.WorkflowExecutionInfo) {
	t.Helper()
	temporal := harness.DialTemporal(t, w.TemporalAddr)
	events := temporal.GetWorkflowHistory(t.Context(), e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId(), false,
		enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		text, err := proto.Marshal(event)
		require.NoError(t, err)
		require.Empty(t, c.in(text), "in the history of %s: %s", e.GetExecution().GetWorkflowId(), event)
	}
}
