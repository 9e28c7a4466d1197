package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Process is a process to measure, with its descendants: PostgreSQL has one for each connection.
type Process struct {
	Name string
	PID  int
}

// ticksPerSecond is USER_HZ, the unit of times in /proc/<pid>/stat: 100 on every architecture Go runs on (proc(5)).
const ticksPerSecond = 100

// stat holds values of /proc/<pid>/stat.
type stat struct {
	parent int
	// cpu covers the process itself and the descendants that have ended and been waited for.
	cpu time.Duration
}

// parseStat reads one line of /proc/<pid>/stat (proc_pid_stat(5)). The name, in parentheses, may hold anything.
func parseStat(line []byte) (stat, error) {
	end := bytes.LastIndexByte(line, ')')
	fields := strings.Fields(string(line[end+1:]))
	const first = 3 // the number, in the manual, of the field after the name
	const ppid, utime, cstime = 4, 14, 17
	if end < 0 || len(fields) <= cstime-first {
		return stat{}, fmt.Errorf("malformed stat: %q", line)
	}
	var s stat
	var err error
	if s.parent, err = strconv.Atoi(fields[ppid-first]); err != nil {
		return stat{}, err
	}
	for _, field := range fields[utime-first : cstime-first+1] { // user and system, then the children's
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return stat{}, err
		}
		s.cpu += time.Duration(ticks) * (time.Second / ticksPerSecond)
	}
	return s, nil
}

// readStats reads every process's stat. It leaves out processes that end meanwhile.
func readStats(proc string) (map[int]stat, error) {
	paths, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "stat"))
	if err != nil {
		return nil, err
	}
	all := make(map[int]stat, len(paths))
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		s, err := parseStat(line)
		if err != nil {
			return nil, err
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return nil, err
		}
		all[pid] = s
	}
	return all, nil
}

// family returns a process and its descendants, except those that are measured by themselves, with theirs.
func family(all map[int]stat, root int, measured []Process) []int {
	pids := []int{root}
	for i := 0; i < len(pids); i++ {
		for pid, s := range all {
			apart := slices.ContainsFunc(measured, func(p Process) bool { return p.PID == pid })
			if s.parent == pids[i] && !apart && !slices.Contains(pids, pid) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// memory returns the RAM of processes that share their program and their shared memory, in bytes. It adds the private
// pages of all of them and the shared pages of the process that has most. The kernel could divide the shared pages
// exactly (smaps_rollup), at a cost that a load test notices. Ended processes have no memory.
func memory(proc string, pids []int) int64 {
	var own, program, shared int64
	for _, pid := range pids {
		text, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "status"))
		if err != nil {
			continue
		}
		own += kilobytes(text, "RssAnon:")
		program = max(program, kilobytes(text, "RssFile:"))
		shared = max(shared, kilobytes(text, "RssShmem:"))
	}
	return own + program + shared
}

// kilobytes finds a line such as `RssAnon:   123 kB`, and returns its bytes; 0 without one.
func kilobytes(text []byte, name string) int64 {
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte(name)); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(string(value)), "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}

// busy returns the processor time of everything on the machine, from the first line of /proc/stat.
func busy(proc string) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := strings.Fields(string(line))
	const idle, iowait, steal = 4, 5, 8 // the guest times after them are part of the user time
	if len(fields) <= steal || fields[0] != "cpu" {
		return 0, fmt.Errorf("malformed %s/stat: %q", proc, line)
	}
	var ticks int64
	for i := 1; i < steal; i++ {
		if i == idle || i == iowait {
			continue
		}
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / ticksPerSecond), nil
}

// watch samples the memory of processes once a second, and takes the difference of their processor times.
type watch struct {
	proc      string
	processes []Process // the last is this one
	before    []time.Duration
	hostThen  time.Duration
	quit      chan struct{}
	done      sync.WaitGroup

	peaks []int64
	peak  int64 // of all together
}

// sampleEvery is short enough to see a lasting peak, and long enough not to be a load itself.
const sampleEvery = time.Second

