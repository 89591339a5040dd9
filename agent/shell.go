package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// shellOptions go before every command, as upstream's driver has it.
const shellOptions = "set -euo pipefail; "

// waitForCommand is what a spare shell runs: it reads the command from file
// descriptor 9, then evaluates it with no trace of the detour left: bash -c
// too has the command in BASH_EXECUTION_STRING.
const waitForCommand = `IFS= read -r -d "" -u 9 nestbox_command; exec 9<&-; SECONDS=0; BASH_EXECUTION_STRING=$nestbox_command; eval "unset -v nestbox_command; $nestbox_command"`

// spareLimit is the longest command given to a spare shell. bash reads a pipe
// byte by byte, so a long one is faster, and past 128 KiB (MAX_ARG_STRLEN)
// only possible, by other ways.
const (
	spareLimit    = 4 << 10
	argumentLimit = 100 << 10
)

// shell starts bash processes in the machine's login environment. Some are
// always kept waiting, so that a command starts without the cost of starting
// bash.
type shell struct {
	wrappers *mender // nil: nothing to mend

	mu       sync.Mutex
	login    *login
	spares   []*spare // the oldest first
	starting int      // spares that are being started
}

// spareCount is how many shells wait: one for the command that comes while the
// next is being started.
const spareCount = 2

// login is the environment that /etc/profile makes, taken once per boot and
// again when the profile changes (as by switch-to-configuration).
type login struct {
	bash    string
	env     []string
	profile string // identity of the profile it was taken from
}

// spare is a bash that waits for its command.
type spare struct {
	job     *job
	command *os.File // write end
	login   *login
}

func newShell() *shell { return &shell{} }

// ready waits until the machine's systemd answers and takes the login
// environment, so that the first command is as fast as the others.
func (s *shell) ready(ctx context.Context) error {
	if err := waitSystemd(ctx); err != nil {
		return err
	}
	l, err := s.environment()
	if err != nil {
		return err
	}
	s.refill(l)
	return nil
}

// start runs command in a bash of its own session.
func (s *shell) start(ctx context.Context, command string) (*job, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if strings.ContainsRune(command, 0) {
		return nil, errors.New("starting a command: it holds a NUL character, at which bash would cut it off")
	}
	if s.wrappers != nil {
		s.wrappers.mend()
	}
	l, err := s.environment()
	if err != nil {
		return nil, err
	}
	command = shellOptions + command
	if len(command) <= spareLimit {
		if j := s.useSpare(l, command); j != nil {
			go s.refill(l)
			return j, nil
		}
		go s.refill(l)
	}
	if len(command) > argumentLimit {
		return l.startScript(command)
	}
	return l.spawn(nil, "-c", command)
}

// useSpare hands command to the waiting shell, if there is a fresh one.
func (s *shell) useSpare(l *login, command string) *job {
	s.mu.Lock()
	if len(s.spares) == 0 {
		s.mu.Unlock()
		return nil
	}
	sp := s.spares[0]
	s.spares = s.spares[1:]
	s.mu.Unlock()
	defer sp.command.Close()
	if sp.login == l {
		if _, err := sp.command.Write(append([]byte(command), 0)); err == nil {
			return sp.job
		}
	}
	// Taken before the profile changed, or dead: end it.
	_ = sp.job.proc.Kill()
	sp.job.stdout.Close()
	_, _ = sp.job.proc.Wait()
	return nil
}

// refill starts spare shells until there are as many as there should be.
func (s *shell) refill(l *login) {
	for s.wantsSpare() {
		sp, err := l.startSpare()
		s.mu.Lock()
		s.starting--
		if err == nil {
			s.spares = append(s.spares, sp)
		}
		s.mu.Unlock()
		if err != nil {
			return // the next command starts a shell of its own
		}
	}
}

// wantsSpare reports whether the caller should start a spare shell. It counts
// those under way, which are started without holding up commands.
func (s *shell) wantsSpare() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.spares)+s.starting >= spareCount {
		return false
	}
	s.starting++
	return true
}

