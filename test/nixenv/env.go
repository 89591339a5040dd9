// Package nixenv gives tests a real Nix: a daemon with uid-range builds,
// cgroups and the sandbox, as a NixOS machine that runs container tests has it.
//
// The Nix lives in a root tree of its own (`make nix-root`), which
// test/nix/enter.sh enters with private namespaces and a cgroup of its own. An
// [Env] is one daemon in one such entry; closing it, or the death of the
// process that holds it, ends everything in there. The store stays in the tree,
// so what was built once is not built again; several Envs may share it.
//
//	env := nixenv.Start(t)
//	debian, err := env.AddPath(ctx, "debian", ".cache/debian-guest")
//	result := env.Build(ctx, "test/guest/examples.nix", "ping", nil)
//	if result.Err != nil { t.Fatal(result.Err, result.Log) }
//
// A package whose tests share one daemon keeps a [Lazy] and closes it in
// TestMain.
package nixenv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nestbox/nestbox/internal/testenv"
)

// hostDir is where the host's whole tree is seen inside the entered tree.
const hostDir = "/host"

// How long a daemon may take to come up, and to go away. Both take some 0.2 s.
const (
	startTimeout = 30 * time.Second
	closeTimeout = 20 * time.Second
)

// ErrNoUserNamespace reports that a process inside the entered tree may not
// make a user namespace. Nix would then build on without one and say nothing:
// a uid-range build would run as uid 872415232 instead of as root.
var ErrNoUserNamespace = errors.New("no user namespace can be made inside the Nix tree, so Nix would silently build without one; " +
	"enter the tree by pivot_root and not chroot, and see that /proc/sys/user/max_user_namespaces is not 0")

// Config says where an [Env] finds what it needs. All paths are absolute.
type Config struct {
	Root   string // the Nix root tree that test/nix/make-root.sh made
	Enter  string // test/nix/enter.sh
	LogDir string // where the daemon's log goes; made when missing
}

// DefaultConfig returns the configuration for the repository whose root is
// repo: everything below its .cache.
func DefaultConfig(repo string) Config {
	return Config{
		Root:   filepath.Join(repo, ".cache", "nix-root"),
		Enter:  filepath.Join(repo, "test", "nix", "enter.sh"),
		LogDir: filepath.Join(repo, ".cache", "log"),
	}
}

// Env is a running Nix daemon and the way to it. Its methods may be called
// from several goroutines.
type Env struct {
	root  string
	pid   int // process 1 of the entry, as the host numbers it
	log   string
	alive io.Closer // the entry ends when this is closed
	lock  *os.File
	done  chan struct{} // closed when the entry has ended
	err   error         // why, valid after done

	closing sync.Once
}

// Start opens an Env for t and closes it when t is over. Without root or the
// Nix tree it skips t, or fails it (see package testenv).
func Start(t testing.TB) *Env {
	t.Helper()
	env, err := open(t)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Close(); err != nil {
			t.Error(err)
		}
	})
	return env
}

// Lazy is one Env for all tests of a package, opened by the first that wants
// it. The zero value is ready. TestMain closes it:
//
//	code := m.Run()
//	if err := shared.Close(); err != nil { … }
//	os.Exit(code)
type Lazy struct {
	mu  sync.Mutex
	env *Env
}

// Get returns the Env, opening it when this is the first call. It skips or
// fails t as [Start] does.
func (l *Lazy) Get(t testing.TB) *Env {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.env == nil {
		env, err := open(t)
		if err != nil {
			t.Fatal(err)
		}
		l.env = env
	}
	return l.env
}

// Close closes the Env if there is one.
func (l *Lazy) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.env == nil {
		return nil
	}
	return l.env.Close()
}

func open(t testing.TB) (*Env, error) {
	t.Helper()
	testenv.RequireNix(t)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return Open(ctx, DefaultConfig(testenv.Repo(t)))
}

