package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/cgroups/v3/cgroup2"
	"golang.org/x/sys/unix"

	"github.com/nestbox/nestbox/internal/testenv"
)

const (
	// groupVar is set for the tests proper: the cgroup that they run in.
	groupVar = "NESTBOX_CGROUP_TEST_GROUP"
	// helperVar makes this binary one of the processes that tests need.
	helperVar = "NESTBOX_CGROUP_TEST_HELPER"
)

// TestMain runs the tests in a child, in a cgroup made for them, so that
// nothing of the machine's own is touched, and removes it afterwards.
func TestMain(m *testing.M) {
	switch os.Getenv(helperVar) {
	case "":
	case "fork":
		forkDaemon()
		return
	case "own":
		ownAsNixDoes()
		return
	case "own at root":
		mount, err := findMount()
		if err != nil {
			fmt.Println(err)
			return
		}
		tell(mount)
		return
	case "sandbox":
		startSandbox()
		return
	default:
		wait()
		return
	}
	if os.Geteuid() != 0 || os.Getenv(groupVar) != "" {
		os.Exit(m.Run())
	}
	code, err := inNewCgroup()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func inNewCgroup() (code int, err error) {
	mount, err := findMount()
	if err != nil {
		return 1, err
	}
	lent := lend(mount)
	// What somebody else uses by now stays as it is.
	defer func() { _ = load(mount, "any").ToggleControllers(lent, cgroup2.Disable) }()
	group, err := os.MkdirTemp(mount, "nestbox-cgroup-test-")
	if err != nil {
		return 1, err
	}
	defer func() {
		os.WriteFile(filepath.Join(group, "cgroup.kill"), []byte("1"), 0)
		err = errors.Join(err, awaitEvent(group, "populated", 0, eventTimeout), rmdir(group))
	}()
	dir, err := os.Open(group)
	if err != nil {
		return 1, err
	}
	defer dir.Close()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), groupVar+"="+group)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// Ended with us; the signal comes when the thread ends that made it.
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd()), Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return 1, nil
	}
	return 0, err
}

// lend enables, for the time of the tests, whatever controllers the mount's
// root has, and returns which of them were not enabled before.
func lend(mount string) []string {
	before, _ := readWords(mount, "cgroup.subtree_control")
	_ = enableAll(mount, "any")
	after, _ := readWords(mount, "cgroup.subtree_control")
	return slices.DeleteFunc(after, func(c string) bool { return slices.Contains(before, c) })
}

// findMount returns where cgroup2 is mounted.
func findMount() (string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if before, after, ok := strings.Cut(line, " - "); ok && strings.HasPrefix(after, "cgroup2 ") {
			return strings.Fields(before)[4], nil
		}
	}
	return "", errors.New("cgroup2 is not mounted")
}

// wait is a process that only lives.
func wait() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM)
	fmt.Println("ready")
	<-stop
}

// forkDaemon leaves a daemon behind as daemons do: the process in between
// ends, and the daemon has a session of its own.
func forkDaemon() {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVar+"=wait")
	cmd.Stdout = os.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
	}
}

// group is the directory of the tests' cgroup.
func group(t testing.TB) string {
	t.Helper()
	testenv.RequireRoot(t)
	return os.Getenv(groupVar)
}

// newTree takes over the tests' cgroup.
func newTree(t testing.TB) *Tree {
	t.Helper()
	tree, err := Own(filepath.Dir(group(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	})
	return tree
}

func newMachine(t testing.TB, tree *Tree, id string) *Machine {
	t.Helper()
	m, err := tree.Machine(id, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// start runs a helper inside a cgroup and waits until it, or its daemon, is
// ready.
func start(t testing.TB, mode, cgroup string) *exec.Cmd {
	t.Helper()
	dir, err := os.Open(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVar+"="+mode)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("helper %q said %q instead of ready", mode, line)
	}
	return cmd
}

// payload makes the cgroup that libcontainer would make, and one below.
func payload(t testing.TB, m *Machine) (top, below string) {
	t.Helper()
	top = filepath.Join(m.tree.mount, m.PayloadPath())
	below = filepath.Join(top, "system.slice", "x.service")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Fatal(err)
	}
	return top, below
}

// populated returns the processes of a cgroup and those below it.
func populated(t testing.TB, dir string) []uint64 {
	t.Helper()
	pids, err := load(dir, "").Procs(true)
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

// soon is a bound for what takes milliseconds.
const soon = 10 * time.Second
