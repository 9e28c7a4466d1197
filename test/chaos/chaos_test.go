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

func TestChaos_FaultLedger(t *testing.T) { runLedger(t, "11", "75s") }

// The same where the APIs make first attempts ahead of workflows.
func TestChaos_FaultLedgerOfServe(t *testing.T) { runLedger(t, "13", "75s", "--workflows", "event") }

// The same where only retries have workflows.
func TestChaos_FaultLedgerOfRetries(t *testing.T) {
	runLedger(t, "12", "60s", "--workflows", "retries")
}

func runLedger(t *testing.T, seed, length string, flags ...string) {
	t.Helper()
	if testing.Short() {
		length = "30s"
	}
	command := exec.CommandContext(t.Context(), programs.Lean, append([]string{"chaos", "--seed", seed, "--duration", length, "--kinds", kinds, "--recover-within", "0", // other tests take the time
		"--bin", filepath.Dir(programs.Lean), "--state", filepath.Join(t.TempDir(), "run.jsonl")}, flags...)...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) } // it stops what it has started
	command.WaitDelay = time.Minute
	out, err := command.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
	require.Contains(t, string(out), "| **all** |", "the report is printed")
}
