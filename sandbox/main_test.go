package sandbox

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nestbox/nestbox/internal/testenv"
)

const (
	// helperVar makes this binary one of the processes that tests need.
	helperVar = "NESTBOX_SANDBOX_TEST_HELPER"
	// privateVar is set in a test that has mounts of its own, to a directory.
	privateVar = "NESTBOX_SANDBOX_TEST_PRIVATE"
)

func TestMain(m *testing.M) {
	mode := os.Getenv(helperVar)
	if mode == "" {
		os.Exit(m.Run())
	}
	if err := help(mode); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// help is what a helper process does.
func help(mode string) error {
	switch mode {
	case "enter":
		return enterAndTell()
	case "parents":
		return closeParentsOnOneCPU()
	case "sleep": // until killed, but not for ever
		time.Sleep(time.Minute)
		return nil
	default:
		return fmt.Errorf("unknown helper %q", mode)
	}
}

// helper returns a command that runs this binary in a mode of help.
func helper(mode string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), helperVar+"="+mode)
	return cmd
}

// private runs the calling test once more in a process of its own, whose
// mounts nobody else sees. In there it returns a directory that is removed
// afterwards and true; outside it returns false when that has ended.
func private(t *testing.T) (dir string, inside bool) {
	t.Helper()
	if dir := os.Getenv(privateVar); dir != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return dir, true
	}
	testenv.RequireRoot(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), privateVar+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a mount namespace: %v\n%s", err, out)
	}
	return "", false
}

// ends returns once the process has ended, reaped or not.
func ends(pid int) error {
	deadline := time.Now().Add(5 * time.Second)
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return nil //nolint:nilerr // gone is what was waited for
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d lives on", pid)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func lives(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// check fails the test unless err mentions all words, or there is none if
// there are no words.
func check(t *testing.T, what string, err error, words ...string) {
	t.Helper()
	if len(words) == 0 {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v, want it to mention %q", what, err, word)
		}
	}
}
