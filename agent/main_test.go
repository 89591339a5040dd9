package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nestbox/nestbox/internal/testenv"
)

// helperVar makes this binary one of the processes that tests need.
const helperVar = "NESTBOX_AGENT_TEST_HELPER"

// guest asks a server in this process, which most tests share: a server
// always keeps a shell waiting.
var (
	guest  *Client
	server *Server
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(helperVar); mode != "" {
		if err := help(mode); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "agent"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server = NewServer()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	guest = DialUnix(l.Addr().String())
	code := m.Run()
	l.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		fmt.Fprintln(os.Stderr, "Serve returned:", err)
		code = 1
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// help is what a helper process does.
func help(mode string) error {
	os.Unsetenv(helperVar)
	switch mode {
	case "agent": // as in a machine, on the socket given as descriptor 3
		return Main(os.NewFile(3, "socket"), false)
	case "empty": // the same in a machine where there is nothing yet
		dir := os.NewFile(4, "empty directory")
		if err := dir.Chdir(); err != nil {
			return err
		}
		if err := unix.Chroot("."); err != nil {
			return err
		}
		return Main(os.NewFile(3, "socket"), false)
	case "wrappers":
		return mendForReal()
	default:
		return fmt.Errorf("unknown helper %q", mode)
	}
}

// agentProcess starts an agent as a process of its own and returns its client
// and what it writes to standard error.
func agentProcess(t *testing.T, mode string, files ...*os.File) (*Client, *bufio.Reader) {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "agent"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	socket, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVar+"="+mode)
	cmd.ExtraFiles = append([]*os.File{socket}, files...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return DialUnix(l.Addr().String()), bufio.NewReader(stderr)
}

// run runs command in the guest and returns its output.
func run(t *testing.T, command string, timeout time.Duration) (string, int) {
	t.Helper()
	var out bytes.Buffer
	status, err := guest.Exec(t.Context(), command, timeout, &out)
	if err != nil {
		t.Fatalf("%.200q: %v", command, err)
	}
	return out.String(), status
}

// pids reads the process ids in file, and sees to their end with the test's.
func pids(t *testing.T, file string, count int) []int {
	t.Helper()
	var list []int
	eventually(t, "process ids in "+file, func() bool {
		list = nil
		data, _ := os.ReadFile(file)
		for _, field := range strings.Fields(string(data)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, pid)
		}
		return len(list) >= count && strings.HasSuffix(string(data), "\n")
	})
	t.Cleanup(func() {
		for _, pid := range list {
			if !isZombie(pid) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	return list
}

// eventually fails the test unless seen becomes true soon.
func eventually(t *testing.T, what string, seen func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err := poll(ctx, func() (bool, string, error) { return seen(), what, nil })
	if err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
}

// allDead fails the test unless all of them end soon.
func allDead(t *testing.T, list []int) {
	t.Helper()
	for _, pid := range list {
		eventually(t, fmt.Sprintf("the end of process %d", pid), func() bool { return isZombie(pid) })
	}
}

// timedOut fails the test unless err is a Failure for want of time that
// mentions what was last seen.
func timedOut(t *testing.T, err error, mentions string) {
	t.Helper()
	var failed *Failure
	if !errors.As(err, &failed) || !failed.TimedOut {
		t.Fatalf("error %v, want that time ran out", err)
	}
	if !strings.Contains(err.Error(), "timed out") || !strings.Contains(err.Error(), mentions) {
		t.Errorf("error %q does not mention %q", err, mentions)
	}
}

// failed fails the test unless err is a Failure for another reason.
func failed(t *testing.T, err error, mentions string) {
	t.Helper()
	var f *Failure
	if !errors.As(err, &f) || f.TimedOut || !strings.Contains(f.Message, mentions) {
		t.Fatalf("error %v, want a failure that mentions %q", err, mentions)
	}
}

func TestMainInProcess(t *testing.T) {
	t.Parallel()
	client, stderr := agentProcess(t, "agent")
	var out bytes.Buffer
	status, err := client.Exec(t.Context(), `echo to stdout; echo to stderr >&2; exit 3`, time.Minute, &out)
	if err != nil || status != 3 || out.String() != "to stdout\n" {
		t.Errorf("Exec = %d, %v, output %q", status, err, out.String())
	}
	if line, err := stderr.ReadString('\n'); line != "to stderr\n" {
		t.Errorf("on standard error: %q, %v", line, err)
	}
}

func TestMainNoSocket(t *testing.T) {
	t.Parallel()
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	if err := Main(f, false); err == nil || !strings.HasPrefix(err.Error(), "listening on the agent's socket: ") {
		t.Errorf("Main on something else than a socket: %v", err)
	}
}

func TestGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := DialUnix(dir+"/nobody").Exec(t.Context(), "true", 0, nil)
	if !errors.Is(err, ErrGone) {
		t.Errorf("without an agent: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("the run is over")
	cancel(reason)
	if _, err := guest.Exec(ctx, "true", 0, nil); !errors.Is(err, reason) || errors.Is(err, ErrGone) {
		t.Errorf("with an ended context: %v", err)
	}
}

// An agent that dies in the middle of a call is gone.
func TestDies(t *testing.T) {
	t.Parallel()
	client, _ := agentProcess(t, "agent")
	var out bytes.Buffer
	_, err := client.Exec(t.Context(), `kill -9 $PPID; sleep 5 >/dev/null`, time.Minute, &out)
	if !errors.Is(err, ErrGone) {
		t.Errorf("the agent died: %v", err)
	}
}

func TestNoShell(t *testing.T) {
	t.Parallel()
	testenv.RequireRoot(t)
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	client, _ := agentProcess(t, "empty", dir)
	_, err = client.Exec(t.Context(), "true", time.Minute, nil)
	failed(t, err, ErrNoShell.Error())
	_, err = client.Until(t.Context(), "true", false, time.Minute, nil)
	failed(t, err, ErrNoShell.Error())
}
