package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func self(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	path, err := parseSelf(data)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOwnMovesAndCloseRestores(t *testing.T) {
	dir := group(t)
	sibling := start(t, "wait", dir)
	home := self(t)

	tree := newTree(t)
	if got, want := self(t), home+"/driver"; got != want {
		t.Errorf("this process is in %q, want %q", got, want)
	}
	if left, err := members(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	moved, err := members(filepath.Join(dir, "driver"))
	if err != nil || !slices.Contains(moved, sibling.Process.Pid) {
		t.Errorf("the sibling is not among %v, %v", moved, err)
	}
	// Every controller that is there is enabled.
	available, _ := readWords(dir, "cgroup.controllers")
	enabled, _ := readWords(dir, "cgroup.subtree_control")
	slices.Sort(available)
	slices.Sort(enabled)
	if !slices.Equal(available, enabled) {
		t.Errorf("of %v only %v are enabled", available, enabled)
	}
	for _, c := range wanted {
		if got := slices.Contains(tree.Missing(), c); got == slices.Contains(available, c) {
			t.Errorf("%s: missing is %t, of %v", c, got, available)
		}
	}

	m := newMachine(t, tree, "left over")
	_, below := payload(t, m)
	start(t, "wait", below)
	if err := tree.Close(); err != nil {
		t.Fatal(err)
	}
	if got := self(t); got != home {
		t.Errorf("after Close this process is in %q, want %q", got, home)
	}
	back, err := members(dir)
	if err != nil || !slices.Contains(back, sibling.Process.Pid) {
		t.Errorf("after Close the sibling is not among %v, %v", back, err)
	}
	if left := children(t, dir); len(left) > 0 {
		t.Errorf("after Close there are %v", left)
	}
	if got, _ := readWords(dir, "cgroup.subtree_control"); len(got) > 0 {
		t.Errorf("after Close %v are still enabled", got)
	}
	if err := tree.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func children(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestOwnErrors(t *testing.T) {
	group(t)
	if _, err := Own(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a cgroup2 mount") {
		t.Errorf("a directory that is no cgroup2 mount: %v", err)
	}
	if _, err := Own(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an absent directory: %v", err)
	}
}

func TestKillAndRemove(t *testing.T) {
	tree := newTree(t)
	m := newMachine(t, tree, strings.Repeat("long/name ", 30))
	top, below := payload(t, m)
	start(t, "wait", top)
	start(t, "fork", below) // by now its daemon has another parent
	if got := populated(t, m.dir()); len(got) < 2 {
		t.Fatalf("the machine has only the processes %v", got)
	}

	if err := m.Remove(); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "still there: ") {
		t.Errorf("removing a living machine: %v", err)
	}
	if _, err := tree.Machine(m.id, Limits{}); !errors.Is(err, unix.EBUSY) {
		t.Errorf("making a living machine again: %v", err)
	}
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	if got := populated(t, m.dir()); len(got) > 0 {
		t.Errorf("after Kill there are still %v", got)
	}
	if err := m.Kill(); err != nil {
		t.Errorf("killing a dead machine: %v", err)
	}
	again, err := tree.Machine(m.id, Limits{})
	if err != nil {
		t.Fatalf("making a dead machine again: %v", err)
	}
	if _, err := os.Stat(top); !os.IsNotExist(err) {
		t.Errorf("the old payload is still there: %v", err)
	}
	payload(t, again)
	for range 2 {
		if err := again.Remove(); err != nil {
			t.Error(err)
		}
	}
	if err := again.Kill(); err != nil {
		t.Errorf("killing a removed machine: %v", err)
	}
	if left := children(t, tree.dir()); !slices.Equal(left, []string{"driver"}) {
		t.Errorf("left: %v", left)
	}
}

// Other machines live on.
func TestKillHitsOneMachine(t *testing.T) {
	tree := newTree(t)
	a, b := newMachine(t, tree, "a"), newMachine(t, tree, "a/")
	_, inA := payload(t, a)
	_, inB := payload(t, b)
	start(t, "wait", inA)
	start(t, "wait", inB)
	if err := a.Kill(); err != nil {
		t.Fatal(err)
	}
	if len(populated(t, inA)) != 0 || len(populated(t, inB)) != 1 {
		t.Errorf("a has %v, b has %v", populated(t, inA), populated(t, inB))
	}
}

func TestFreeze(t *testing.T) {
	tree := newTree(t)
	m := newMachine(t, tree, "m")
	_, below := payload(t, m)
	p := start(t, "wait", below)

	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := awaitEvent(below, "frozen", 1, 0); err != nil {
		t.Errorf("Freeze returned too early: %v", err)
	}
	if err := p.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := awaitEvent(m.dir(), "populated", 0, 50*time.Millisecond)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a frozen process acted on a signal: %v", err)
	}
	if err := m.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := awaitEvent(m.dir(), "populated", 0, soon); err != nil {
		t.Errorf("a thawed process did not go on: %v", err)
	}

	start(t, "wait", below)
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := m.Kill(); err != nil {
		t.Errorf("killing a frozen machine: %v", err)
	}
}

func TestUsage(t *testing.T) {
	tree := newTree(t)
	m := newMachine(t, tree, "m")
	_, below := payload(t, m)
	before, err := m.Usage()
	if err != nil {
		t.Fatal(err)
	}
	start(t, "fork", below)
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	after, err := m.Usage()
	if err != nil {
		t.Fatal(err)
	}
	if before.CPU != 0 || after.CPU <= 0 || after.CPU > time.Minute {
		t.Errorf("processor time went from %v to %v", before.CPU, after.CPU)
	}
	for _, c := range []string{"memory", "pids"} {
		if got, want := slices.Contains(after.Unknown, c), slices.Contains(tree.Missing(), c); got != want {
			t.Errorf("%s: unknown is %t, missing is %t", c, got, want)
		}
	}
	if !slices.Contains(after.Unknown, "memory peak") && after.MemoryPeak == 0 {
		t.Error("a memory peak of 0")
	}
	if err := m.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Usage(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("usage of a removed machine: %v", err)
	}
}

// Files as a kernel with every controller writes them.
func TestReadUsage(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"cpu.stat":       "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 0\n",
		"memory.current": "1048576\n",
		"memory.peak":    "3145728\n",
		"memory.stat":    "anon 4096\nfile 8192\n",
		"memory.events":  "low 0\nhigh 0\nmax 7\noom 2\noom_kill 3\noom_group_kill 0\n",
		"pids.current":   "12\n",
		"pids.max":       "max\n",
		"pids.peak":      "34\n",
		"io.stat":        "254:0 rbytes=1000 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n254:16 rbytes=1 wbytes=2\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readUsage(dir, load(dir, ""))
	want := Usage{
		CPU: 2500 * time.Millisecond, Memory: 1 << 20, MemoryPeak: 3 << 20,
		PIDs: 12, PIDsPeak: 34, OOMKills: 3, BytesRead: 1001, BytesWritten: 22,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	got, err = readUsage(filepath.Dir(dir), load(filepath.Dir(dir), ""))
	want = Usage{Unknown: []string{"cpu", "io", "memory", "memory peak", "pids", "pids peak"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("without files: got %+v, %v\nwant %+v", got, err, want)
	}
}

// Limits are refused by nobody, whichever controllers there are.
func TestLimits(t *testing.T) {
	tree := newTree(t)
	m, err := tree.Machine("m", Limits{Memory: 64 << 20, CPUs: 0.5, PIDs: 50})
	if err != nil {
		t.Fatal(err)
	}
	for controller, want := range map[string][2]string{
		"memory": {"memory.max", "67108864"},
		"cpu":    {"cpu.max", "50000 100000"},
		"pids":   {"pids.max", "50"},
	} {
		got, err := os.ReadFile(filepath.Join(m.dir(), want[0]))
		if slices.Contains(tree.Missing(), controller) {
			if !os.IsNotExist(err) {
				t.Errorf("%s is there though missing: %v", want[0], err)
			}
		} else if strings.TrimSpace(string(got)) != want[1] {
			t.Errorf("%s is %q, want %q; %v", want[0], got, want[1], err)
		}
	}
	available, _ := readWords(m.dir(), "cgroup.controllers")
	enabled, _ := readWords(m.dir(), "cgroup.subtree_control")
	if len(available) != len(enabled) {
		t.Errorf("the payload gets %v of %v", enabled, available)
	}
	if got := m.PayloadPath(); got != filepath.Join(strings.TrimPrefix(group(t), tree.mount), "m-m", "payload") {
		t.Errorf("PayloadPath is %q", got)
	}
}

func TestAwaitEvent(t *testing.T) {
	tree := newTree(t)
	m := newMachine(t, tree, "m")
	if err := awaitEvent(m.dir(), "no such", 0, soon); err == nil {
		t.Error("an entry that does not exist was awaited")
	}
	_, below := payload(t, m)
	start(t, "wait", below)
	done := make(chan error)
	go func() { done <- awaitEvent(below, "populated", 0, soon) }()
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	f, err := os.Open(filepath.Join(m.dir(), "cgroup.events"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := m.Remove(); err != nil {
		t.Fatal(err)
	}
	if got, err := readEvent(f, "populated"); got != 0 || err != nil {
		t.Errorf("a removed cgroup is populated: %d, %v", got, err)
	}
}
