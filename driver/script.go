package driver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nestbox/nestbox/driver/python"
)

// script is the process that runs the test's Python script.
type script struct {
	cmd  *exec.Cmd
	own  bool // in a process group of its own
	done chan struct{}
	err  error // of its end; read it after done
}

// stopGrace is how long the script may take to end after SIGTERM.
const stopGrace = 2 * time.Second

// startScript starts Python in the namespace of the VLANs, where the bridges
// make the machines reachable from the script.
func (d *Driver) startScript(socket string) (*script, error) {
	dir := d.opts.PythonDir
	if dir == "" {
		dir = filepath.Join(d.runDir, "python")
		if err := python.Write(dir); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(d.opts.Python, "-B", filepath.Join(dir, "nestbox_main.py"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "NESTBOX_SOCKET="+socket)
	s := &script{cmd: cmd, own: !d.opts.Interactive, done: make(chan struct{})}
	// A script of its own group is out of reach of a terminal's Ctrl-C: it is
	// for us to end it, in order. A prompt needs the terminal.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: s.own}
	start := func() error { return d.network.DoHere(cmd.Start) }
	if err := d.runtime.Parents.Do(start); err != nil {
		return nil, fmt.Errorf("starting Python (%s) for the test script: %w; is python3 on PATH?", d.opts.Python, err)
	}
	go func() {
		s.err = cmd.Wait()
		close(s.done)
	}()
	return s, nil
}

// stop ends the script, if it has not ended by itself, and what it left
// running in its process group.
func (s *script) stop() error {
	if s.own {
		defer s.signal(syscall.SIGKILL)
	}
	select {
	case <-s.done:
		return nil
	default:
	}
	s.signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	select {
	case <-s.done:
	case <-ctx.Done():
		s.signal(syscall.SIGKILL)
		<-s.done
	}
	return nil
}

func (s *script) signal(sig syscall.Signal) {
	pid := s.cmd.Process.Pid
	if s.own {
		pid = -pid
	}
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		_ = s.cmd.Process.Kill()
	}
}
