package vlan

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// threadNetns is the network namespace of the calling thread, see
// namespaces(7). /proc/self would name that of the process's first thread.
const threadNetns = "/proc/thread-self/ns/net"

// inNetns runs fn on a thread that enter has brought into another network
// namespace, and waits for it.
//
// The thread goes back to Go's pool only when it is home again. Where it can't
// return, it ends with its goroutine, as Go ends a thread whose goroutine
// returns locked. It is not ended as a rule, since a child that fn forked may
// ask for a signal when its parent thread ends (PR_SET_PDEATHSIG).
func inNetns(enter, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() { done <- err }() // also when fn calls runtime.Goexit
		runtime.LockOSThread()
		home, err := os.Open(threadNetns)
		if err != nil {
			err = fmt.Errorf("opening the thread's network namespace (is /proc mounted?): %w", err)
			return
		}
		defer home.Close()
		if err = enter(); err != nil {
			// Neither unshare(2) nor setns(2) moves the thread when it fails.
			runtime.UnlockOSThread()
			return
		}
		defer func() {
			if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
		}()
		err = fn()
	}()
	return <-done
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
