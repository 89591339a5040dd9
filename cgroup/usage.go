package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/cgroups/v3/cgroup2"
)

// figures are the groups of [Usage] and the file without which they are not
// known. Processor time is counted even without the cpu controller.
//
//nolint:gochecknoglobals // a table that nobody writes to
var figures = []struct{ name, file string }{
	{"cpu", "cpu.stat"},
	{"io", "io.stat"},
	{"memory", "memory.current"},
	{"memory peak", "memory.peak"}, // Linux 5.19
	{"pids", "pids.current"},
	{"pids peak", "pids.peak"}, // Linux 6.1
}

// Usage returns what the machine has used since its cgroup was made, processes
// that have ended included.
func (m *Machine) Usage() (Usage, error) {
	u, err := readUsage(m.dir(), m.manager())
	if err != nil {
		return Usage{}, fmt.Errorf("reading what machine %q used: %w", m.id, err)
	}
	return u, nil
}

func readUsage(dir string, m *cgroup2.Manager) (Usage, error) {
	var u Usage
	if _, err := os.Stat(dir); err != nil {
		return u, err
	}
	for _, f := range figures {
		if _, err := os.Stat(filepath.Join(dir, f.file)); errors.Is(err, fs.ErrNotExist) {
			u.Unknown = append(u.Unknown, f.name)
		}
	}
	s, err := m.StatFiltered(cgroup2.StatCPU | cgroup2.StatMemory | cgroup2.StatMemoryEvents | cgroup2.StatPids | cgroup2.StatIO)
	if err != nil {
		return u, err
	}
	u.CPU = time.Duration(s.GetCPU().GetUsageUsec()) * time.Microsecond
	u.Memory = int64(s.GetMemory().GetUsage())
	u.MemoryPeak = int64(s.GetMemory().GetMaxUsage())
	u.OOMKills = int64(s.GetMemoryEvents().GetOomKill())
	u.PIDs = int64(s.GetPids().GetCurrent())
	for _, io := range s.GetIo().GetUsage() {
		u.BytesRead += int64(io.GetRbytes())
		u.BytesWritten += int64(io.GetWbytes())
	}
	if !slices.Contains(u.Unknown, "pids peak") {
		// The library doesn't know this one.
		if u.PIDsPeak, err = readNumber(dir, "pids.peak"); err != nil {
			return u, err
		}
	}
	return u, nil
}

func readNumber(dir, file string) (int64, error) {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", file, err)
	}
	return n, nil
}
