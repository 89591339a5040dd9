package vlan

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// threadNetns is the network namespace of the calling thread, see
// namespaces(7). /proc/self would name that of the process's first thread.
const threadNetns = "/proc/thread-self/ns/net"

// inNetns runs fn on a thread of Go's pool that enter has brought into another
// network namespace, and waits for it. A thread that can't return home ends
// with its goroutine, as Go ends a thread whose goroutine returns locked.
func inNetns(enter, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errLeft // for when fn calls runtime.Goexit
		defer func() { done <- err }()
		runtime.LockOSThread()
		var home bool
		if home, err = onThisThread(enter, fn); home {
			runtime.UnlockOSThread()
		}
	}()
	return <-done
}

var errLeft = errors.New("the function left its goroutine")

// onThisThread runs fn on the calling thread, to which the goroutine is locked,
// between enter and the return to the namespace it was in. It reports whether
// the thread is back there.
func onThisThread(enter, fn func() error) (home bool, err error) {
	from, err := os.Open(threadNetns)
	if err != nil {
		return true, fmt.Errorf("opening the thread's network namespace (is /proc mounted?): %w", err)
	}
	defer from.Close()
	if err := enter(); err != nil {
		// Neither unshare(2) nor setns(2) moves the thread when it fails.
		return true, err
	}
	err = fn()
	if back := unix.Setns(int(from.Fd()), unix.CLONE_NEWNET); back != nil {
		return false, errors.Join(err, fmt.Errorf("returning to the thread's network namespace: %w", back))
	}
	return true, err
}

// into returns an enter function for inNetns.
func into(netns *os.File) func() error {
	return func() error {
		if err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering network namespace %s: %w", netns.Name(), err)
		}
		return nil
	}
}

// sysctl is one file under /proc/sys/net and what to write there.
type sysctl struct{ name, value string }

// setSysctls writes settings of the calling thread's network namespace. The
// namespace that /proc/sys/net shows is that of the thread which opens the
// file, whichever proc mount it is. IPv6 settings are passed over on a kernel
// without IPv6.
func setSysctls(settings []sysctl) error {
	for _, s := range settings {
		path := "/proc/sys/net/" + s.name
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if os.IsNotExist(err) && !haveIPv6() {
			continue
		}
		if err != nil {
			return fmt.Errorf("setting net/%s to %s: %w", s.name, s.value, err)
		}
		_, err = f.WriteString(s.value)
		f.Close()
		if err != nil {
			return fmt.Errorf("setting net/%s to %s: %w", s.name, s.value, err)
		}
	}
	return nil
}

func haveIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6")
	return err == nil
}
