//go:build linux

package chaos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestChaosReport_RunIsResumedAfterItsLastWholeLine(t *testing.T) {
	t.Parallel()
	o := &Options{Seed: 4, State: filepath.Join(t.TempDir(), "run.jsonl")}
	f, lines, err := openState(o)
	require.NoError(t, err)
	require.Empty(t, lines)
	require.NoError(t, appendLine(f, &Line{Number: 0, Seed: 4, Kind: "kill api"}))
	_, err = f.WriteString(`{"number":1,"se`) // the runner was killed
	require.NoError(t, err)
	require.NoError(t, f.Close())

	_, _, err = openState(o)
	require.ErrorContains(t, err, "--resume", "nothing is written over")
	_, _, err = openState(&Options{Seed: 5, State: o.State, Resume: true})
	require.ErrorContains(t, err, "seed 4, not 5")

	again := &Options{State: o.State, Resume: true}
	f, lines, err = openState(again)
	require.NoError(t, err)
	require.Len(t, lines, 1)
	require.EqualValues(t, 4, again.Seed)
	require.NoError(t, appendLine(f, &Line{Number: 1, Seed: 4}))
	require.NoError(t, f.Close())
	_, lines, err = openState(again)
	require.NoError(t, err)
	require.Len(t, lines, 2)
}

func TestChaosReport_SumsAllLines(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	lines := []Line{
		{Number: 0, Seed: 9, Kind: "kill api", Begun: began, Accepted: 1000, Recovery: 12},
		{Number: 1, Seed: 9, Kind: "kill api", Begun: began, Accepted: 234, Recovery: 4, Duplicates: 2, Unrecorded: 2},
		{Number: 2, Seed: 9, Kind: "full disk", Begun: began, Accepted: 1, Unknown: 3, Stored: 1, Recovery: 1, Lost: 1, Disk: "a mount"},
		{Number: 2, Seed: 9, Kind: noFault, Begun: began, Recovery: 0.5},
	}
	page := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(page, []byte("# Written by hand\n\n"+marker+"\n\nan earlier run"), 0o600))
	require.NoError(t, WriteReport(page, nil, lines, RecoverWithin, Versions{"go1.26", "15.18", "1.32.1"}))
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text), "# Written by hand\n"))
	require.NotContains(t, string(text), "an earlier run")
	for _, want := range []string{
		"Seed 9, 3 faults, ", "The full disk was a mount.", "Broken promises: 2.",
		"| kill api | 2 | 1,234 | 0 | 0 | 0 | 2 / 0 | 2 / 0 | 4.0 / 12.0 |",
		"| full disk | 1 | 1 | 3 | 1 | 0 | 0 / 0 | 0 / 0 | 1.0 / 1.0 |",
		"| **all** | 3 | 1,235 | 3 | 1 | 0 | 2 / 0 | 2 / 0 |",
	} {
		require.Contains(t, string(text), want)
	}

	require.NoError(t, os.WriteFile(page, []byte("# No marker\n"), 0o600))
	require.ErrorContains(t, WriteReport(page, nil, lines, 0, Versions{}), "has no line")
}
