package sandbox

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nestbox/nestbox/internal/testenv"
)

// life is what a process that calls Enter says of itself.
type life struct {
	Args           []string
	Pid            int
	Before, Inside string // mount namespaces
	Unfit          bool
	Err            string
}

// enterAndTell is run twice: Enter executes the program again.
func enterAndTell() error {
	before := os.Getenv("NESTBOX_BEFORE")
	if before == "" {
		before, _ = os.Readlink("/proc/self/ns/mnt")
		os.Setenv("NESTBOX_BEFORE", before)
	}
	l := life{Args: os.Args, Pid: os.Getpid(), Before: before}
	if err := Enter(); err != nil {
		l.Err, l.Unfit = err.Error(), errors.Is(err, ErrUnfit)
	} else if os.Getenv(enteredEnv) != "" {
		l.Err = "the mark is still in the environment"
	} else if err := unix.Mount("tmpfs", os.Args[1], "tmpfs", 0, ""); err != nil {
		l.Err = err.Error()
	}
	l.Inside, _ = os.Readlink("/proc/self/ns/mnt")
	if err := json.NewEncoder(os.Stdout).Encode(l); err != nil {
		return err
	}
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	return nil
}

// enter starts such a process, reads what it says, and calls look while it
// lives.
func enter(t *testing.T, cmd *exec.Cmd, look func()) (l life) {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(stdout).Decode(&l); err != nil {
		t.Error(err)
	}
	if l.Pid != cmd.Process.Pid {
		t.Errorf("process %d became %d", cmd.Process.Pid, l.Pid)
	}
	look()
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	return l
}

func TestEnter(t *testing.T) {
	t.Parallel()
	testenv.RequireRoot(t)
	dir := t.TempDir()
	l := enter(t, helper("enter", dir, "an argument"), func() {
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil || strings.Contains(string(mounts), dir) {
			t.Errorf("its mount is seen outside (%v)", err)
		}
	})
	if l.Err != "" || l.Unfit {
		t.Errorf("Enter: %s", l.Err)
	}
	if l.Before == l.Inside || l.Before == "" {
		t.Errorf("mount namespace %q became %q", l.Before, l.Inside)
	}
	if !slices.Equal(l.Args[1:], []string{dir, "an argument"}) {
		t.Errorf("arguments %q", l.Args)
	}
}

func TestEnterUnfit(t *testing.T) {
	t.Parallel()
	testenv.RequireRoot(t) // to become nobody
	cmd := helper("enter", "/nowhere")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	l := enter(t, cmd, func() {})
	if !l.Unfit || l.Before != l.Inside {
		t.Errorf("as nobody: %+v", l)
	}
	check(t, "as nobody", errors.New(l.Err), "making a mount namespace: operation not permitted", "uid-range")
}

func ExampleUUID() {
	first, again := UUID("web"), UUID("web")
	fmt.Println(len(first), first == again, first == UUID("db"))
	// Output: 36 true false
}