// Open enters the tree and starts the daemon. It returns when the daemon
// answers, or with an error that shows the end of its log. It needs root.
func Open(ctx context.Context, c Config) (*Env, error) {
	log, err := createLog(c.LogDir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	lock, err := lockTree(c.Root)
	if err != nil {
		return nil, err
	}
	env := &Env{root: c.Root, log: log.Name(), lock: lock, done: make(chan struct{})}
	err = env.enter(ctx, c.Enter, log)
	if err == nil {
		err = env.ready(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w; its log %s ends:\n%s", err, env.log, tail(env.log, 2048)), env.Close())
	}
	return env, nil
}

// enter starts enter.sh with the daemon inside and finds its process 1.
func (e *Env) enter(ctx context.Context, script string, log *os.File) error {
	pidFile, err := os.CreateTemp("", "nixenv-pid-*")
	if err != nil {
		return fmt.Errorf("creating a pid file: %w", err)
	}
	_ = pidFile.Close()
	defer func() { _ = os.Remove(pidFile.Name()) }()

	// The shell inside is process 1 of its namespace and reaps what is orphaned.
	// It reads our pipe: when this process ends in whatever way, the pipe ends,
	// cat ends, the shell ends, and the kernel ends the rest.
	cmd := exec.Command(script, e.root, "--rw-bind", "/", hostDir, "--pid-file", pidFile.Name(), "--",
		"bash", "-c", "nix-daemon --daemon </dev/null & cat <&0 & wait -n")
	cmd.Stdout, cmd.Stderr = log, log
	// A terminal's Ctrl-C goes to this process alone, which then closes the Env.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	alive, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("creating a pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		_ = alive.Close()
		return fmt.Errorf("starting %s: %w", script, err)
	}
	e.alive = alive
	go func() {
		e.err = cmd.Wait()
		close(e.done)
	}()
	return e.poll(ctx, "entering "+e.root, func() error {
		data, err := os.ReadFile(pidFile.Name())
		if err != nil {
			return err
		}
		e.pid, err = strconv.Atoi(strings.TrimSpace(string(data)))
		return err
	})
}

// ready waits for the daemon's socket and checks what Nix would not say.
func (e *Env) ready(ctx context.Context) error {
	socket := e.insidePath("/nix/var/nix/daemon-socket/socket")
	err := e.poll(ctx, "waiting for nix-daemon", func() error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		return err
	}
	// The same question as Nix asks itself before a build.
	if _, err := e.Run(ctx, "unshare", "--user", "true"); err != nil {
		return fmt.Errorf("%w (%w)", ErrNoUserNamespace, err)
	}
	return nil
}

// insidePath returns how this process reaches a path of the entry, its private
// mounts included; [Env.HostPath] is shorter but sees only the tree.
func (e *Env) insidePath(path string) string {
	return filepath.Join("/proc", strconv.Itoa(e.pid), "root", path)
}

// poll calls try until it succeeds, the entry ends or ctx does.
func (e *Env) poll(ctx context.Context, what string, try func() error) error {
	delay := 2 * time.Millisecond
	for {
		err := try()
		if err == nil {
			return nil
		}
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s: %w (last: %w)", what, context.Cause(ctx), err)
		case <-e.done:
			timer.Stop()
			return fmt.Errorf("%s: it ended early: %w", what, errors.Join(e.err, err))
		case <-timer.C:
		}
		delay = min(2*delay, 100*time.Millisecond)
	}
}

// Close ends the daemon and all that runs in its entry, builds included, and
// waits until nothing is left of it. Calling it again does nothing.
func (e *Env) Close() error {
	var result error
	e.closing.Do(func() {
		defer func() { _ = e.lock.Close() }()
		if e.alive == nil {
			return
		}
		_ = e.alive.Close()
		timer := time.NewTimer(closeTimeout)
		defer timer.Stop()
		select {
		case <-e.done:
		case <-timer.C:
			result = fmt.Errorf("closing the Nix environment: still there after %v; its log %s ends:\n%s",
				closeTimeout, e.log, tail(e.log, 2048))
		}
	})
	return result
}

// LogFile returns the path of the daemon's log.
func (e *Env) LogFile() string { return e.log }

// createLog makes the daemon's log, one a test program, so that the log of the
// last run is there to be read and old ones don't pile up.
func createLog(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("creating the log folder: %w", err)
	}
	name := fmt.Sprintf("nix-daemon-%s.log", filepath.Base(os.Args[0]))
	log, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("creating the daemon's log: %w", err)
	}
	return log, nil
}

// tail returns the last lines of a file, at most limit bytes of them.
func tail(path string, limit int64) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil && info.Size() > limit {
		_, _ = file.Seek(-limit, io.SeekEnd)
		rest := bufio.NewReader(file)
		_, _ = rest.ReadString('\n') // the first line is likely cut
		data, _ := io.ReadAll(rest)
		return string(data)
	}
	data, _ := io.ReadAll(file)
	return string(data)
}

// Repo returns the root of this repository, for a TestMain, which has no
// testing.TB.
func Repo() string {
	_, self, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(self)))
}
