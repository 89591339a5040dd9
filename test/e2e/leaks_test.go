package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nestbox/nestbox/test/nixenv"
)

// Each of these tests ends a driver in one way. leaks.py, in the build, looks
// for what is left beside the driver's end; here it is looked for after the
// build, from the host. They have a daemon of their own, one after another, so
// that whatever is there is theirs.

func TestNothingIsLeftAfterSuccess(t *testing.T) { leavesNothing(t, "success") }
func TestNothingIsLeftAfterFailure(t *testing.T) { leavesNothing(t, "failure") }
func TestNothingIsLeftAfterTimeout(t *testing.T) { leavesNothing(t, "timeout") }
func TestNothingIsLeftAfterSIGINT(t *testing.T)  { leavesNothing(t, "SIGINT") }
func TestNothingIsLeftAfterSIGTERM(t *testing.T) { leavesNothing(t, "SIGTERM") }

// TestNothingIsLeftAfterSIGKILL: nobody is left to remove empty cgroups and
// files; Nix does it at the end of the build.
func TestNothingIsLeftAfterSIGKILL(t *testing.T) { leavesNothing(t, "SIGKILL") }

// TestNothingIsLeftAfterSignalsAtAnyTime: SIGTERM and SIGKILL at moments of
// the driver's and its machines' start.
func TestNothingIsLeftAfterSignalsAtAnyTime(t *testing.T) { leavesNothing(t, "anytime") }

func leavesNothing(t *testing.T, ending string) {
	t.Parallel()
	lonelyTurn.Lock()
	defer lonelyTurn.Unlock()
	env, _ := setUp(t, &lonely)
	before := look(t, env)
	for _, part := range []string{"processes", "cgroups", "interfaces", "mounts", "namespaces"} {
		if len(before[part]) == 0 {
			t.Fatalf("no %s are seen from outside, so none could be missed", part)
		}
	}
	attr := "leaks." + ending
	result := run(t, &lonely, attr)
	if result.Err != nil {
		t.Fatalf("the build of %s failed, its log ends:\n%s\nto see it again: %s", attr, tail(result.Log), command(attr))
	}
	for line := range strings.Lines(result.Log) {
		if strings.HasPrefix(line, "it held ") || strings.HasPrefix(line, "SIG") {
			t.Log(strings.TrimSpace(line))
		}
	}
	// The daemon's process for our connection, and the kernel, take a moment.
	var left []string
	deadline := time.Now().Add(10 * time.Second)
	for {
		if left = difference(before, look(t, env)); len(left) == 0 || time.Now().After(deadline) {
			break
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	for _, line := range left {
		t.Errorf("after the build, seen from the host: %s", line)
	}
}

// look returns what the host sees of a daemon's world, by kind.
func look(t *testing.T, env *nixenv.Env) map[string][]string {
	t.Helper()
	dir := ownCgroup(t, env)
	found := map[string][]string{}
	add := func(kind, text string) {
		if !slices.Contains(found[kind], text) {
			found[kind] = append(found[kind], text)
		}
	}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil //nolint:nilerr // a cgroup that goes away meanwhile
		}
		add("cgroups", path)
		pids, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for _, pid := range strings.Fields(string(pids)) {
			proc := filepath.Join("/proc", pid)
			name, err := os.ReadFile(filepath.Join(proc, "comm"))
			if err != nil {
				continue // it has just ended
			}
			add("processes", fmt.Sprintf("%s %s", pid, strings.TrimSpace(string(name))))
			links, _ := filepath.Glob(filepath.Join(proc, "ns", "*"))
			for _, link := range links {
				if namespace, err := os.Readlink(link); err == nil {
					add("namespaces", namespace)
				}
			}
			mounts, _ := os.ReadFile(filepath.Join(proc, "mountinfo"))
			for line := range strings.Lines(string(mounts)) {
				add("mounts", line)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(read(t, "/proc/self/mountinfo")) {
		add("mounts", line)
	}
	interfaces, err := os.ReadDir("/sys/class/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range interfaces {
		add("interfaces", entry.Name())
	}
	return found
}

// ownCgroup returns the directory of the cgroup that a daemon and its builds
// are in, as the host has it mounted. Inside it is the root of the hierarchy.
func ownCgroup(t *testing.T, env *nixenv.Env) string {
	t.Helper()
	out, err := env.Run(t.Context(), "stat", "--format", "%i", "/sys/fs/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	inode, err := strconv.ParseUint(strings.TrimSpace(out), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(read(t, "/proc/self/mountinfo")) {
		// The fifth word is the place; the type follows " - " (proc(5)).
		words := strings.Fields(line)
		if !strings.Contains(line, " - cgroup2 ") {
			continue
		}
		var found string
		_ = filepath.WalkDir(words[4], func(path string, entry os.DirEntry, err error) error {
			if err != nil || !entry.IsDir() {
				return nil //nolint:nilerr // others come and go
			}
			if info, err := entry.Info(); err == nil && info.Sys().(*syscall.Stat_t).Ino == inode {
				found = path
				return filepath.SkipAll
			}
			return nil
		})
		if found != "" {
			return found
		}
	}
	t.Fatalf("no cgroup of the host has inode %d", inode)
	return ""
}

func difference(before, after map[string][]string) []string {
	var lines []string
	for kind, now := range after {
		for _, entry := range now {
			if !slices.Contains(before[kind], entry) {
				lines = append(lines, fmt.Sprintf("%s: left behind: %s", kind, entry))
			}
		}
	}
	slices.Sort(lines)
	return lines
}
