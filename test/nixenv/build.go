package nixenv

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Result is how a build went.
type Result struct {
	OutPath  string        // the store path made; empty when the build failed
	HostPath string        // the same, as the host sees it
	Log      string        // what Nix and the builder wrote, in order; no builder's lines when the path was there already
	ExitCode int           // nix-build's; -1 when it was cut short
	Duration time.Duration // from nix-build's start to its end
	Err      error         // nil when OutPath is there; shows the log's end
}

// Build builds one attribute of a Nix file of the host. Each of args becomes
// an `--argstr NAME VALUE`. attr may be empty. When ctx ends, the daemon ends
// the build too.
func (e *Env) Build(ctx context.Context, nixFile, attr string, args map[string]string) Result {
	nixFile, err := filepath.Abs(nixFile)
	if err != nil {
		return Result{ExitCode: -1, Err: fmt.Errorf("building %s: %w", nixFile, err)}
	}
	argv := []string{"nix-build", "--no-out-link", HostFile(nixFile)}
	if attr != "" {
		argv = append(argv, "--attr", attr)
	}
	for _, name := range slices.Sorted(maps.Keys(args)) {
		argv = append(argv, "--argstr", name, args[name])
	}
	cmd := e.command(ctx, argv...)
	var stdout, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &log
	started := time.Now()
	err = cmd.Run()
	result := Result{Log: log.String(), ExitCode: exitCode(err), Duration: time.Since(started)}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
			result.ExitCode = -1
		}
		result.Err = fmt.Errorf("building %s %s: %w: %s", nixFile, attr, err, lastBytes(log.Bytes(), 4096))
		return result
	}
	result.OutPath = strings.TrimSpace(stdout.String())
	result.HostPath = e.HostPath(result.OutPath)
	return result
}
