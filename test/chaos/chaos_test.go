// Package chaos runs the fault ledger for a short while, as `make chaos` does for longer: the real programs, a fixed seed,
// every kind of fault that does not take minutes.
package chaos

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
)

var programs harness.Programs

func TestMain(m *testing.M) { os.Exit(harness.Main(m, &programs, "faults")) }

// kinds are what a short run makes: setting Temporal's database back takes over two minutes.
const kinds = "kill,suspend,restart,partition,half-open,slow network,full disk,clock step,several"

func TestChaos_FaultLedger(t *testing.T) { runLedger(t, "event", "11", "150s") }

// The same where only retries have workflows.
func TestChaos_FaultLedgerOfRetries(t *testing.T) { runLedger(t, "retries", "12", "60s") }

func runLedger(t *testing.T, workflows, seed, length string) {
	t.Helper()
	if testing.Short() {
		length = "30s"
	}
	command := exec.CommandContext(t.Context(), programs.Lean, "chaos", "--seed", seed, "--duration", length, "--kinds", kinds, "--recover-within", "0", // other tests take the time
		"--workflows", workflows, "--bin", filepath.Dir(programs.Lean), "--state", filepath.Join(t.TempDir(), "run.jsonl"))
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) } // it stops what it has started
	command.WaitDelay = time.Minute
	out, err := command.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
	require.Contains(t, string(out), "| **all** |", "the report is printed")
}
