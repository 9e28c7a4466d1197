package workflows_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/posthorn/posthorn/workflows"
)

// histories are Temporal's histories of real runs. `make histories` makes new ones.
var histories = []string{
	"deliver-received", "deliver-slow", "deliver-retried", "deliver-exhausted", "deliver-mixed", "deliver-over-cap", "deliver-in-turn", "deliver-together",
	"deliver-at-rate", "deliver-for-slot", "deliver-rate-and-slot", "deliver-mass-hold", "deliver-continued", "deliver-carried",
	"deliver-paused", "deliver-gone", "deliver-canceled", "watch-continued", "watch-deactivated", "recover", "retain",
}

// earlier are the histories of earlier builds, whose workflows must continue. They have no "deliver-slow".
var earlier = []string{"1", "2"}

// all returns the histories of this build and of all earlier ones.
func all() []string {
	names := slices.Clone(histories)
	for _, build := range earlier {
		for _, name := range histories {
			if name != "deliver-slow" {
				names = append(names, "earlier-"+build+"/"+name)
			}
		}
	}
	return names
}

func history(name string) string { return filepath.Join("testdata", filepath.FromSlash(name)+".json") }

func replay(name string, stories map[string]any) error {
	replayer := worker.NewWorkflowReplayer()
	for name, story := range stories {
		replayer.RegisterWorkflowWithOptions(story, workflow.RegisterOptions{Name: name})
	}
	return replayer.ReplayWorkflowHistoryFromJSONFile(log.NewStructuredLogger(quiet), history(name))
}

// A workflow that runs while a new version is deployed must be able to continue in it. Its steps so far are replayed
// from its history, and must have the same results.
func TestReplay_WorkflowsGoOnFromTheirHistories(t *testing.T) {
	t.Parallel()
	for _, name := range all() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, replay(name, map[string]any{workflows.DeliverType: workflows.Deliver, workflows.WatchType: workflows.WatchWebhook,
				workflows.RecoverType: workflows.Recover, workflows.RetainType: workflows.Retain}))
		})
	}
	files, err := filepath.Glob(history("*"))
	require.NoError(t, err)
	before, err := filepath.Glob(history("earlier-*/*"))
	require.NoError(t, err)
	require.Len(t, append(files, before...), len(all()), "every history is replayed")
}

func TestReplay_NoticesAChange(t *testing.T) {
	t.Parallel()
	retries := func(ctx workflow.Context, in workflows.DeliverInput) (workflows.DeliverResult, error) {
		if err := workflow.Sleep(ctx, 1); err != nil { // before the first attempts, where there was none
			return workflows.DeliverResult{}, err
		}
		return workflows.Deliver(ctx, in)
	}
	require.ErrorContains(t, replay("deliver-retried", map[string]any{workflows.DeliverType: retries}), "TMPRL1100")
}

// Everybody who sees the Web UI sees histories. They may contain ids, but no secret of a tenant.
func TestReplay_HistoriesHoldNoSecrets(t *testing.T) {
	t.Parallel()
	for _, name := range all() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(history(name))
			require.NoError(t, err)
			shown := string(text) + decoded(t, text)
			for _, secret := range []string{"secret-payload", "secret-path", "secret-header", "whsec_", "v1,"} {
				require.NotContains(t, shown, secret)
			}
			if strings.Contains(name, "deliver") {
				require.Contains(t, shown, "DispatchID", "payloads have been decoded")
			}
		})
	}
}

// decoded returns all payloads of a history in clear.
func decoded(t *testing.T, text []byte) string {
	t.Helper()
	var all any
	require.NoError(t, json.Unmarshal(text, &all))
	var b bytes.Buffer
	var walk func(any)
	walk = func(value any) {
		switch v := value.(type) {
		case map[string]any:
			if data, ok := v["data"].(string); ok {
				plain, err := base64.StdEncoding.DecodeString(data)
				require.NoError(t, err)
				b.Write(plain)
				b.WriteByte('\n')
			}
			for _, field := range v {
				walk(field)
			}
		case []any:
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(all)
	return b.String()
}
