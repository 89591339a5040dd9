package agent

import (
	"context"
	"fmt"
	"io"
	"os"
	"syscall"

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
	go func() {
		_, _ = io.Copy(master, in)
		// End of file is what Ctrl-D says on a terminal.
		_, _ = master.Write([]byte{4})
	}()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case w := <-in.windows:
				_ = master.Resize(console.WinSize{Height: w.Rows, Width: w.Cols})
			case <-ended:
				return
			}
		}
	}()
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
