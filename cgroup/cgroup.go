// Package cgroup gives each machine a control group of its own, below the one
// that was delegated to this process.
//
//	<ours>            every controller that is to be had is enabled here
//	├── driver        this process and its helpers
//	├── m-web         the limits of machine "web", and its figures
//	│   └── payload   handed to the machine's systemd, which rules below it
//	└── m-db
//	    └── payload
//
// The leaf "driver" is there because a cgroup with members can't enable
// controllers for its children (the "no internal processes" rule). The level
// between ours and "payload" is there so that a machine's systemd, which owns
// payload, can neither lift the limits nor reset the figures. With a cgroup of
// its own, no machine's systemd can remove a neighbour's, and killing a machine
// is one write that no process can escape.
//
// Only cgroup v2 is used. Which controllers are to be had is up to whoever
// delegated the cgroup; without one, its limits and figures are left out, and
// [Tree.Missing] tells so. The rules are those of the kernel's
// Documentation/admin-guide/cgroup-v2.rst and of cgroups(7).
//
// [Own] is where to start. Names, limits and file formats are pure functions
// in plan.go.
package cgroup

import "time"

// Limits of one machine; 0 means no limit.
type Limits struct {
	Memory int64   // bytes; no swap may be used beyond it
	CPUs   float64 // processors' worth of time, 0.5 for half of one
	PIDs   int64   // processes and threads
}

// Usage is what a machine used so far. A figure that nobody counted is 0 and
// named in Unknown.
type Usage struct {
	CPU          time.Duration // time on a processor, user and system
	Memory       int64         // bytes now, page cache included
	MemoryPeak   int64         // bytes
	PIDs         int64         // processes and threads now
	PIDsPeak     int64
	OOMKills     int64 // processes that the kernel killed for want of memory
	BytesRead    int64 // from block devices
	BytesWritten int64 // to block devices

	// Unknown holds, sorted, "cpu", "memory", "memory peak", "pids",
	// "pids peak" and "io" where the figures are missing, because the
	// controller is, or because the kernel is too old.
	Unknown []string
}
