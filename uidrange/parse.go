package uidrange

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// autoStart and autoCount are Nix's defaults of start-id and id-count:
	// where the blocks lie that auto-allocate-uids gives to builds.
	autoStart = 872415232
	autoCount = 8388608 // 128 blocks

	// everyID is the size of the initial user namespace's one mapping. The id
	// 4294967295 is no id.
	everyID = math.MaxUint32
)

// Parse is [Detect] without the system: it takes the contents of
// /proc/self/uid_map and gid_map and the effective uid, as seen from inside.
//
// The error is an [*Error] that wraps one of [ErrNoUserNamespace],
// [ErrNotRoot] and [ErrTooFew]; on files that are not as the kernel writes
// them it is a plain one.
func Parse(uidMap, gidMap []byte, euid int) (Range, error) {
	uids, err := parseMap(uidMap)
	if err != nil {
		return Range{}, fmt.Errorf("reading uid_map: %w", err)
	}
	gids, err := parseMap(gidMap)
	if err != nil {
		return Range{}, fmt.Errorf("reading gid_map: %w", err)
	}
	f := finding{uids: uids, gids: gids, euid: euid}
	if err := f.judge(); err != nil {
		return Range{}, err
	}
	return Range{
		Size:    min(fromZero(uids), fromZero(gids)),
		Outside: uids[0].Outside,
		Initial: initial(uids),
	}, nil
}

// parseMap returns the mappings of a uid_map or gid_map, sorted by their
// inside ids.
func parseMap(data []byte) ([]Mapping, error) {
	var all []Mapping
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("line %q does not have 3 numbers", strings.TrimSpace(line))
		}
		var n [3]int
		for i, f := range fields {
			v, err := strconv.ParseUint(f, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("line %q: %w", strings.TrimSpace(line), err)
			}
			n[i] = int(v)
		}
		all = append(all, Mapping{n[0], n[1], n[2]})
	}
	slices.SortFunc(all, func(a, b Mapping) int { return a.Inside - b.Inside })
	return all, nil
}

// fromZero returns how many ids in a row are mapped, from 0.
func fromZero(sorted []Mapping) int {
	end := 0
	for _, m := range sorted {
		if m.Inside != end {
			break
		}
		end += m.Size
	}
	return end
}

// total returns how many ids are mapped.
func total(all []Mapping) int {
	n := 0
	for _, m := range all {
		n += m.Size
	}
	return n
}

// initial reports whether a map is that of the initial user namespace.
func initial(all []Mapping) bool {
	return len(all) == 1 && all[0] == Mapping{0, 0, everyID}
}

// needed are the capabilities without which no machine can be made, though
// root has them in a user namespace as a rule.
//
//nolint:gochecknoglobals // a table that nobody writes to
var needed = []struct {
	bit  uint
	name string
}{
	{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
	{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"},
	{unix.CAP_SETUID, "CAP_SETUID"},
	{unix.CAP_SETGID, "CAP_SETGID"},
	{unix.CAP_CHOWN, "CAP_CHOWN"},
}

// checkCapabilities reads CapEff from a /proc/self/status.
func checkCapabilities(status []byte) error {
	for line := range strings.Lines(string(status)) {
		value, ok := strings.CutPrefix(line, "CapEff:")
		if !ok {
			continue
		}
		have, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return fmt.Errorf("reading the capabilities: %w", err)
		}
		var lacks []string
		for _, c := range needed {
			if have&(1<<c.bit) == 0 {
				lacks = append(lacks, c.name)
			}
		}
		if len(lacks) > 0 {
			return &Error{
				Problem: ErrNotRoot,
				Found:   "uid 0 without " + strings.Join(lacks, ", "),
				Reason:  "a container runtime has taken root's capabilities away.",
				Fix:     []string{"Give the container all capabilities (--privileged), or run inside a Nix build."},
			}
		}
		return nil
	}
	return fmt.Errorf("reading the capabilities: no CapEff in /proc/self/status")
}
