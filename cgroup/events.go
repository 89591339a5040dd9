package cgroup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// eventTimeout bounds the waits for what the kernel was told to do.
const eventTimeout = 10 * time.Second

// awaitEvent returns when an entry of cgroup.events has a value. The kernel
// reports changes of that file with POLLPRI. A cgroup that is removed
// meanwhile has neither processes nor anything else: its entries are 0.
//
// The error wraps [os.ErrDeadlineExceeded] when the time is over.
func awaitEvent(dir, name string, want int64, timeout time.Duration) error {
	f, err := os.Open(filepath.Join(dir, "cgroup.events"))
	if err != nil {
		return err
	}
	defer f.Close()
	deadline := time.Now().Add(timeout)
	for {
		// Reading also tells the kernel which changes we know of.
		got, err := readEvent(f, name)
		if err != nil || got == want {
			return err
		}
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("waiting for %s to become %d: %w after %v", name, want, os.ErrDeadlineExceeded, timeout)
		}
		fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLPRI}}
		if _, err := unix.Poll(fds, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("polling %s: %w", f.Name(), err)
		}
	}
}

func readEvent(f *os.File, name string) (int64, error) {
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 4096))
	if errors.Is(err, unix.ENODEV) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	events, err := parseEvents(data)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", f.Name(), err)
	}
	value, ok := events[name]
	if !ok {
		return 0, fmt.Errorf("reading %s: no entry %q", f.Name(), name)
	}
	return value, nil
}
