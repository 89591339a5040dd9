package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nestbox/nestbox/driver"
	"github.com/nestbox/nestbox/internal/testenv"
	"github.com/nestbox/nestbox/sandbox"
	"github.com/nestbox/nestbox/spec"
)

func TestExitCode(t *testing.T) {
	t.Parallel()
	cmd := rootCommand()
	for _, test := range []struct {
		err  error
		want int
	}{
		{errors.New("x"), exitFailed},
		{driver.ErrTestFailed, exitFailed},
		{driver.ErrScript, exitFailed},
		{&quietError{driver.ErrScript}, exitFailed},
		{&quietError{driver.ErrTimeout}, exitTimeout},
		{usageError(cmd, errors.New("x")), exitUsage},
		{&spec.Problems{List: []spec.Problem{{Message: "x"}}}, exitUsage},
		{fmt.Errorf("reading: %w", &spec.Problems{}), exitUsage},
		{inputError(os.ErrNotExist), exitUsage},
		{inputError(&spec.Problems{}), exitUsage},
		{fmt.Errorf("%w: no namespaces", sandbox.ErrUnfit), exitUnfit},
		{driver.ErrTimeout, exitTimeout},
		{errors.Join(driver.ErrTimeout, errors.New("cleaning up")), exitTimeout},
		{errors.Join(driver.ErrTimeout, sandbox.ErrUnfit), exitTimeout},
		{errSignal{syscall.SIGINT}, 130},
		{errSignal{syscall.SIGTERM}, 143},
		{errors.Join(errSignal{syscall.SIGHUP}, driver.ErrTimeout), 129},
	} {
		if got := exitCode(test.err); got != test.want {
			t.Errorf("exitCode(%v) = %d, want %d", test.err, got, test.want)
		}
	}
}

func TestUsageError(t *testing.T) {
	t.Parallel()
	err := usageError(testCommand(upstreamName), errors.New("--x is wrong"))
	if err.Error() != "--x is wrong\nTry: nixos-test-driver --help" || !errors.Is(err, errUsage) {
		t.Errorf("%q", err)
	}
}

// someFlags are flags for prefixes to be tried on.
func someFlags() *pflag.FlagSet {
	fl := pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, name := range []string{"config", "keep-machine-state", "keep-vm-state", "log", "log-level", "no-interactive"} {
		fl.Bool(name, false, "")
	}
	return fl
}

func TestComplete(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		prefix, want string
		ok           bool
	}{
		{"config", "config", true},
		{"c", "config", true},
		{"conf", "config", true},
		{"keep-vm", "keep-vm-state", true},
		{"no", "no-interactive", true},
		{"log", "log", true}, // exact, though a prefix of another
		{"log-", "log-level", true},
		{"keep", "keep", false},
		{"keep-", "keep-", false},
		{"l", "l", false},
		{"configs", "configs", false},
		{"x", "x", false},
	} {
		if got, ok := complete(someFlags(), test.prefix); got != test.want || ok != test.ok {
			t.Errorf("complete(%q) = %q, %v, want %q, %v", test.prefix, got, ok, test.want, test.ok)
		}
	}
}

func TestExpandPrefixes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ args, want string }{
		{"", ""},
		{"--conf x", "--config x"},
		{"--conf=x=y", "--config=x=y"},
		{"--conf=", "--config="},
		{"--no --keep-m", "--no-interactive --keep-machine-state"},
		{"--keep --x", "--keep --x"}, // for the parser to complain about
		{"-c conf c", "-c conf c"},
		{"-- --conf", "-- --conf"},
		{"--conf a -- --conf", "--config a -- --conf"},
		{"--=x - ---conf", "--=x - ---conf"},
	} {
		args := strings.Fields(test.args)
		before := slices.Clone(args)
		if got := strings.Join(expandPrefixes(someFlags(), args), " "); got != test.want {
			t.Errorf("expandPrefixes(%q) = %q, want %q", test.args, got, test.want)
		}
		if !slices.Equal(args, before) {
			t.Errorf("the arguments became %q", args)
		}
	}
}

