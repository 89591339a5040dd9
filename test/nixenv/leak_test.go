package nixenv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nestbox/nestbox/internal/testenv"
)

// holderVar, set in the environment, makes this test program hold an Env; its
// value says how the Env is to end.
const holderVar = "NIXENV_TEST_HOLDER"

// stage is the shell that a leak test runs in: namespaces and a cgroup of its
// own, so that what is seen there is this test's alone, whatever else runs on
// the machine. It is process 1 there and takes care of orphans.
const stage = `
set -e
mount -t proc proc /proc
umount "$1" # the kernel mounts a file system once on one place
mount -t cgroup2 cgroup2 "$1"
snapshot() {
	echo "# mounts"; cat /proc/mounts
	echo "# interfaces"; ip -o link
	echo "# cgroups"; find "$1" -type d 2>/dev/null || true
	echo "# processes"
	for status in /proc/[0-9]*/status; do
		# Not a zombie, nor one that has just ended.
		grep -E '^(Name|State|Pid):' "$status" 2>/dev/null | paste -s | grep -v 'State:.Z' || true
	done | grep -vE 'Name:.(snapshot|bash|grep|paste)' || true
	echo "# namespaces"; readlink /proc/[0-9]*/ns/* 2>/dev/null | sort -u || true
}
snapshot "$1" >"$2/before"
"$3" -test.run='^TestHolder$' -test.timeout=60s -test.v <&0 >"$2/holder" 2>&1 &
holder=$!
wait $holder || echo "holder ends with $?" >>"$2/holder"
# What a killed holder leaves to enter.sh takes it a moment.
for try in $(seq 60); do
	snapshot "$1" >"$2/after"
	if cmp -s "$2/before" "$2/after"; then exit 0; fi
	sleep 0.05
done
diff "$2/before" "$2/after"
`

// TestNothingIsLeft compares what there is before and after an Env that builds
// something, for each way in which it can end.
func TestNothingIsLeft(t *testing.T) {
	testenv.RequireNix(t)
	for _, end := range []string{"close", "exit", "kill", "kill in a build", "kill enter.sh"} {
		t.Run(end, func(t *testing.T) { leavesNothing(t, end) })
	}
}

func leavesNothing(t *testing.T, end string) {
	ctx := deadline(t)
	hierarchy, err := exec.Command("findmnt", "-n", "-t", "cgroup2", "-o", "TARGET").Output()
	if err != nil {
		t.Fatalf("finding the cgroup2 mount: %v", err)
	}
	mount, _, _ := strings.Cut(strings.TrimSpace(string(hierarchy)), "\n")
	cgroup := filepath.Join(mount, fmt.Sprintf("nixenv-test-%d", os.Getpid()))
	if err := os.Mkdir(cgroup, 0o755); err != nil {
		t.Fatal(err)
	}
	defer func() {
		// Whatever is left is a failure already; this is not to pile up.
		_ = os.WriteFile(filepath.Join(cgroup, "cgroup.kill"), []byte("1"), 0)
		if err := removeCgroup(ctx, cgroup); err != nil {
			t.Error(err)
		}
	}()
	dir, err := os.Open(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()

	work := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The cgroup namespace comes second: one made while the process is cloned
	// into another cgroup has the parent's as its root.
	cmd := exec.CommandContext(ctx, "unshare", "--cgroup", "bash", "-c", stage, "stage", mount, work, program)
	cmd.Env = append(os.Environ(), holderVar+"="+end)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET,
		Unshareflags: syscall.CLONE_NEWNS, // this is what makes Go set the mounts private
		UseCgroupFD:  true,
		CgroupFD:     int(dir.Fd()),
	}
	left, err := cmd.CombinedOutput()
	holder, _ := os.ReadFile(filepath.Join(work, "holder"))
	if err != nil {
		t.Errorf("left behind (> after):\n%s\n%v\nthe holder said:\n%s", left, err, holder)
	}
	if !strings.Contains(string(holder), "holding") {
		t.Errorf("nothing was tested, the holder said:\n%s", holder)
	}
	before, _ := os.ReadFile(filepath.Join(work, "before"))
	for _, part := range []string{"# mounts", "/proc", "# interfaces", "lo:", "# cgroups", "# namespaces", "mnt:["} {
		if !strings.Contains(string(before), part) {
			t.Errorf("no %q in the snapshot:\n%s", part, before)
		}
	}
}

// removeCgroup removes a cgroup whose tasks have been killed, and those below.
func removeCgroup(ctx context.Context, dir string) error {
	var dirs []string
	_ = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	var last error
	for _, path := range slices.Backward(dirs) {
		err := until(ctx, func() bool { last = syscall.Rmdir(path); return last == nil })
		if err != nil {
			return fmt.Errorf("removing %s: %w (%w)", path, last, err)
		}
	}
	return nil
}

// until waits for a condition that nothing announces.
func until(ctx context.Context, condition func() bool) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
	return nil
}

// TestHolder is the other process of TestNothingIsLeft.
func TestHolder(t *testing.T) {
	end := os.Getenv(holderVar)
	if end == "" {
		t.Skip("run by TestNothingIsLeft")
	}
	ctx := deadline(t)
	env, err := Open(ctx, DefaultConfig(testenv.Repo(t)))
	if err != nil {
		t.Fatal(err)
	}
	if result := probe(ctx, t, env, "echo x >$out"); result.Err != nil {
		t.Fatal(result.Err)
	}
	fmt.Println("holding")
	switch end {
	case "close":
		if err := env.Close(); err != nil {
			t.Error(err)
		}
		if err := env.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
	case "exit":
		os.Exit(0)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "kill in a build":
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := env.command(ctx, "nix-build", "--no-out-link", HostFile(mustAbs(t, "testdata/probe.nix")), "-A", "ranged",
			"--argstr", "debian", addDebian(ctx, t, env), "--argstr", "nonce", nonce(t),
			"--argstr", "script", "echo building; while :; do sleep 1; done")
		cmd.Stderr = writer
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(reader); lines.Scan(); {
			if lines.Text() == "building" {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}
	case "kill enter.sh":
		// A killed enter.sh can't remove its cgroup; the next one does.
		if err := killEnter(env); err != nil {
			t.Fatal(err)
		}
		// What is inside dies with it, a moment later.
		if err := until(ctx, func() bool { return syscall.Kill(env.pid, 0) != nil }); err != nil {
			t.Fatal(err)
		}
		if err := env.Close(); err != nil {
			t.Error(err)
		}
		again, err := Open(ctx, DefaultConfig(testenv.Repo(t)))
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// killEnter ends the enter.sh of env by SIGKILL: it is our child.
func killEnter(env *Env) error {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range all {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		var pid, parent int
		var name, state string
		if _, err := fmt.Sscanf(string(data), "%d %s %s %d", &pid, &name, &state, &parent); err == nil &&
			parent == os.Getpid() && name == "(enter.sh)" {
			return syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return errors.New("no enter.sh among our children")
}
