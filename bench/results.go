package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// result is what the build of one scenario wrote (inside/rounds.py).
type result struct {
	Scenario string `json:"scenario"`
	Machines int    `json:"machines"`
	Turns    []turn `json:"turns"`

	dir string // with the logs
}

// turn is one life of one contender. Figures that its scenario does not take
// are nil.
type turn struct {
	Contender string  `json:"contender"`
	Round     int     `json:"round"` // 0: to warm up, counts for nothing
	Error     string  `json:"error,omitempty"`
	WallS     float64 `json:"wall_s"`
	CPUS      float64 `json:"cpu_s"`

	FailedUnits *float64 `json:"failed_units,omitempty"`
	Failed      []string `json:"failed,omitempty"`

	// Phases are moments in seconds after the driver's start.
	Phases map[string]float64 `json:"phases,omitempty"`

	SucceedMS    *float64 `json:"succeed_ms,omitempty"`
	SucceedP90MS *float64 `json:"succeed_p90_ms,omitempty"`
	SucceedMinMS *float64 `json:"succeed_min_ms,omitempty"`
	UnitLateMS   *float64 `json:"unit_late_ms,omitempty"`
	UnitLateMax  *float64 `json:"unit_late_max_ms,omitempty"`

	Memory *memory `json:"memory,omitempty"`
}

// memory is inside/memory.py's answer. The keys are "driver", "beside" (what
// the driver keeps for machines) and "own" (the machines' own processes).
type memory struct {
	MiB       map[string]float64 `json:"mib"`
	Processes map[string]int     `json:"processes"`
	ByName    map[string]float64 `json:"by_name_mib"`
	CPUByName map[string]float64 `json:"cpu_by_name_s"` // processes that live, in seconds
	Method    string             `json:"method"`
}

// report is all of a benchmark.
type report struct {
	When      string    `json:"when"`
	Host      hostInfo  `json:"host"`
	Runs      int       `json:"runs"`
	Metrics   []figure  `json:"metrics"`
	Scenarios []*result `json:"scenarios"`
}

type hostInfo struct {
	Kernel string `json:"kernel"`
	CPUs   int    `json:"cpus"`
	Load   string `json:"load_before"`
	// Inotify is fs.inotify.max_user_instances.
	Inotify int `json:"max_inotify_instances"`
}

func host() hostInfo {
	h := hostInfo{CPUs: runtime.NumCPU()}
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		h.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		h.Load = strings.Join(strings.Fields(string(data))[:3], " ")
	}
	if data, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances"); err == nil {
		h.Inotify, _ = strconv.Atoi(strings.TrimSpace(string(data)))
	}
	return h
}

// enoughInotify is what 24 machines and their drivers are sure to do with.
const enoughInotify = 512

// text describes the machine, and what about it may spoil the figures.
func (h hostInfo) text() string {
	text := fmt.Sprintf("%d CPUs, Linux %s; load before: %s", h.CPUs, h.Kernel, h.Load)
	if h.Inotify < enoughInotify {
		// The kernel counts the instances of all machines for one user, ours.
		text += fmt.Sprintf("\nfs.inotify.max_user_instances is %d: enough for 24 machines only while nobody else starts any;\n"+
			"systemd exits with status 255 when there are none left (NixOS sets 524288)", h.Inotify)
	}
	return text
}

// spread is the middle and the ends of some values.
type spread struct {
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Values []float64 `json:"values"`
}

// spreadOf returns the spread of at least one value.
func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return spread{
		Median: (sorted[(n-1)/2] + sorted[n/2]) / 2,
		Min:    sorted[0], Max: sorted[n-1], Values: values,
	}
}
