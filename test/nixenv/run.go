package nixenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// command prepares argv to run inside the entry, as a client of the daemon.
// When ctx ends, its whole process group is killed.
func (e *Env) command(ctx context.Context, argv ...string) *exec.Cmd {
	args := append([]string{
		"--target", strconv.Itoa(e.pid), "--mount", "--pid", "--cgroup", "--root", "--wd", "--",
		"/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin", "HOME=/tmp", "USER=root", "LANG=C.UTF-8", "NIX_REMOTE=daemon",
	}, argv...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// A grandchild that escaped the group could hold our pipes for ever.
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Run runs a command inside the entry and returns its standard output. Its
// error holds the exit status and the end of standard error. Paths of the host
// are found inside under [HostFile].
func (e *Env) Run(ctx context.Context, argv ...string) (string, error) {
	cmd := e.command(ctx, argv...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return stdout.String(), fmt.Errorf("running %q: %w: %s", argv, err, lastBytes(stderr.Bytes(), 2048))
	}
	return stdout.String(), nil
}

// exitCode returns the exit status in err, 0 for none and -1 when there was
// no exit.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

func lastBytes(data []byte, limit int) string {
	if len(data) > limit {
		data = data[len(data)-limit:]
	}
	return strings.TrimSpace(string(data))
}
