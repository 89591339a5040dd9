package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/exeseal"
	"golang.org/x/sys/unix"

	_ "github.com/opencontainers/cgroups/devices" // libcontainer refuses to start without it

	"github.com/nestbox/nestbox/agent"
	"github.com/nestbox/nestbox/agent/stage"
	"github.com/nestbox/nestbox/spec"
)

// Runtime makes containers that keep their state below one directory.
type Runtime struct {
	// Parents fork what is to die with the driver.
	Parents *Parents

	dir         string
	self        *os.File
	ignoreSetID bool
}

// NewRuntime returns a runtime with its state in dir, which must exist, and
// whose path must be short: it holds sockets (108 bytes at most, unix(7)).
func NewRuntime(dir string) (*Runtime, error) {
	ignore, err := refusesSetID(dir)
	if err != nil {
		return nil, err
	}
	// The program is executed in every machine; sealed, none can change it.
	self, err := exeseal.CloneSelfExe(dir)
	if err != nil {
		return nil, fmt.Errorf("sealing our own program: %w", err)
	}
	return &Runtime{
		Parents: NewParents(max(2, runtime.NumCPU())), dir: dir, self: self, ignoreSetID: ignore,
	}, nil
}

// Close frees what the runtime holds. It kills containers that still run.
func (r *Runtime) Close() error {
	r.Parents.Close()
	return r.self.Close()
}

// Container is one life of a machine, from creation to the end of its init.
type Container struct {
	// Console is the master of the pty that is the machine's /dev/console.
	Console *os.File
	// Errors carries what commands of the agent write to standard error.
	Errors *os.File
	// Agent asks the machine's agent.
	Agent *agent.Client

	ct   *libcontainer.Container
	proc *libcontainer.Process
	pid  int
	peer *os.File // see openPeer
	once sync.Once
}

// Create sets up a container of machine m up to the point where its init is
// to be executed, which [Container.Boot] lets happen. id names the container
// among those of the runtime: letters, digits, "_", "+", "-" and ".".
func (r *Runtime) Create(id string, m *spec.Machine, l Layout) (_ *Container, err error) {
	var undo cleanup
	defer func() {
		if err != nil {
			undo.run()
		}
	}()
	if err := makeDirs(m, l); err != nil {
		return nil, err
	}
	ct, err := libcontainer.Create(filepath.Join(r.dir, "runc"), id, Config(m, l))
	if err != nil {
		return nil, fmt.Errorf("creating container %q: %w", id, err)
	}
	undo.add(func() { _ = ct.Destroy() })

	listener, socket, err := r.agentSocket(id)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("creating container %q: %w", id, err)
	}
	defer errWrite.Close()
	undo.add(func() { errRead.Close() })
	consoleHere, consoleThere, err := socketPair("console")
	if err != nil {
		return nil, fmt.Errorf("creating container %q: %w", id, err)
	}
	defer consoleHere.Close()
	defer consoleThere.Close()

	proc := &libcontainer.Process{
		Args:          stage.Args(m.Init, m.Cmdline, r.ignoreSetID),
		Env:           Env(m),
		Cwd:           "/",
		Init:          true,
		ConsoleSocket: consoleThere,
		ExtraFiles:    []*os.File{r.self, listener, errWrite}, // stage.FDSelf and on
	}
	if err := r.Parents.Do(func() error { return ct.Start(proc) }); err != nil {
		return nil, fmt.Errorf("starting container %q: %w", id, err)
	}
	undo.add(func() { _ = ct.Signal(unix.SIGKILL); _, _ = proc.Wait() })
	pid, err := proc.Pid()
	if err != nil {
		return nil, fmt.Errorf("starting container %q: %w", id, err)
	}
	console, err := receiveFile(consoleHere, "console of "+m.Name)
	if err != nil {
		return nil, fmt.Errorf("taking the console of container %q: %w", id, err)
	}
	undo.add(func() { console.Close() })
	peer, err := openPeer(console)
	if err != nil {
		return nil, fmt.Errorf("taking the console of container %q: %w", id, err)
	}
	return &Container{
		Console: console, Errors: errRead, Agent: agent.DialUnix(socket),
		ct: ct, proc: proc, pid: pid, peer: peer,
	}, nil
}