// startWatch begins to measure the processes, and this one. Without /proc it measures nothing, and the watch is nil.
func startWatch(proc string, processes []Process) (*watch, error) {
	hostThen, err := busy(proc)
	if errors.Is(err, os.ErrNotExist) || len(processes) == 0 {
		return nil, nil //nolint:nilnil // nothing is measured, and nothing is wrong
	}
	if err != nil {
		return nil, err
	}
	processes = append(slices.Clone(processes), Process{"load and receiver", os.Getpid()})
	w := &watch{proc: proc, processes: processes, hostThen: hostThen, quit: make(chan struct{}), peaks: make([]int64, len(processes))}
	if w.before, err = w.sample(); err != nil {
		return nil, err
	}
	w.done.Go(func() {
		ticker := time.NewTicker(sampleEvery)
		defer ticker.Stop()
		for {
			select {
			case <-w.quit:
				return
			case <-ticker.C:
				_, _ = w.sample() // a process that ends is reported by stop
			}
		}
	})
	return w, nil
}

// sample notes peaks of memory and returns the processor times so far.
func (w *watch) sample() ([]time.Duration, error) {
	all, err := readStats(w.proc)
	if err != nil {
		return nil, err
	}
	times := make([]time.Duration, len(w.processes))
	var total int64
	for i, p := range w.processes {
		if _, ok := all[p.PID]; !ok {
			return nil, fmt.Errorf("process %s (%d) does not run", p.Name, p.PID)
		}
		pids := family(all, p.PID, w.processes)
		for _, pid := range pids {
			times[i] += all[pid].cpu
		}
		used := memory(w.proc, pids)
		w.peaks[i] = max(w.peaks[i], used)
		if i < len(w.processes)-1 {
			total += used
		}
	}
	w.peak = max(w.peak, total)
	return times, nil
}

// Measure returns what processes, and this one, use while do runs; nil without /proc.
func Measure(processes []Process, do func() error) (*Usage, error) {
	w, err := startWatch(procDir, processes)
	if err != nil {
		return nil, err
	}
	err = do()
	u, stopped := w.stop()
	return u, errors.Join(err, stopped)
}

// ProcessUsage is the usage of one process, with its descendants, in a run.
type ProcessUsage struct {
	Name       string  `json:"name"`
	CPUSeconds float64 `json:"cpu_seconds"`
	PeakMiB    float64 `json:"peak_mib"`
}

// Usage is the usage of all measured processes in a run.
type Usage struct {
	Processes      []ProcessUsage `json:"processes"`
	CPUSeconds     float64        `json:"cpu_seconds"`                        // of all of them
	CPUPerThousand float64        `json:"cpu_seconds_per_thousand,omitempty"` // deliveries
	PeakMiB        float64        `json:"peak_mib"`                           // of all together
	// Load is this process, which is load generator and receiver. It is in no sum.
	Load ProcessUsage `json:"load"`
	// HostCPUSeconds is the processor time of everything on the machine.
	HostCPUSeconds float64 `json:"host_cpu_seconds"`
}

// stop ends measuring.
func (w *watch) stop() (*Usage, error) {
	if w == nil {
		return nil, nil //nolint:nilnil // nothing was measured
	}
	close(w.quit)
	w.done.Wait()
	after, err := w.sample()
	if err != nil {
		return nil, err
	}
	host, err := busy(w.proc)
	if err != nil {
		return nil, err
	}
	u := &Usage{PeakMiB: mebibytes(w.peak), HostCPUSeconds: (host - w.hostThen).Seconds()}
	for i, p := range w.processes {
		used := ProcessUsage{p.Name, (after[i] - w.before[i]).Seconds(), mebibytes(w.peaks[i])}
		if i == len(w.processes)-1 {
			u.Load = used
			break
		}
		u.Processes = append(u.Processes, used)
		u.CPUSeconds += used.CPUSeconds
	}
	return u, nil
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }
