package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// statusTimeout is what timeout(1) exits with when it had to end its command.
const statusTimeout = 124

// killGrace is how long a command that ran out of time may take to react to
// SIGTERM before its process group gets SIGKILL.
const killGrace = 500 * time.Millisecond

// job is one running bash in a session and process group of its own.
type job struct {
	proc   *os.Process
	stdout *os.File // read end
}

// exec runs req.Command and copies its standard output to out until that is
// closed by all who hold it, as upstream's driver does.
func (s *shell) exec(ctx context.Context, req Request, out io.Writer) Result {
	j, err := s.start(ctx, req.Command)
	if err != nil {
		return Result{Failure: err.Error()}
	}
	if req.Detach {
		// Nobody waits for the output: it is drained so that the command
		// doesn't stop at a full pipe.
		go func() {
			_, _ = io.Copy(io.Discard, j.stdout)
			j.stdout.Close()
			_, _ = j.proc.Wait()
		}()
		return Result{}
	}
	return j.finish(ctx, out)
}

// finish copies the output, waits for the end of j and kills its process
// group when ctx ends first.
func (j *job) finish(ctx context.Context, out io.Writer) Result {
	stop := context.AfterFunc(ctx, func() { j.kill(ctx) })
	defer stop()

	buf := chunkPool.Get().(*[]byte)
	defer chunkPool.Put(buf)
	_, copyErr := io.CopyBuffer(out, onlyReader{j.stdout}, *buf)
	j.stdout.Close()
	state, err := j.proc.Wait()

	if cause := context.Cause(ctx); cause != nil {
		return Result{Status: statusTimeout, TimedOut: errors.Is(cause, errTimeUp)}
	}
	if err != nil {
		return Result{Failure: fmt.Sprintf("waiting for the command: %v", err)}
	}
	if copyErr != nil && !errors.Is(copyErr, os.ErrClosed) {
		return Result{Failure: fmt.Sprintf("reading the command's output: %v", copyErr)}
	}
	return Result{Status: exitStatus(state)}
}

// kill ends the whole process group of j: at once if the client is gone,
// after SIGTERM and a grace if time is up. Then the output is cut off, should
// a process that left the group still hold it.
func (j *job) kill(ctx context.Context) {
	group := -j.proc.Pid
	if errors.Is(context.Cause(ctx), errTimeUp) {
		_ = syscall.Kill(group, syscall.SIGTERM)
		gone, cancel := context.WithTimeout(context.Background(), killGrace)
		defer cancel()
		_ = poll(gone, func() (bool, string, error) {
			// A zombie leader still counts as alive for kill(2); Wait in
			// finish reaps it once the output is closed.
			empty := errors.Is(syscall.Kill(group, 0), syscall.ESRCH)
			return empty || isZombie(j.proc.Pid), "", nil
		})
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	_ = j.stdout.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
}

// isZombie reports whether pid has exited and only waits to be reaped.
func isZombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	for i := len(stat) - 1; i > 0; i-- {
		if stat[i] == ')' {
			return i+2 < len(stat) && stat[i+2] == 'Z'
		}
	}
	return false
}

// exitStatus is the status as a shell gives it: 128 + n for signal n.
func exitStatus(state *os.ProcessState) int {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return state.ExitCode()
}

// until repeats req.Command until it succeeds (or fails, as asked). The
// output of the last try that ended goes to out, and if none did, what there
// was of the first.
func (s *shell) until(ctx context.Context, req Request, out io.Writer) Result {
	var res Result
	var last, now capped
	seen := ""
	err := poll(ctx, func() (bool, string, error) {
		j, err := s.start(ctx, req.Command)
		switch {
		case ctx.Err() != nil && j == nil: // time ran out between two tries
			return false, cmp.Or(seen, "no try yet"), nil
		case err != nil:
			return false, "", err
		}
		now.reset()
		try := j.finish(ctx, &now)
		switch {
		case try.Failure != "":
			return false, "", errors.New(try.Failure)
		case try.TimedOut && seen != "": // the try before tells more than one cut off
			return false, seen, nil
		case try.TimedOut:
			seen = "it still ran"
		default:
			seen = fmt.Sprintf("exit status %d", try.Status)
		}
		res, last, now = try, now, last
		return !try.TimedOut && (try.Status != 0) == req.Fails, seen, nil
	})
	_, _ = out.Write(last.data)
	if err != nil {
		failed := failure(ctx, err)
		failed.Status = res.Status
		return failed
	}
	return res
}

// capped keeps the first maxKept bytes written to it; a command that is
// repeated for minutes must not fill the machine's memory.
type capped struct{ data []byte }

const maxKept = 64 << 20

func (c *capped) reset() { c.data = c.data[:0] }

func (c *capped) Write(p []byte) (int, error) {
	c.data = append(c.data, p[:min(len(p), maxKept-len(c.data))]...)
	return len(p), nil
}

//nolint:gochecknoglobals // buffers, which belong to no one call
var chunkPool = sync.Pool{New: func() any { b := make([]byte, dataChunk); return &b }}

// onlyReader hides WriteTo, so that io.CopyBuffer uses the buffer given.
type onlyReader struct{ io.Reader }
