package sandbox

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sleeper is a process that the end of its parent thread kills.
func sleeper() *exec.Cmd {
	cmd := helper("sleep")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// endThreads runs fn on threads that end right afterwards.
func endThreads(n int, fn func()) {
	var wait sync.WaitGroup
	for range n {
		wait.Go(func() {
			runtime.LockOSThread() // never unlocked, so the thread ends with us
			fn()
		})
	}
	wait.Wait()
}

func TestParents(t *testing.T) {
	t.Parallel()
	p := NewParents(2)
	var children []*exec.Cmd
	for range 4 {
		cmd := sleeper()
		if err := p.Do(cmd.Start); err != nil {
			t.Fatal(err)
		}
		children = append(children, cmd)
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
	// This is what would kill them: one that was forked just so.
	victim := sleeper()
	endThreads(1, func() {
		if unix.Gettid() == unix.Getpid() {
			t.Log("the main thread does not end")
			return
		}
		if err := victim.Start(); err != nil {
			t.Error(err)
		}
	})
	if victim.Process != nil {
		check(t, "the child of a thread that ended", ends(victim.Process.Pid))
		_ = victim.Wait()
	}
	endThreads(100, func() {})
	for _, cmd := range children {
		if !lives(cmd.Process.Pid) {
			t.Error("a child of the parents died with another thread")
		}
	}
	p.Close()
	for _, cmd := range children {
		check(t, "after Close", ends(cmd.Process.Pid))
	}
}

// The thread that a process begins with lives as long as the process, so it
// must not be one of the parents: Close would not end its children.
func TestParentsNotMainThread(t *testing.T) {
	t.Parallel()
	if out, err := helper("parents").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// closeParentsOnOneCPU makes it likely that a parent comes upon the main
// thread: the main goroutine leaves it when it waits for the child.
func closeParentsOnOneCPU() error {
	runtime.GOMAXPROCS(1)
	for range 20 {
		p := NewParents(3)
		var children []*exec.Cmd
		for range 3 {
			cmd := sleeper()
			if err := p.Do(cmd.Start); err != nil {
				return err
			}
			children = append(children, cmd)
		}
		p.Close()
		for _, cmd := range children {
			if err := ends(cmd.Process.Pid); err != nil {
				return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
			}
			_ = cmd.Wait()
		}
	}
	return nil
}

func TestParentsDo(t *testing.T) {
	t.Parallel()
	p := NewParents(2)
	defer p.Close()
	broken := errors.New("broken")
	if err := p.Do(func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("Do = %v", err)
	}
	// Calls from everywhere run, at most as many at once as there are threads,
	// and always on the same threads.
	var mu sync.Mutex
	threads := map[int]bool{}
	var now, most atomic.Int32
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			err := p.Do(func() error {
				most.Store(max(most.Load(), now.Add(1)))
				defer now.Add(-1)
				time.Sleep(5 * time.Millisecond)
				mu.Lock()
				defer mu.Unlock()
				threads[unix.Gettid()] = true
				return fmt.Errorf("call %d", i)
			})
			if err == nil || err.Error() != fmt.Sprintf("call %d", i) {
				t.Errorf("call %d got %v", i, err)
			}
		})
	}
	wait.Wait()
	if len(threads) > 2 || most.Load() > 2 {
		t.Errorf("%d threads, %d calls at once", len(threads), most.Load())
	}
}
