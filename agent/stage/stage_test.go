package stage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nestbox/nestbox/internal/testenv"
)

// helperVar makes this binary the init that the constructor executes.
const helperVar = "NESTBOX_STAGE_TEST_INIT"

func TestMain(m *testing.M) {
	switch {
	case IsAgent():
		if err := beAgent(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	case os.Getenv(helperVar) != "":
		beInit(os.Getenv(helperVar))
	default:
		os.Exit(m.Run())
	}
}

// agentReport is what the agent says of itself.
type agentReport struct {
	Cmdline, Comm string
	Session, Pid  int
	Files         map[string]string // by number, what is open
	IgnoresSetID  bool
}

func beAgent() error {
	f, err := Listener()
	if err != nil {
		return err
	}
	r := agentReport{Files: openFiles(), IgnoresSetID: IgnoresSetID(), Pid: os.Getpid()}
	l, err := net.FileListener(f)
	if err != nil {
		return err
	}
	f.Close()
	r.Session, _ = unix.Getsid(0)
	for name, target := range map[string]*string{"cmdline": &r.Cmdline, "comm": &r.Comm} {
		data, err := os.ReadFile("/proc/self/" + name)
		if err != nil {
			return err
		}
		*target = string(data)
	}
	fmt.Fprintln(os.Stderr, "a word to the driver")
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	return json.NewEncoder(conn).Encode(r)
}

// initReport is what the machine's init says of itself.
type initReport struct {
	Args  []string
	Pid   int
	Files map[string]string
	Modes map[string]string // by system call: errno, mode afterwards
}

// beInit stands for a machine's init. It lives until its input ends.
func beInit(dir string) {
	r := initReport{Args: os.Args, Pid: os.Getpid(), Files: openFiles(), Modes: map[string]string{}}
	file := filepath.Join(dir, "file")
	try := func(name string, mode uint32, call func(path *byte, fd uintptr) (uintptr, uintptr, syscall.Errno)) {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
		if err != nil {
			r.Modes[name] = err.Error()
			return
		}
		defer f.Close()
		defer os.Remove(file)
		path, _ := unix.BytePtrFromString(file)
		_, _, errno := call(path, f.Fd())
		var st unix.Stat_t
		_ = unix.Fstat(int(f.Fd()), &st)
		r.Modes[fmt.Sprintf("%s %o", name, mode)] = fmt.Sprintf("%d %o", errno, st.Mode&0o7777)
	}
	for _, mode := range []uint32{0o755, 0o4755, 0o2755, 0o1777} {
		for name, call := range chmodCalls(mode) {
			try(name, mode, call)
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(r)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func openFiles() map[string]string {
	files := map[string]string{}
	for fd := range 10 {
		if target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil {
			files[fmt.Sprint(fd)] = target
		}
	}
	return files
}

// machine is one run of the constructor as PID 1 of a namespace of its own.
type machine struct {
	t       *testing.T
	cmd     *exec.Cmd
	socket  string
	stderr  *os.File
	console bytes.Buffer
	stdin   io.Closer
	stdout  io.Reader
}

func start(t *testing.T, argv []string) *machine {
	t.Helper()
	testenv.RequireRoot(t)
	dir, err := os.MkdirTemp("", "stage")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &machine{t: t, socket: filepath.Join(dir, "s")}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: m.socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	listener, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	t.Cleanup(func() { r.Close() })
	m.stderr = r
	m.cmd = exec.Command("/proc/self/exe")
	m.cmd.Args = argv
	m.cmd.Env = append(os.Environ(), helperVar+"="+dir)
	m.cmd.ExtraFiles = []*os.File{self, listener, w}
	m.cmd.Stderr = &m.console
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if m.stdin, err = m.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if m.stdout, err = m.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(30*time.Second, func() { _ = m.cmd.Process.Kill() })
	t.Cleanup(func() {
		m.stdin.Close()
		_ = m.cmd.Wait()
		kill.Stop()
	})
	return m
}

func (m *machine) init() (r initReport) {
	m.t.Helper()
	if err := json.NewDecoder(m.stdout).Decode(&r); err != nil {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
		m.t.Fatalf("reading what init says: %v; console:\n%s", err, m.console.String())
	}
	return r
}

func (m *machine) agent() (r agentReport) {
	m.t.Helper()
	conn, err := net.Dial("unix", m.socket)
	if err != nil {
		m.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		m.t.Fatal(err)
	}
	if err := json.NewDecoder(conn).Decode(&r); err != nil {
		m.t.Fatalf("reading what the agent says: %v; console:\n%s", err, m.console.String())
	}
	return r
}

func TestArgs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		ignore bool
		want   []string
	}{
		{false, []string{"/proc/self/fd/3", "nestbox-stage", "-", "/init", "a", "b c"}},
		{true, []string{"/proc/self/fd/3", "nestbox-stage", "ignore-setid", "/init", "a", "b c"}},
	} {
		if got := Args("/init", []string{"a", "b c"}, test.ignore); !slices.Equal(got, test.want) {
			t.Errorf("Args(…, %v) = %q, want %q", test.ignore, got, test.want)
		}
	}
	if len(Name) != len(AgentName) || len(Self()) < len(AgentName) {
		t.Errorf("%q does not fit over %q", AgentName, Self())
	}
}

func TestNotStage(t *testing.T) {
	t.Parallel()
	if IsAgent() || IgnoresSetID() {
		t.Error("an ordinary process takes itself for an agent")
	}
}

func TestStage(t *testing.T) {
	t.Parallel()
	for _, ignore := range []bool{false, true} {
		t.Run(fmt.Sprintf("ignore=%v", ignore), func(t *testing.T) {
			t.Parallel()
			secret := "init's own argument"
			m := start(t, Args("/proc/self/exe", []string{secret, "", "--last"}, ignore))
			checkAgent(t, m.agent(), ignore)
			checkInit(t, m.init(), []string{"/proc/self/exe", secret, "", "--last"}, ignore)
			m.stdin.Close()
			said, err := io.ReadAll(m.stderr)
			if err != nil || string(said) != "a word to the driver\n" {
				t.Errorf("the agent's standard error: %q, %v", said, err)
			}
			if err := m.cmd.Wait(); err != nil {
				t.Errorf("init: %v", err)
			}
			if m.console.Len() > 0 {
				t.Errorf("on the console: %q", m.console.String())
			}
		})
	}
}

// inherited reports whether an open file may be one of those that the stage
// was given; Go's runtime opens others for itself.
func inherited(target string) bool {
	exe, _ := os.Executable()
	return target == exe || strings.HasPrefix(target, "pipe:") || strings.HasPrefix(target, "socket:")
}

func checkAgent(t *testing.T, r agentReport, ignore bool) {
	t.Helper()
	if got := strings.TrimRight(r.Cmdline, "\x00"); got != AgentName {
		t.Errorf("the agent's command line is %q", got)
	}
	if r.Comm != AgentName+"\n" {
		t.Errorf("the agent's name is %q", r.Comm)
	}
	if r.Pid != r.Session || r.Pid == 1 {
		t.Errorf("the agent is process %d of session %d", r.Pid, r.Session)
	}
	if r.IgnoresSetID != ignore {
		t.Errorf("IgnoresSetID() = %v in the agent, want %v", r.IgnoresSetID, ignore)
	}
	for fd, want := range map[string]string{"0": "/dev/null", "1": "/dev/null", "2": "pipe:"} {
		if !strings.HasPrefix(r.Files[fd], want) {
			t.Errorf("the agent's file %s is %q, want %s", fd, r.Files[fd], want)
		}
	}
	if !strings.HasPrefix(r.Files["4"], "socket:") {
		t.Errorf("the agent has no socket: %v", r.Files)
	}
	for fd, target := range r.Files {
		if fd > "2" && fd != "4" && inherited(target) {
			t.Errorf("the agent holds %s open as %s", target, fd)
		}
	}
}

func checkInit(t *testing.T, r initReport, args []string, ignore bool) {
	t.Helper()
	if r.Pid != 1 {
		t.Errorf("init is process %d", r.Pid)
	}
	if !slices.Equal(r.Args, args) {
		t.Errorf("init's arguments are %q, want %q", r.Args, args)
	}
	for fd, target := range r.Files {
		if fd > "2" && inherited(target) {
			t.Errorf("init has %s open as %s", target, fd)
		}
	}
	for call := range chmodCalls(0) {
		for mode, want := range map[string]string{
			"755": "0 755", "1777": "0 1777", "4755": "0 4755", "2755": "0 2755",
		} {
			if ignore && (mode == "4755" || mode == "2755") {
				want = "0 600" // a success without effect
			}
			if got := r.Modes[call+" "+mode]; got != want {
				t.Errorf("%s to %s gives %q, want %q (errno and mode)", call, mode, got, want)
			}
		}
	}
}

func TestNoInit(t *testing.T) {
	t.Parallel()
	m := start(t, Args("/nowhere/init", nil, false))
	err := m.cmd.Wait()
	if err == nil || m.cmd.ProcessState.ExitCode() != 71 {
		t.Errorf("without an init: %v", err)
	}
	if got, want := m.console.String(), "nestbox: /nowhere/init: No such file or directory\n"; got != want {
		t.Errorf("on the console: %q, want %q", got, want)
	}
}
