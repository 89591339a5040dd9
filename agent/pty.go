package agent

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/console"
)

// interact runs a login shell on a pseudo terminal of the machine, connected
// to the client's.
func (s *shell) interact(ctx context.Context, req Request, in input, out io.Writer) Result {
	l, err := s.environment()
	if err != nil {
		return Result{Failure: err.Error()}
	}
	master, slavePath, err := console.NewPty()
	if err != nil {
		return Result{Failure: fmt.Sprintf("opening a terminal: %v", err)}
	}
	defer master.Close()
	slave, err := os.OpenFile(slavePath, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return Result{Failure: fmt.Sprintf("opening a terminal: %v", err)}
	}
	env := l.env
	if req.Term != "" {
		env = append([]string{"TERM=" + req.Term}, env...)
	}
	proc, err := os.StartProcess(l.bash, []string{"-bash"}, &os.ProcAttr{
		Dir: "/root", Env: env, Files: []*os.File{slave, slave, slave},
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: true},
	})
	slave.Close()
	if err != nil {
		return Result{Failure: fmt.Sprintf("starting a shell: %v", err)}
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-proc.Pid, syscall.SIGHUP); _ = proc.Kill() })
	defer stop()
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(master, in)
		endInput(master, ended)
	}()
	// The descriptor is in use here: no closing before it ends.
	var resizer sync.WaitGroup
	defer resizer.Wait()
	defer close(ended)
	resizer.Go(func() {
		for {
			select {
			case w := <-in.windows:
				_ = master.Resize(console.WinSize{Height: w.Rows, Width: w.Cols})
			case <-ended:
				return
			}
		}
	})
	// Reading ends with EIO when the last process has closed the terminal.
	copied := make(chan struct{})
	go func() { _, _ = io.Copy(out, master); close(copied) }()
	state, err := proc.Wait()
	select {
	case <-copied:
	case <-ctx.Done():
	}
	if err != nil {
		return Result{Failure: fmt.Sprintf("waiting for the shell: %v", err)}
	}
	return Result{Status: exitStatus(state)}
}

// endInput tells those who read the terminal that there is no more, as Ctrl-D
// does. Once is not enough: a shell that is just taking the terminal over from
// a program loses it.
func endInput(master io.Writer, ended <-chan struct{}) {
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		if _, err := master.Write([]byte{4}); err != nil {
			return
		}
		select {
		case <-again.C:
		case <-ended:
			return
		}
	}
}
