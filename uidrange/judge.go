package uidrange

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNoUserNamespace says that we are inside a Nix build, or look like it, but Nix
	// gave it no user namespace with a range of ids.
	ErrNoUserNamespace = errors.New("no user namespace with a range of ids")
	// ErrNotRoot says that we are not root, or not with root's capabilities.
	ErrNotRoot = errors.New("not root of this user namespace")
	// ErrTooFew says that we are root of a user namespace with fewer ids than [Needed].
	ErrTooFew = errors.New("too few user or group ids")
)

// Error explains what is wrong with this process's ids.
type Error struct {
	Problem error    // one of the sentinels above
	Found   string   // what was seen
	Reason  string   // what that comes from, a sentence or more
	Fix     []string // lines that say what to do; indented ones are settings
}

// Error returns all of it, on several lines.
func (e *Error) Error() string {
	return fmt.Sprintf("%v\n  found: %s\n  why: %s\n  fix:\n    %s",
		e.Problem, e.Found, e.Reason, strings.Join(e.Fix, "\n    "))
}

// Unwrap returns the sentinel.
func (e *Error) Unwrap() error { return e.Problem }

// nixConf is what a builder's nix.conf needs for uid-range.
//
//nolint:gochecknoglobals // a text that nobody writes to
var nixConf = []string{
	"In nix.conf of the machine that builds (on NixOS: nix.settings), then restart nix-daemon:",
	"  extra-experimental-features = auto-allocate-uids cgroups",
	"  extra-system-features = uid-range",
	"  auto-allocate-uids = true",
	"  use-cgroups = true",
	"  sandbox = true",
}

// requireFeature is what a derivation needs for uid-range.
//
//nolint:gochecknoglobals // a text that nobody writes to
var requireFeature = []string{
	"In the derivation:",
	`  requiredSystemFeatures = [ "uid-range" ];`,
}

// finding is what was read about this process.
type finding struct {
	uids, gids []Mapping
	euid       int
}

// judge returns an *Error unless the ids will do.
func (f finding) judge() error {
	switch {
	case initial(f.uids) && f.euid == 0:
		return f.enough()
	case initial(f.uids) && f.euid >= autoStart && f.euid < autoStart+autoCount:
		return f.error(ErrNoUserNamespace,
			"Nix allocated a range of ids for this build, but the kernel refused to make a user namespace and Nix "+
				"went on without one and without a word. That happens where nix-daemon runs in a chroot, or in a "+
				"container or sandbox that forbids user namespaces.",
			"Run nix-daemon outside of the chroot; where it needs another root directory, enter that with pivot_root.",
			"Check that user namespaces are allowed: sysctl user.max_user_namespaces (more than 0),",
			"kernel.unprivileged_userns_clone (1, if it exists), kernel.apparmor_restrict_unprivileged_userns (0, if it exists).")
	case initial(f.uids):
		return f.error(ErrNoUserNamespace,
			"this is an ordinary user of the host. Inside a Nix build it means that the sandbox is off, or that the "+
				"build got a build user instead of a range of ids.",
			append(append([]string{}, requireFeature...), nixConf...)...)
	case f.euid != 0 && total(f.uids) == 1:
		return f.error(ErrNoUserNamespace,
			"this looks like a Nix sandbox of the usual kind, with a single user. The derivation does not require the "+
				"feature uid-range, so Nix did not give it a range.",
			append(append([]string{}, requireFeature...), nixConf...)...)
	case f.euid != 0:
		return f.error(ErrNotRoot,
			"the user namespace has several ids, but this process is not its root.",
			"Run as root of the namespace: inside a Nix build don't change the user; elsewhere use unshare --map-root-user or the like.")
	}
	return f.enough()
}

// enough complains about root of a small namespace.
func (f finding) enough() error {
	if fromZero(f.uids) >= Needed && fromZero(f.gids) >= Needed {
		return nil
	}
	reason := fmt.Sprintf("a machine needs the ids 0 to %d, for users and for groups. Nix gives a build that many for the feature uid-range; "+
		"another program that made this user namespace gave it fewer.", Needed-1)
	fix := append(append([]string{}, requireFeature...), nixConf...)
	fix = append(fix,
		"Outside of a Nix build:",
		"  give your user 65536 ids in /etc/subuid and /etc/subgid, and map them from 0 without a gap")
	return f.error(ErrTooFew, reason, fix...)
}

func (f finding) error(problem error, reason string, fix ...string) error {
	found := fmt.Sprintf("effective uid %d; user ids %s; group ids %s", f.euid, describe(f.uids), describe(f.gids))
	return &Error{Problem: problem, Found: found, Reason: reason, Fix: fix}
}

// describe writes a map for people: "0-65535 (outside 872415232)".
func describe(all []Mapping) string {
	if initial(all) {
		return "all (the host's own)"
	}
	if len(all) == 0 {
		return "none"
	}
	var parts []string
	for _, m := range all {
		switch m.Size {
		case 1:
			parts = append(parts, fmt.Sprintf("%d (outside %d)", m.Inside, m.Outside))
		default:
			parts = append(parts, fmt.Sprintf("%d-%d (outside %d)", m.Inside, m.Inside+m.Size-1, m.Outside))
		}
	}
	return strings.Join(parts, ", ")
}
