package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/nestbox/nestbox/test/nixenv"
)

// TestPing is the demo: two containers that reach each other by name.
func TestPing(t *testing.T) {
	t.Parallel()
	log := passes(t, "ping").Log
	mustHave(t, log,
		"start all VMs\n",
		"n1: waiting for unit multi-user.target\n",
		"n1: must succeed: ping -c 1 -W 5 n2\n",
		"(finished: run the VM test script, in ",
	)
	for _, want := range []string{
		`(?m)^n1: \(finished: must succeed: ping -c 1 -W 5 n2, in \d+\.\d\d seconds\)$`,
		`(?m)^n2 # \[ {1,}\d+\.\d{6}\] systemd\[1\]: Reached target multi-user\.target`,
	} {
		if !regexp.MustCompile(want).MatchString(log) {
			t.Errorf("no %q in the log, which ends:\n%s", want, tail(log))
		}
	}
	// It is no terminal that this is written to.
	if strings.ContainsAny(log, "\x1b\r") {
		t.Errorf("escapes or carriage returns in the log:\n%q", log)
	}
}

// TestReachability: VLANs 1, 2 and 1+2, with names, IPv4 and IPv6, and the
// script on the bridges. What must not reach what, does not.
func TestReachability(t *testing.T) {
	t.Parallel()
	passes(t, "vlans")
}

// TestNameOfSixtyCharacters is a machine's on three VLANs.
func TestNameOfSixtyCharacters(t *testing.T) {
	t.Parallel()
	result := passes(t, "longName")
	if got := read(t, result.HostPath, "kept"); got != "kept\n" {
		t.Errorf("copied: %q", got)
	}
}

// TestTwentyFourMachines start at once, each without a failed unit.
func TestTwentyFourMachines(t *testing.T) {
	t.Parallel()
	log := passes(t, "many").Log
	t.Log(regexp.MustCompile(`24 machines run after .*`).FindString(log))
}

// TestTwoBuildsAtOnce run in one daemon, with machines of the same names and
// addresses, and see nothing of each other.
func TestTwoBuildsAtOnce(t *testing.T) {
	t.Parallel()
	env, args := setUp(t, &shared)
	for range cap(slots) {
		slots <- struct{}{}
		defer func() { <-slots }()
	}
	attrs := []string{"beside.one", "beside.other"}
	results := make([]nixenv.Result, len(attrs))
	var builds sync.WaitGroup
	for i, attr := range attrs {
		builds.Go(func() { results[i] = build(t, env, args, attr) })
	}
	builds.Wait()
	var began, ended float64
	for i, result := range results {
		if result.Err != nil {
			t.Fatalf("%s failed, its log ends:\n%s", attrs[i], tail(result.Log))
		}
		var from, to float64
		line := regexp.MustCompile(`(?m)^began \S+ ended \S+$`).FindString(result.Log)
		if _, err := fmt.Sscanf(line, "began %f ended %f", &from, &to); err != nil {
			t.Fatalf("reading %q: %v", line, err)
		}
		if i == 0 {
			began, ended = from, to
		}
		began, ended = max(began, from), min(ended, to)
	}
	if together := ended - began; together < 2 {
		t.Errorf("they ran together for %.1f s, which proves nothing", together)
	}
}

// TestCommands: bash's semantics, output of any content and size, timeouts,
// many at once.
func TestCommands(t *testing.T) {
	t.Parallel()
	mustHave(t, passes(t, "commands").Log, "a # to standard error\n")
}

// TestCopies: files and trees, to machines and into $out.
func TestCopies(t *testing.T) {
	t.Parallel()
	out := passes(t, "copies").HostPath
	for path, want := range map[string]string{
		"bytes":                  "a\x00\xff\n",
		"whole/tree/sub/private": "private\n",
		"linked/alias/bytes":     "a\x00\xff\n",
		"linked/alias-of-file":   "a\x00\xff\n",
		"with space":             "",
		"old-name/hostname":      "a\n",
		"back/tree/program":      "#!/bin/sh\necho ran\n",
		"whole/tree/link":        "private\n",
	} {
		if got := read(t, out, path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if link, err := os.Readlink(filepath.Join(out, "whole", "tree", "absolute")); link != "/etc/hostname" {
		t.Errorf("the link in the tree: %q, %v", link, err)
	}
	if info, err := os.Stat(filepath.Join(out, "deep", "er", "large")); err != nil || info.Size() != 20_000_000 {
		t.Errorf("the large file: %+v, %v", info, err)
	}
}

// TestMachinesGoDownAndComeBack: reboots from inside, shutdowns, crashes.
func TestMachinesGoDownAndComeBack(t *testing.T) {
	t.Parallel()
	passes(t, "lives")
}

// TestWaiting: for units, files, ports, sockets and commands, and why a wait
// ended in vain; retry, polling conditions, subtests, the log.
func TestWaiting(t *testing.T) {
	t.Parallel()
	log := passes(t, "waiting").Log
	mustHave(t, log,
		"subtest: units\n", "(finished: subtest: units, in ",
		"an info\n", "a warning\n", "a: of a machine\n", "a: a step of a machine\n", "printed by the script\n",
		`!!! Test "a part that fails" failed with error: `,
	)
}

// TestMachineObject: a machine in Nestbox's own terms, with all that only they
// can say.
func TestMachineObject(t *testing.T) {
	t.Parallel()
	log := passes(t, "object").Log
	if strings.Contains(log, "limits: no controller") {
		mustHave(t, log, "limits without effect")
		if n := strings.Count(log, "limits without effect"); n != 1 {
			t.Errorf("said %d times that limits have no effect", n)
		}
	}
}

// TestWhatNixOSNeeds: each thing that NixOS's own init does in a container or
// finds there, and the walls around the machine.
func TestWhatNixOSNeeds(t *testing.T) {
	t.Parallel()
	mustHave(t, passes(t, "nixos").Log,
		"a # <<< NixOS-like stage 2 >>>\n", // the console, before systemd
		"a # on the console\n",
		"systemd finished booting after", // by its notify socket
	)
}

// TestHardening: some 60 of systemd's settings, each by its name; -v lists
// them.
func TestHardening(t *testing.T) {
	t.Parallel()
	result := passes(t, "hardening")
	for line := range strings.Lines(result.Log) {
		if strings.HasPrefix(line, "hardening: ") {
			t.Log(strings.TrimSpace(line))
		}
	}
}
