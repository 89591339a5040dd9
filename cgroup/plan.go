package cgroup

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/cgroups/v3/cgroup2"
)

const (
	driverLeaf    = "driver"
	machinePrefix = "m-"
	payloadLeaf   = "payload"

	// plainName is the longest machine name that goes into a directory's name
	// as it is. A directory's name has 255 bytes at most.
	plainName = 120
)

// wanted are the controllers whose absence is worth telling.
//
//nolint:gochecknoglobals // a table that nobody writes to
var wanted = []string{"cpu", "io", "memory", "pids"}

// dirName makes a directory's name of any machine name. Different names never
// give the same: those that hold an unusual character or are long get a hash,
// behind a character that doesn't occur otherwise. The prefix keeps clear of
// the kernel's own files.
func dirName(machine string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r) {
			return r
		}
		return '_'
	}, machine)
	if plain == machine && len(machine) <= plainName {
		return machinePrefix + machine
	}
	hash := sha256.Sum256([]byte(machine))
	return fmt.Sprintf("%s%s~%x", machinePrefix, plain[:min(len(plain), plainName)], hash[:8])
}

// cpuPeriod is the kernel's default period of cpu.max in microseconds, and
// cpuMinimum the least quota that it accepts.
const (
	cpuPeriod  = 100_000
	cpuMinimum = 1_000
)

// resources turns limits into what the cgroup library takes, for those
// controllers that are there. swap reports whether memory.swap.max exists.
func resources(l Limits, controllers []string, swap bool) *cgroup2.Resources {
	r := &cgroup2.Resources{}
	if l.Memory > 0 && slices.Contains(controllers, "memory") {
		r.Memory = &cgroup2.Memory{Max: &l.Memory}
		if swap {
			// The limit is the size of the machine, which is not to grow by
			// as much swap as the host has.
			r.Memory.Swap = new(int64)
		}
	}
	if l.CPUs > 0 && slices.Contains(controllers, "cpu") {
		quota, period := max(int64(l.CPUs*cpuPeriod), cpuMinimum), uint64(cpuPeriod)
		r.CPU = &cgroup2.CPU{Max: cgroup2.NewCPUMax(&quota, &period)}
	}
	if l.PIDs > 0 && slices.Contains(controllers, "pids") {
		r.Pids = &cgroup2.Pids{Max: l.PIDs}
	}
	return r
}

// parseSelf reads the v2 line of a /proc/PID/cgroup: the path of that
// process's cgroup below the root of the cgroup namespace.
func parseSelf(data []byte) (string, error) {
	for line := range strings.Lines(string(data)) {
		path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		switch {
		case !ok:
			continue
		case !strings.HasPrefix(path, "/"):
			return "", fmt.Errorf("path %q is not absolute", path)
		case path == "/.." || strings.HasPrefix(path, "/../"):
			return "", fmt.Errorf("this process is outside of its cgroup namespace, at %q", path)
		case strings.HasSuffix(path, " (deleted)"):
			return "", fmt.Errorf("the cgroup %q of this process has been removed", path)
		}
		return path, nil
	}
	return "", errors.New("no line for cgroup v2; is only v1 in use?")
}

// parseEvents reads a cgroup.events file: lines of a name and a number.
func parseEvents(data []byte) (map[string]int64, error) {
	events := map[string]int64{}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) != 2 {
			return nil, fmt.Errorf("line %q is not a name and a number", line)
		}
		n, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		events[fields[0]] = n
	}
	return events, nil
}

// parsePIDs reads a cgroup.procs file. Processes that our PID namespace does
// not show are 0 there.
func parsePIDs(data []byte) ([]int, error) {
	var pids []int
	for field := range strings.FieldsSeq(string(data)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}
