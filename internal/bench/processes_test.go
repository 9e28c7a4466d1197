package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBenchProcesses_ParseStat(t *testing.T) {
	t.Parallel()
	const rest = " S 7 1 1 0 -1 4194560 100 200 0 0 150 50 30 20 20 0 1 0 1000 0 0"
	for _, tt := range []struct {
		name, line string
		want       stat
		fails      bool
	}{
		{"usual", "42 (postgres)" + rest, stat{7, 2500 * time.Millisecond}, false},
		{"a name with everything in it", "42 (a) S (b 1 2)" + rest, stat{7, 2500 * time.Millisecond}, false},
		{"cut off", "42 (postgres) S 7 1 1", stat{}, true},
		{"no name", "42 postgres" + rest, stat{}, true},
		{"no numbers", "42 (postgres) S x" + rest[4:], stat{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseStat([]byte(tt.line))
			require.Equal(t, tt.fails, err != nil)
			if !tt.fails {
				require.Equal(t, tt.want, got)
			}
		})
	}
}

// fakeProc is a /proc that a test writes.
type fakeProc struct {
	t   *testing.T
	dir string
}

func newFakeProc(t *testing.T) *fakeProc {
	t.Helper()
	p := &fakeProc{t, t.TempDir()}
	p.host(0)
	p.process(os.Getpid(), 1, 0, 1)
	return p
}

func (p *fakeProc) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	require.NoError(p.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(p.t, os.WriteFile(path, []byte(text), 0o644))
}

// host sets the machine's processor time, in hundredths of seconds.
func (p *fakeProc) host(user int) {
	p.write("stat", fmt.Sprintf("cpu  %d 20 30 99999 88888 40 50 60 7 8\ncpu0 1 2 3\n", user))
}

// process sets a process's parent, processor time in hundredths of seconds, and private memory in addition to 8 MiB of
// shared memory.
func (p *fakeProc) process(pid, parent, ticks, mib int) {
	name := strconv.Itoa(pid)
	p.write(name+"/stat", fmt.Sprintf("%d (x y) S %d 0 0 0 0 0 0 0 0 0 %d 0 0 0 20", pid, parent, ticks))
	p.write(name+"/status", fmt.Sprintf("Name:\tx y\nVmRSS:\t  99999 kB\nRssAnon:\t  %d kB\nRssFile:\t 3072 kB\nRssShmem:\t    5120 kB\n", mib<<10))
}

func TestBenchProcesses_WatchCountsDescendants(t *testing.T) {
	t.Parallel()
	p := newFakeProc(t)
	p.process(10, 1, 100, 50) // postmaster
	p.process(11, 10, 40, 5)
	p.process(20, 1, 7, 30)
	p.process(30, 1, 5000, 900) // another user's
	w, err := startWatch(p.dir, []Process{{"postgres", 10}, {"temporal", 20}})
	require.NoError(t, err)
	p.host(1000)
	p.process(10, 1, 200, 40) // has waited for what has ended
	p.process(11, 10, 90, 5)
	p.process(12, 10, 30, 70) // came
	p.process(13, 12, 1, 1)   // its child
	p.process(os.Getpid(), 1, 50, 2)
	p.process(20, os.Getpid(), 107, 20) // this process has started it, and is measured without it
	u, err := w.stop()
	require.NoError(t, err)
	require.Equal(t, []ProcessUsage{{"postgres", 1.81, 116 + 8}, {"temporal", 1, 30 + 8}}, u.Processes)
	require.InDelta(t, 2.81, u.CPUSeconds, 1e-9)
	require.InDelta(t, 116+8+20+8, u.PeakMiB, 1e-9, "at one time")
	require.Equal(t, ProcessUsage{"load and receiver", .5, 2 + 8}, u.Load)
	require.InDelta(t, 10, u.HostCPUSeconds, 1e-9)
}

func TestBenchProcesses_WatchMissesAProcess(t *testing.T) {
	t.Parallel()
	p := newFakeProc(t)
	_, err := startWatch(p.dir, []Process{{"posthorn", 99}})
	require.ErrorContains(t, err, "posthorn (99) does not run")

	p.process(99, 1, 0, 0)
	w, err := startWatch(p.dir, []Process{{"posthorn", 99}})
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(filepath.Join(p.dir, "99")))
	_, err = w.stop()
	require.ErrorContains(t, err, "posthorn (99) does not run")
}

func TestBenchProcesses_NothingIsWatchedWhereNothingTells(t *testing.T) {
	t.Parallel()
	w, err := startWatch(t.TempDir(), []Process{{"posthorn", 1}})
	require.NoError(t, err)
	u, err := w.stop()
	require.NoError(t, err)
	require.Nil(t, u)
}

func TestBenchProcesses_MemoryCountsWhatIsSharedOnce(t *testing.T) {
	t.Parallel()
	p := newFakeProc(t)
	p.write("5/status", "RssAnon:\t 1024 kB\nRssFile:\t 2048 kB\nRssShmem:\t 8192 kB\n")
	p.write("6/status", "RssAnon:\t 3072 kB\nRssFile:\t 4096 kB\nRssShmem:\t 2048 kB\n")
	require.EqualValues(t, (1+3+4+8)<<20, memory(p.dir, []int{5, 6, 7}), "7 has ended")
}

func TestBenchProcesses_BusyLeavesOutIdling(t *testing.T) {
	t.Parallel()
	p := newFakeProc(t)
	p.host(10)
	got, err := busy(p.dir)
	require.NoError(t, err)
	require.Equal(t, 1500*time.Millisecond, got)
	p.write("stat", "nonsense")
	_, err = busy(p.dir)
	require.Error(t, err)
}

func TestBenchProcesses_Machine(t *testing.T) {
	t.Parallel()
	p := newFakeProc(t)
	p.write("cpuinfo", "processor\t: 0\nmodel name\t: Abacus 9\nprocessor\t: 1\nmodel name\t: Abacus 9\n")
	p.write("meminfo", "MemTotal:       8388608 kB\nMemFree: 1 kB\n")
	p.write("sys/kernel/osrelease", "6.1\n")
	m := machine(p.dir)
	require.Equal(t, "Abacus 9", m.Model)
	require.Equal(t, 8192, m.MemoryMiB)
	require.Contains(t, m.String(), "(Abacus 9), 8 GiB, ")
	require.Contains(t, m.System, " 6.1")
}
