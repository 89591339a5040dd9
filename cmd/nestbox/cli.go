package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/nestbox/nestbox/driver"
	"github.com/nestbox/nestbox/sandbox"
	"github.com/nestbox/nestbox/spec"
)

// Exit codes. They are part of the interface.
const (
	exitPassed  = 0
	exitFailed  = 1
	exitUsage   = 2
	exitUnfit   = 3
	exitTimeout = 4
)

// version is set at build time: -ldflags "-X main.version=…".
var version = "0.1.0-dev"

// upstreamName is the name of the program that Nestbox takes the place of;
// called by it, "test" is meant.
const upstreamName = "nixos-test-driver"

func run(args []string) int {
	ctx, stop := interruptible()
	defer stop()
	err := execute(ctx, args)
	if err == nil {
		return exitPassed
	}
	var quiet *quietError
	if !errors.As(err, &quiet) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(args[0]), err)
	}
	return exitCode(err)
}

func execute(ctx context.Context, args []string) error {
	if filepath.Base(args[0]) == upstreamName {
		cmd := testCommand(upstreamName)
		cmd.SetArgs(expandPrefixes(cmd.Flags(), args[1:]))
		return cmd.ExecuteContext(ctx)
	}
	root := rootCommand()
	rest := args[1:]
	root.InitDefaultHelpCmd() // as cobra does, but before the look
	root.InitDefaultCompletionCmd(rest...)
	if _, _, err := root.Find(rest); err != nil { // an unknown command
		return usageError(root, err)
	}
	if len(rest) > 0 && rest[0] == "test" {
		test, _, err := root.Find(rest[:1])
		if err != nil {
			return err
		}
		rest = append([]string{"test"}, expandPrefixes(test.Flags(), rest[1:])...)
	}
	root.SetArgs(rest)
	return root.ExecuteContext(ctx)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "nestbox",
		Short: "Run NixOS integration tests on containers",
		Long: `Nestbox runs NixOS integration tests. Inside a Nix build whose sandbox has the
uid-range feature it boots NixOS systems as containers with real systemd, joins
them to bridged VLANs and drives them with the test's Python script.

Exit codes: 0 passed, 1 the test failed, 2 bad input or usage,
3 the environment is unfit, 4 the global timeout passed.`,
		Example: `  nestbox test --config driver.json
  nestbox run --help`,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetFlagErrorFunc(usageError)
	root.AddCommand(testCommand("test"), runCommand(), schemaCommand(), versionCommand())
	return root
}

// noArgs is cobra.NoArgs with our exit code.
func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return usageError(cmd, err)
	}
	return nil
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of the driver's configuration",
		Example: "  nestbox schema > nestbox.schema.json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), string(spec.Schema()))
			return err
		},
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  nestbox version",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "nestbox", version)
			return err
		},
	}
}

// errUsage marks what the user can set right on the command line.
var errUsage = errors.New("usage")

type usage struct{ err error }

func (u *usage) Error() string { return u.err.Error() }
func (u *usage) Unwrap() error { return errUsage }

func usageError(cmd *cobra.Command, err error) error {
	return &usage{fmt.Errorf("%w\nTry: %s --help", err, cmd.CommandPath())}
}

// quietError has been told already; only its exit code is left to say.
type quietError struct{ err error }

func (q *quietError) Error() string { return q.err.Error() }
func (q *quietError) Unwrap() error { return q.err }

// errSignal is the cause of the end of a run that a signal ended.
type errSignal struct{ sig syscall.Signal }

func (e errSignal) Error() string { return "ended by " + e.sig.String() }

// interruptible returns a context that SIGINT, SIGTERM and SIGHUP end, with
// the signal as its cause. A second signal finds the default action.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		sig, ok := (<-signals).(syscall.Signal)
		if !ok {
			return
		}
		fmt.Fprintf(os.Stderr, "nestbox: %s: cleaning up; once more ends it at once\n", sig)
		signal.Stop(signals)
		cancel(errSignal{sig})
	}()
	return ctx, func() { signal.Stop(signals); cancel(nil) }
}

func exitCode(err error) int {
	var sig errSignal
	var problems *spec.Problems
	switch {
	case errors.As(err, &sig):
		return 128 + int(sig.sig)
	case errors.Is(err, driver.ErrTimeout):
		return exitTimeout
	case errors.Is(err, sandbox.ErrUnfit):
		return exitUnfit
	case errors.Is(err, errUsage), errors.As(err, &problems):
		return exitUsage
	default:
		return exitFailed
	}
}