// agentSocket returns the file of a fresh listening socket and its path. The
// path is only visible here; the machine gets the open socket.
func (r *Runtime) agentSocket(id string) (*os.File, string, error) {
	path := filepath.Join(r.dir, id+".agent")
	_ = os.Remove(path)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, "", fmt.Errorf("making the agent's socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	defer l.Close()
	f, err := l.File()
	if err != nil {
		return nil, "", fmt.Errorf("making the agent's socket: %w", err)
	}
	return f, path, nil
}

// makeDirs makes the directories of l that must exist before the container.
func makeDirs(m *spec.Machine, l Layout) error {
	for _, dir := range []string{l.Root, l.HostDir, l.SharedDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making a directory of machine %q: %w", m.Name, err)
		}
	}
	if err := writeMachineID(l.Root, m.Name); err != nil {
		if errors.Is(err, os.ErrPermission) {
			err = fmt.Errorf("%w; if the root is a tree of the store, its directories belong to a uid that a build doesn't own, so no init can write there: copy the tree in the build first", err)
		}
		return fmt.Errorf("writing the machine id of machine %q: %w", m.Name, err)
	}
	return nil
}

// writeMachineID gives a root without one its machine id. Otherwise systemd
// takes the boot for the first ever and applies presets to all units.
func writeMachineID(dir, name string) error {
	root, err := os.OpenRoot(dir) // the tree's links must not lead us out of it
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Mkdir("etc", 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	f, err := root.OpenFile("etc/machine-id", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(hexOnly(UUID(name)) + "\n")
	return errors.Join(err, f.Close())
}

// Pid is the machine's PID 1 as seen from here.
func (c *Container) Pid() int { return c.pid }

// NetNS opens the machine's network namespace.
func (c *Container) NetNS() (*os.File, error) {
	f, err := os.Open("/proc/" + strconv.Itoa(c.pid) + "/ns/net")
	if err != nil {
		return nil, fmt.Errorf("opening the machine's network namespace: %w", err)
	}
	return f, nil
}

// Boot lets init start.
func (c *Container) Boot() error {
	if err := c.ct.Exec(); err != nil {
		return fmt.Errorf("executing init: %w", err)
	}
	return nil
}

// Signal sends sig to the machine's PID 1. That it has ended is no error.
func (c *Container) Signal(sig syscall.Signal) error {
	err := c.ct.Signal(sig)
	if err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, libcontainer.ErrNotRunning) {
		return fmt.Errorf("sending %s to the machine's init: %w", unix.SignalName(sig), err)
	}
	return nil
}

// Signals that systemd takes as PID 1, counted from SIGRTMIN (systemd(1)).
const (
	sigPowerOff = syscall.Signal(34 + 4)
	sigReboot   = syscall.Signal(34 + 5)
)

// PowerOff asks the machine's systemd for an orderly shutdown and does not
// wait for it.
func (c *Container) PowerOff() error { return c.Signal(sigPowerOff) }

// Reboot asks the machine's systemd for an orderly reboot and does not wait
// for it.
func (c *Container) Reboot() error { return c.Signal(sigReboot) }

// Exit tells how a machine ended.
type Exit struct {
	// Reboot reports whether the machine asked to be started again.
	Reboot bool
	// Text describes the end for people.
	Text string
}

// Wait returns when the machine's init has ended, and with it, by the
// kernel's doing, every process of the machine. Console and Errors hold what is
// still to be read of it, and end then. Call it once.
func (c *Container) Wait() Exit {
	state, err := c.proc.Wait()
	c.peer.Close()
	if state == nil {
		return Exit{Text: fmt.Sprintf("lost: %v", err)}
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	switch {
	case ok && status.Signaled() && status.Signal() == unix.SIGHUP:
		// What reboot(2) makes of a pid namespace's init, see
		// pid_namespaces(7).
		return Exit{Reboot: true, Text: "rebooted"}
	case ok && status.Signaled() && status.Signal() == unix.SIGINT:
		return Exit{Text: "powered off"}
	case ok && status.Signaled():
		return Exit{Text: "killed by " + unix.SignalName(status.Signal())}
	default:
		return Exit{Text: fmt.Sprintf("init exited with status %d", state.ExitCode())}
	}
}

// Destroy frees what is left of the container after its end.
func (c *Container) Destroy() error {
	var err error
	c.once.Do(func() {
		err = c.ct.Destroy()
		c.peer.Close()
		c.Console.Close()
		c.Errors.Close()
	})
	return err
}

type cleanup []func()

func (c *cleanup) add(f func()) { *c = append(*c, f) }

func (c *cleanup) run() {
	for i := len(*c) - 1; i >= 0; i-- {
		(*c)[i]()
	}
}
