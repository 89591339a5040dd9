// Package uidrange finds out which user and group ids this process owns.
//
// A machine needs 65536 of them, or its system could not have users. Nix
// hands out that many to a build that requires the feature "uid-range": the
// build then runs as root of a user namespace of its own. There are several
// ways in which Nix, or whoever else starts us, may fall short of that, one of
// them silently; [Detect] tells them apart and its error says which setting to
// change.
//
// What the files mean is told by user_namespaces(7), and by the entry
// auto-allocate-uids in nix.conf(5).
package uidrange

import (
	"fmt"
	"os"
)

// Needed is how many ids a machine has: 0 to 65535, as on a normal system.
const Needed = 65536

// Range is the run of ids, from 0 upwards, that this process may use.
type Range struct {
	// Size is how many user ids and group ids there are, at least [Needed].
	Size int
	// Outside is the number that the parent user namespace, or the host, has
	// for our uid 0.
	Outside int
	// Initial reports whether this is the initial user namespace, in other
	// words real root: nothing shields the host.
	Initial bool
}

// Mapping is one line of a uid_map or gid_map: Size ids, which are Inside and
// following in a new user namespace and Outside and following in ours.
type Mapping struct{ Inside, Outside, Size int }

// Identity returns the map of a nested user namespace for a machine: every id
// that a machine needs stands for itself. It holds for users and groups.
func (r Range) Identity() []Mapping { return []Mapping{{Inside: 0, Outside: 0, Size: Needed}} }

// Detect returns the ids of this process. See [Parse] for the errors; besides
// those it returns one that wraps [ErrNotRoot] where this process is root but
// was denied the capabilities that root has over its own namespaces.
func Detect() (Range, error) {
	var files [3][]byte
	for i, name := range []string{"uid_map", "gid_map", "status"} {
		data, err := os.ReadFile("/proc/self/" + name)
		if err != nil {
			return Range{}, fmt.Errorf("finding out which user ids we own: %w (is /proc mounted?)", err)
		}
		files[i] = data
	}
	r, err := Parse(files[0], files[1], os.Geteuid())
	if err != nil {
		return r, err
	}
	return r, checkCapabilities(files[2])
}