func (l *login) startSpare() (*spare, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting a spare shell: %w", err)
	}
	defer r.Close()
	j, err := l.spawn(r, "--norc", "--noprofile", "-c", waitForCommand)
	if err != nil {
		w.Close()
		return nil, err
	}
	return &spare{job: j, command: w, login: l}, nil
}

// environment returns the login environment, taking it if that was not done
// yet or the profile has changed.
func (s *shell) environment() (*login, error) {
	identity := profileIdentity()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.login != nil && s.login.profile == identity {
		return s.login, nil
	}
	l, err := takeLogin(identity)
	if err != nil {
		return nil, err
	}
	s.login = l
	return l, nil
}

// shells are the places where bash may be: NixOS's, then others'. /bin/sh is
// bash on NixOS.
func shells() []string {
	return []string{"/run/current-system/sw/bin/bash", "/bin/bash", "/usr/bin/bash", "/bin/sh"}
}

// ErrNoShell is returned for a command given before the machine's init has
// put a shell into place, or to a machine that has none.
var ErrNoShell = errors.New("there is no bash in the machine (yet)")

// takeLogin runs /etc/profile in the environment that NixOS's own test
// backdoor has, and keeps what it exports.
func takeLogin(identity string) (*login, error) {
	l := &login{profile: identity, env: []string{"USER=root", "HOME=/root", "DISPLAY=:0.0"}}
	for _, path := range shells() {
		if _, err := os.Stat(path); err == nil {
			l.bash = path
			break
		}
	}
	if l.bash == "" {
		return nil, fmt.Errorf("%w: looked for %s", ErrNoShell, strings.Join(shells(), ", "))
	}
	const script = `if [ -e /etc/profile ]; then . /etc/profile; fi >/dev/null; export PAGER=; exec env -0`
	cmd := exec.Command(l.bash, "-c", script)
	cmd.Env = append(l.env, "PATH=/run/wrappers/bin:/run/current-system/sw/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
	cmd.Dir = "/"
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("taking the login environment from /etc/profile: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	l.env = nil
	for _, kv := range bytes.Split(out, []byte{0}) {
		name, _, ok := strings.Cut(string(kv), "=")
		if ok && name != "_" && name != "SHLVL" && name != "PWD" && name != "OLDPWD" {
			l.env = append(l.env, string(kv))
		}
	}
	return l, nil
}

// profileIdentity changes whenever another profile takes the place of the
// one before: the files are links into the store on NixOS.
func profileIdentity() string {
	var b strings.Builder
	for _, path := range []string{"/etc/profile", "/etc/set-environment", "/run/current-system"} {
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err == nil {
			fmt.Fprintf(&b, "%d:%d:%d;", st.Dev, st.Ino, st.Mtim.Nano())
		}
	}
	return b.String()
}

// spawn starts bash with args. command, if not nil, becomes its file
// descriptor 9; standard error is the agent's own, which the driver reads.
func (l *login) spawn(command *os.File, args ...string) (*job, error) {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("starting a shell: %w", err)
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting a shell: %w", err)
	}
	defer w.Close()
	files := []*os.File{null, w, os.Stderr}
	if command != nil {
		files = append(files, nil, nil, nil, nil, nil, nil, command)
	}
	proc, err := os.StartProcess(l.bash, append([]string{"bash"}, args...), &os.ProcAttr{
		Dir: workDir(), Env: l.env, Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("starting a shell: %w", err)
	}
	return &job{proc: proc, stdout: r}, nil
}

// startScript runs a command too long for an argument from a file in memory.
// bash has opened that once more when it closes the descriptor it came by.
func (l *login) startScript(command string) (*job, error) {
	f, err := memoryFile("nestbox-command", []byte("exec 9<&-; "+command))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return l.spawn(f, "/proc/self/fd/9")
}

// workDir is where commands start: /tmp, as with NixOS's own backdoor.
func workDir() string {
	if st, err := os.Stat("/tmp"); err == nil && st.IsDir() {
		return "/tmp"
	}
	return "/"
}
