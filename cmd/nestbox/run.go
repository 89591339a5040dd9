package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/nestbox/nestbox/agent"
	"github.com/nestbox/nestbox/driver"
	"github.com/nestbox/nestbox/report"
	"github.com/nestbox/nestbox/spec"
)

func runCommand() *cobra.Command {
	var logLevel string
	var keep bool
	cmd := &cobra.Command{
		Use:   "run SPEC",
		Short: "Boot one machine and give a shell on it",
		Long: `Boot the one machine that the JSON file SPEC describes, give a root shell on
it, and power it off when the shell ends. SPEC is a machine object as in
"nestbox schema", or {"name": …, "start_script": …}. Without a terminal the
shell reads commands from standard input.`,
		Example: `  echo '{"name": "web", "init": "/nix/store/…-nixos-system-web/init"}' > web.json
  nestbox run web.json
  echo 'systemctl is-system-running --wait' | nestbox run web.json`,
		Args: cobra.MatchAll(func(cmd *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(1)(cmd, args); err != nil {
				return usageError(cmd, err)
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runMachine(cmd, args[0], logLevel, keep)
		},
	}
	cmd.Flags().StringVar(&logLevel, "log-level", "warning", "least important `LEVEL` to print; with info and below the machine's console and journal too")
	cmd.Flags().BoolVarP(&keep, "keep-machine-state", "K", false, "keep the machine's state, and go on with that of an earlier run")
	return cmd
}

func runMachine(cmd *cobra.Command, path, logLevel string, keep bool) error {
	level, ok := report.ParseLevel(logLevel)
	if !ok {
		return usageError(cmd, fmt.Errorf("--log-level %q: use debug, info, warning or error", logLevel))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return inputError(err)
	}
	m, err := spec.DecodeMachine(data, spec.Options{File: path})
	if err != nil {
		return inputError(err)
	}
	tmp, err := tmpDir()
	if err != nil {
		return usageError(cmd, err)
	}
	if err := enterSandbox(); err != nil {
		return err
	}
	if !keep {
		if tmp, err = os.MkdirTemp(tmp, "nestbox-run-"); err != nil {
			return fmt.Errorf("making a directory for the machine: %w", err)
		}
		defer os.RemoveAll(tmp)
	}
	terminal := newTerminal(level)
	terminal.Serial(level <= report.Info)
	opts := driver.Options{
		Test: singleTest(m), OutDir: tmp, TmpDir: tmp, KeepState: keep, Sink: terminal,
	}
	var status int
	err = driver.RunMachine(cmd.Context(), opts, func(ctx context.Context, a *agent.Client) error {
		status, err = shell(ctx, a)
		return err
	})
	if err == nil && status != 0 {
		return &quietError{fmt.Errorf("the shell exited with status %d", status)}
	}
	return err
}

// singleTest is a test of one machine, with the VLANs that it is plugged into.
func singleTest(m *spec.Machine) *spec.Test {
	t := &spec.Test{GlobalTimeout: spec.DefaultTimeout, Containers: map[string]*spec.Machine{m.Name: m}}
	for _, in := range m.Interfaces {
		t.VLANs = append(t.VLANs, in.VLAN)
	}
	return t
}

// shell connects our terminal to one of the machine's, or, where we have none,
// feeds standard input to a shell.
func shell(ctx context.Context, a *agent.Client) (int, error) {
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		commands, err := io.ReadAll(os.Stdin)
		if err != nil {
			return 0, fmt.Errorf("reading commands from standard input: %w", err)
		}
		return a.Exec(ctx, string(commands), 0, os.Stdout)
	}
	old, err := term.MakeRaw(fd)
	if err != nil {
		return 0, fmt.Errorf("setting the terminal up: %w", err)
	}
	defer func() { _ = term.Restore(fd, old) }()
	return a.Shell(ctx, os.Getenv("TERM"), windowSizes(ctx, fd), os.Stdin, os.Stdout)
}

// windowSizes yields the terminal's size, now and whenever it changes.
func windowSizes(ctx context.Context, fd int) <-chan agent.Window {
	sizes := make(chan agent.Window, 1)
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	go func() {
		defer close(sizes)
		defer signal.Stop(changed)
		for {
			if cols, rows, err := term.GetSize(fd); err == nil {
				sizes <- agent.Window{Rows: uint16(rows), Cols: uint16(cols)}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return sizes
}
