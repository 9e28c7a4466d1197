package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Machine describes the machine of a run.
type Machine struct {
	CPUs      int    `json:"cpus"`
	Model     string `json:"model,omitempty"` // of the processor, if the system reports it
	MemoryMiB int    `json:"memory_mib,omitempty"`
	System    string `json:"system"`
}

// ThisMachine describes the machine that this process runs on.
func ThisMachine() Machine { return machine(procDir) }

func machine(proc string) Machine {
	m := Machine{CPUs: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH}
	if text, err := os.ReadFile(filepath.Join(proc, "cpuinfo")); err == nil {
		for line := range bytes.Lines(text) {
			if name, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(name) == "model name" {
				m.Model = strings.TrimSpace(value)
				break
			}
		}
	}
	if text, err := os.ReadFile(filepath.Join(proc, "meminfo")); err == nil {
		m.MemoryMiB = int(kilobytes(text, "MemTotal:") >> 20)
	}
	if text, err := os.ReadFile(filepath.Join(proc, "sys/kernel/osrelease")); err == nil {
		m.System += " " + strings.TrimSpace(string(text))
	}
	return m
}

// String describes the machine in one line.
func (m Machine) String() string {
	s := fmt.Sprintf("%d cores", m.CPUs)
	if m.Model != "" {
		s += " (" + m.Model + ")"
	}
	if m.MemoryMiB > 0 {
		s += fmt.Sprintf(", %.0f GiB", float64(m.MemoryMiB)/1024)
	}
	return s + ", " + m.System
}
