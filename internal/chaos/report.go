package chaos

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/bench"
	"github.com/posthorn/posthorn/internal/localpg"
)

// marker ends the part of the report's page that people write. The report follows it.
const marker = "<!-- What follows is written by `make chaos`. -->"

// WriteReport writes the table to a page below its marker, or to out if there is no page. within is Options.RecoverWithin.
func WriteReport(page string, out io.Writer, lines []Line, within time.Duration, versions Versions) error {
	var table bytes.Buffer
	report(&table, lines, within, versions)
	if page == "" {
		_, err := out.Write(table.Bytes())
		return err
	}
	before, err := os.ReadFile(page)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	head, _, found := strings.Cut(string(before), marker)
	if !found && len(before) > 0 {
		return fmt.Errorf("%s has no line %q, below which the report belongs", page, marker)
	}
	return os.WriteFile(page, []byte(head+marker+"\n\n"+table.String()), 0o644) //nolint:gosec // A page to be read by everybody.
}

// Versions are the versions of the programs of a run.
type Versions struct{ Go, Postgres, Temporal string }

// FindVersions asks the programs for their versions. A version that it cannot find is "unknown".
func FindVersions(bin, postgresBin string) Versions {
	v := Versions{Go: runtime.Version(), Postgres: "unknown", Temporal: "unknown"}
	if postgresBin == "" {
		postgresBin, _ = localpg.FindBinaries()
	}
	if out, err := exec.Command(filepath.Join(postgresBin, "postgres"), "--version").Output(); err == nil { //nolint:noctx // It answers at once.
		v.Postgres = strings.TrimSpace(strings.TrimPrefix(string(out), "postgres (PostgreSQL) "))
	}
	if info, err := buildinfo.ReadFile(filepath.Join(bin, "temporal")); err == nil {
		for _, module := range info.Deps {
			if module.Path == "go.temporal.io/server" {
				v.Temporal = strings.TrimPrefix(module.Version, "v")
			}
		}
	}
	return v
}

// row is the sum of the lines of a kind.
type row struct {
	Line
	count      int
	recoveries []float64
}

func (r *row) add(l *Line) {
	r.count++
	r.Accepted += l.Accepted
	r.Unknown += l.Unknown
	r.Stored += l.Stored
	r.Posts += l.Posts
	r.Lost += l.Lost
	r.Stuck += l.Stuck
	r.Duplicates += l.Duplicates
	r.DuplicatesUnexplained += l.DuplicatesUnexplained
	r.Unrecorded += l.Unrecorded
	r.UnrecordedUnexplained += l.UnrecordedUnexplained
	r.recoveries = append(r.recoveries, l.Recovery)
}

// percentile of the recoveries; nearest rank.
func (r *row) percentile(share float64) float64 {
	all := slices.Sorted(slices.Values(r.recoveries))
	return all[max(0, int(math.Ceil(share*float64(len(all))))-1)]
}

const noFault = "no fault"

func report(w io.Writer, lines []Line, within time.Duration, v Versions) {
	rows, total, disk := map[string]*row{}, &row{}, ""
	broken := 0
	for i := range lines {
		l := &lines[i]
		if rows[l.Kind] == nil {
			rows[l.Kind] = &row{}
		}
		rows[l.Kind].add(l)
		total.add(l)
		if l.Disk != "" {
			disk = l.Disk
		}
		if !l.kept(within) {
			broken++
		}
	}
	if len(lines) == 0 {
		_, _ = fmt.Fprintln(w, "No fault has been made.")
		return
	}
	faults := len(lines)
	if rest := rows[noFault]; rest != nil {
		faults -= rest.count
	}
	total.count = faults
	_, _ = fmt.Fprintf(w, "Seed %d, %s faults, %s to %s. %s; Go %s, PostgreSQL %s, Temporal %s.\n\n", lines[0].Seed, bench.Grouped(float64(faults)),
		lines[0].Begun.Format("2 January 2006, 15:04"), lines[len(lines)-1].Begun.Format("2 January 2006, 15:04 MST"), bench.ThisMachine(),
		strings.TrimPrefix(v.Go, "go"), v.Postgres, v.Temporal)
	if disk != "" {
		_, _ = fmt.Fprintf(w, "The full disk was %s.\n\n", disk)
	}
	_, _ = fmt.Fprintf(w, "Broken promises: %d. %s pairs of event and webhook were accepted; of %s pairs the publisher could not know it, and %s of those had been.\n\n",
		broken, bench.Grouped(float64(total.Accepted)), bench.Grouped(float64(total.Unknown)), bench.Grouped(float64(total.Stored)))
	_, _ = fmt.Fprintln(w, "| fault | count | accepted | unknown | lost | stuck | received again: explained / not | POSTs without a record: explained / not | recovery p50 / max, s |")
	_, _ = fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, kind := range slices.Sorted(maps.Keys(rows)) {
		rows[kind].write(w, kind)
	}
	total.write(w, "**all**")
}

func (r *row) write(w io.Writer, name string) {
	_, _ = fmt.Fprintf(w, "| %s | %s | %s | %s | %d | %d | %d / %d | %d / %d | %.1f / %.1f |\n", name, bench.Grouped(float64(r.count)), bench.Grouped(float64(r.Accepted)), bench.Grouped(float64(r.Unknown)),
		r.Lost, r.Stuck, r.Duplicates, r.DuplicatesUnexplained, r.Unrecorded, r.UnrecordedUnexplained, r.percentile(0.5), r.percentile(1))
}
