package sandbox

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openPeer opens the machine's side of the pty whose master is given, by which
// process ids and mounts don't matter (ioctl_tty(2), TIOCGPTPEER).
//
// As long as it is open, reading the master waits when the machine has closed
// its console, as systemd does after each line of its own; without it, reading
// fails with EIO then and what is written later goes unread.
func openPeer(master *os.File) (*os.File, error) {
	raw, err := master.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("opening the other side of a console: %w", err)
	}
	var fd uintptr
	var failed unix.Errno
	err = raw.Control(func(from uintptr) {
		fd, _, failed = unix.Syscall(unix.SYS_IOCTL, from, unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	})
	if err != nil {
		return nil, fmt.Errorf("opening the other side of a console: %w", err)
	}
	if failed != 0 {
		return nil, fmt.Errorf("opening the other side of a console: %w", failed)
	}
	return os.NewFile(fd, "console's other side"), nil
}
