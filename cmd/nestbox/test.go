package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/nestbox/nestbox/driver"
	"github.com/nestbox/nestbox/report"
	"github.com/nestbox/nestbox/sandbox"
	"github.com/nestbox/nestbox/spec"
	"github.com/nestbox/nestbox/uidrange"
)

type testFlags struct {
	config, output, logLevel, python string
	junit, hook                      string
	keep, keepOld                    bool
	interactive, noInteractive       bool
}

func testCommand(name string) *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   name + " --config FILE",
		Short: "Run a test: boot its machines as its script says",
		Long: `Run a NixOS test. FILE is the driver's JSON, as nixpkgs' test framework writes
it (see "nestbox schema"); it names the machines, the VLANs and the Python
script. Copies that the script makes land in the output directory.

Flags are those of nixpkgs' nixos-test-driver; unambiguous prefixes work.`,
		Example: `  # in a derivation with requiredSystemFeatures = [ "uid-range" ]
  nixos-test-driver --config driver.json -o $out

  # a Python prompt instead of the script
  nestbox test --config driver.json --interactive`,
		Args:          noArgs,
		SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return runTest(cmd, f) },
	}
	cmd.SetFlagErrorFunc(usageError)
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringVar(&f.config, "config", "", "the test's JSON `FILE`")
	fl.StringVarP(&f.output, "output_directory", "o", ".", "`DIR` for what the script copies from machines")
	fl.StringVar(&f.logLevel, "log-level", "info", "least important `LEVEL` to print: debug, info, warning or error")
	fl.BoolVarP(&f.interactive, "interactive", "I", false, "give a Python prompt instead of running the script")
	fl.BoolVar(&f.noInteractive, "no-interactive", false, "run the script (the default)")
	fl.BoolVarP(&f.keep, "keep-machine-state", "K", false, "go on with the machines' state of an earlier run")
	fl.BoolVar(&f.keepOld, "keep-vm-state", false, "older name of --keep-machine-state")
	fl.StringVar(&f.junit, "junit-xml", "", "not supported yet: `PATH` of a JUnit report")
	fl.StringVar(&f.hook, "debug-hook-attach", "", "not supported yet: `CMD` that attaches to a failed test")
	fl.StringVar(&f.python, "python", "python3", "the Python `INTERPRETER` for the script, 3.9 or newer")
	return cmd
}

func runTest(cmd *cobra.Command, f testFlags) error {
	level, ok := report.ParseLevel(strings.ToLower(f.logLevel))
	if !ok {
		return usageError(cmd, fmt.Errorf("--log-level %q: use debug, info, warning or error", f.logLevel))
	}
	if f.config == "" {
		return usageError(cmd, errors.New("--config FILE is missing"))
	}
	// The test is read before anything is touched: what is wrong with it is
	// told also where it could not run.
	test, err := spec.Load(f.config, spec.Options{})
	if err != nil {
		return inputError(err)
	}
	out, err := writableDir(f.output)
	if err != nil {
		return usageError(cmd, fmt.Errorf("--output_directory: %w", err))
	}
	tmp, err := tmpDir()
	if err != nil {
		return usageError(cmd, err)
	}
	if err := enterSandbox(); err != nil {
		return err
	}
	terminal := newTerminal(level)
	if f.junit != "" {
		terminal.Event(report.Event{Level: report.Warning, Message: "--junit-xml is not supported yet: no report is written"})
	}
	err = driver.Run(cmd.Context(), driver.Options{
		Test: test, OutDir: out, TmpDir: tmp,
		KeepState: f.keep || f.keepOld, Interactive: f.interactive && !f.noInteractive,
		Python: f.python, PythonDir: installedPython(), LogLevel: strings.ToLower(f.logLevel),
		Sink: terminal, Serial: terminal.Serial,
	})
	if errors.Is(err, driver.ErrScript) {
		return &quietError{err} // its own traceback has said it
	}
	return err
}

// inputError marks a file that can't be read as bad input.
func inputError(err error) error {
	var problems *spec.Problems
	if errors.As(err, &problems) {
		return err
	}
	return &usage{err}
}

// enterSandbox checks that ids are ours, takes a mount namespace, and adds
// what a build sandbox lacks.
func enterSandbox() error {
	ids, err := uidrange.Detect()
	if err != nil {
		return fmt.Errorf("%w: %w", sandbox.ErrUnfit, err)
	}
	if err := sandbox.Enter(); err != nil {
		return err
	}
	if ids.Initial {
		// Root of a whole system: its files are not ours to complete.
		return sandbox.PrepareCgroup()
	}
	return sandbox.Prepare()
}

func newTerminal(level report.Level) *report.Terminal {
	colour := term.IsTerminal(int(os.Stderr.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return report.NewTerminal(os.Stderr, level, colour)
}

func writableDir(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	st, err := os.Stat(abs)
	if err != nil {
		return "", err
	}
	if !st.IsDir() {
		return "", fmt.Errorf("%s is not a directory", abs)
	}
	if unix.Access(abs, unix.W_OK) != nil {
		return "", fmt.Errorf("%s is not writable", abs)
	}
	return abs, nil
}

// tmpDir is where machines keep their state: $XDG_RUNTIME_DIR, or what
// os.TempDir says ($TMPDIR, /tmp), as upstream has it.
func tmpDir() (string, error) {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = os.TempDir()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("XDG_RUNTIME_DIR or TMPDIR: %w", err)
	}
	abs, err := writableDir(dir)
	if err != nil {
		return "", fmt.Errorf("XDG_RUNTIME_DIR or TMPDIR: %w", err)
	}
	return abs, nil
}

// installedPython is where a package puts the script's side, beside bin/, or
// nothing: the one that is built in is taken then.
func installedPython() string {
	exe, err := os.Executable()
	if err != nil {
		return ""
	}
	dir := filepath.Join(filepath.Dir(filepath.Dir(exe)), "lib", "nestbox", "python")
	if _, err := os.Stat(filepath.Join(dir, "nestbox_main.py")); err != nil {
		return ""
	}
	return dir
}

// expandPrefixes completes long flags that are given by an unambiguous prefix,
// as Python's argparse takes them.
func expandPrefixes(flags *pflag.FlagSet, args []string) []string {
	out := make([]string, 0, len(args))
	for i, arg := range args {
		if arg == "--" {
			return append(out, args[i:]...)
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if strings.HasPrefix(arg, "--") && name != "" {
			if full, ok := complete(flags, name); ok {
				arg = "--" + full
				if hasValue {
					arg += "=" + value
				}
			}
		}
		out = append(out, arg)
	}
	return out
}

// complete returns the one flag that prefix can mean.
func complete(flags *pflag.FlagSet, prefix string) (string, bool) {
	var found []string
	exact := false
	flags.VisitAll(func(f *pflag.Flag) {
		if strings.HasPrefix(f.Name, prefix) {
			found = append(found, f.Name)
		}
		exact = exact || f.Name == prefix
	})
	if exact || len(found) != 1 {
		return prefix, exact
	}
	return found[0], true
}
