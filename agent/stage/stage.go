// Package stage is the first process of a container: what libcontainer
// executes as PID 1 before the machine's own init takes its place.
//
// It forks the agent and replaces itself by init, in a C constructor, before
// the Go runtime starts. So PID 1 costs one execve more than it would without
// an agent, the agent is there before init's first instruction, and no file
// of ours need be visible in the machine.
//
// Import it for its side effect in the binary that is given to libcontainer;
// [Args] makes the command line that triggers it.
package stage

/*
#cgo CFLAGS: -Wall -Wextra
#include "stage.h"
*/
import "C"

import (
	"fmt"
	"os"
	"strconv"
)

// First file descriptors of the process, in the order of libcontainer's
// ExtraFiles: the program itself, then what the agent listens on and reports
// to.
const (
	FDSelf   = 3
	FDListen = 4
	FDErrors = 5
)

// Name is what the process and the agent are called in turn: argv[0] selects
// the constructor. Both have the same length, as one is written over the
// other.
const (
	Name      = "nestbox-stage"
	AgentName = "nestbox-agent"
)

// Self is the path by which the program is executed in the machine.
func Self() string { return "/proc/self/fd/" + strconv.Itoa(FDSelf) }

// Args returns the argument vector of PID 1: init and its arguments behind
// our own. With ignoreSetID a chmod that sets a setuid or setgid bit succeeds
// without effect, which is for sandboxes whose seccomp filter refuses it.
func Args(init string, cmdline []string, ignoreSetID bool) []string {
	options := "-"
	if ignoreSetID {
		options = "ignore-setid"
	}
	return append([]string{Self(), Name, options, init}, cmdline...)
}

// IsAgent reports whether this process is the agent that the constructor
// forked.
func IsAgent() bool { return C.nestbox_is_agent() != 0 }

// IgnoresSetID reports whether the machine has the filter that [Args] speaks
// of.
func IgnoresSetID() bool { return C.nestbox_ignores_setid() != 0 }

// Listener returns the socket the agent listens on.
func Listener() (*os.File, error) {
	f := os.NewFile(FDListen, "agent socket")
	if f == nil {
		return nil, fmt.Errorf("taking the agent's socket: file descriptor %d is not open", FDListen)
	}
	return f, nil
}