// Command lines as nixpkgs and its users have written them.
func TestFlags(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args string
		want string // flags that are not at their defaults
	}{
		{"", ""},
		{"--config driver.json -o out", "config=driver.json output_directory=out"},
		{"--config=driver.json --output_directory=out", "config=driver.json output_directory=out"},
		{"-oout", "output_directory=out"},
		{"--out out --log debug", "output_directory=out log-level=debug"},
		{"-K", "keep-machine-state=true"},
		{"--keep-machine-state", "keep-machine-state=true"},
		{"--keep-vm-state", "keep-vm-state=true"},
		{"--keep-v", "keep-vm-state=true"},
		{"-I", "interactive=true"},
		{"--interactive", "interactive=true"},
		{"--inter", "interactive=true"},
		{"--no-interactive", "no-interactive=true"},
		{"--no-int", "no-interactive=true"},
		{"-KI", "interactive=true keep-machine-state=true"},
		{"--junit-xml report.xml --debug-hook-attach cmd", "junit-xml=report.xml debug-hook-attach=cmd"},
	} {
		cmd := testCommand(upstreamName)
		if err := cmd.ParseFlags(expandPrefixes(cmd.Flags(), strings.Fields(test.args))); err != nil {
			t.Errorf("%q: %v", test.args, err)
			continue
		}
		var got []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Changed {
				got = append(got, f.Name+"="+f.Value.String())
			}
		})
		if strings.Join(got, " ") != test.want {
			t.Errorf("%q sets %q, want %q", test.args, got, test.want)
		}
	}
}

// Each help shows an example.
func TestHelp(t *testing.T) {
	t.Parallel()
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		var out bytes.Buffer
		cmd.SetOut(&out)
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		if cmd.Example == "" || !strings.Contains(out.String(), "Examples:\n"+cmd.Example) {
			t.Errorf("%s --help shows no example:\n%s", cmd.CommandPath(), out.String())
		}
		if cmd.Short == "" {
			t.Errorf("%s says nothing of itself", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(rootCommand())
	visit(testCommand(upstreamName))
}

func TestWritableDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if got, err := writableDir(dir + "/."); got != dir || err != nil {
		t.Errorf("writableDir = %q, %v", got, err)
	}
	for path, says := range map[string]string{
		dir + "/nowhere": "no such file", "/dev/null": "is not a directory", "/proc/1": "is not writable",
	} {
		if got, err := writableDir(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("writableDir(%q) = %q, %v", path, got, err)
		}
	}
}

// Where no machine can run, bad input is still told from an unfit place.
func TestUnfit(t *testing.T) {
	t.Parallel()
	testenv.RequireRoot(t) // to become nobody
	dir, err := os.MkdirTemp("", "unfit")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	script := filepath.Join(dir, "script.py")
	for name, text := range map[string]string{
		"script.py": "", "bad.json": "{", "machine.json": `{"name": "web", "init": "/bin/sh", "mounts": [{"source": "/bin", "target": "/bin"}]}`,
		"good.json": fmt.Sprintf(`{"containers": {"web": {"name": "web", "init": "/bin/sh", "mounts": [{"source": "/bin", "target": "/bin"}]}}, "vlans": [], "test_script": %q}`, script),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want int
	}{
		{[]string{"nestbox", "test", "--config", "good.json"}, exitUnfit},
		{[]string{"nixos-test-driver", "--config", "good.json"}, exitUnfit},
		{[]string{"nestbox", "test", "--config", "bad.json"}, exitUsage},
		{[]string{"nestbox", "run", "machine.json"}, exitUnfit},
		{[]string{"nestbox", "run", "bad.json"}, exitUsage},
	} {
		cmd := exec.Command("/proc/self/exe")
		cmd.Args, cmd.Dir = test.args, dir
		cmd.Env = append(os.Environ(), "TMPDIR="+dir, "XDG_RUNTIME_DIR=")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != test.want {
			t.Errorf("%q as nobody: %v, want exit status %d\n%s", test.args, err, test.want, out)
		}
		if test.want == exitUnfit && !strings.Contains(string(out), sandbox.ErrUnfit.Error()) {
			t.Errorf("%q as nobody says %s", test.args, out)
		}
	}
}
