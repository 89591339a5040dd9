package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dialTime bounds one attempt to connect, so that a host that swallows
// packets does not take the whole wait.
const dialTime = 3 * time.Second

// waitPort returns once a TCP connection to address:port succeeds, or, with
// closed, once it does not.
func waitPort(ctx context.Context, address string, port int, closed bool) error {
	target := net.JoinHostPort(address, strconv.Itoa(port))
	dialer := net.Dialer{Timeout: dialTime}
	return poll(ctx, func() (bool, string, error) {
		conn, err := dialer.DialContext(ctx, "tcp", target)
		if err != nil {
			return closed && ctx.Err() == nil, err.Error(), nil
		}
		conn.Close()
		return !closed, target + " accepts connections", nil
	})
}

// waitSocket returns once someone listens on the unix socket path.
func waitSocket(ctx context.Context, path string, datagram bool) error {
	network := "unix"
	if datagram {
		network = "unixgram"
	}
	return poll(ctx, func() (bool, string, error) {
		conn, err := net.Dial(network, path)
		if err != nil {
			return false, err.Error(), nil
		}
		conn.Close()
		return true, "", nil
	})
}

// waitFile returns once path exists. It watches the nearest directory that
// does exist; where inotify has nothing to say (procfs, a network file
// system) or the machine has no instance left, it looks twice a second.
func waitFile(ctx context.Context, path string) error {
	events, stop := watchFile(ctx, path)
	defer stop()
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	for {
		_, err := os.Stat(path)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; last seen: %w", context.Cause(ctx), err)
		case <-tick.C:
		case <-events:
		}
	}
}

// watchFile tells, through the channel, that something changed on the way to
// path. The watch follows the path down as directories appear.
func watchFile(ctx context.Context, path string) (<-chan struct{}, func()) {
	events := make(chan struct{}, 1)
	fd, file, stop := openInotify(ctx)
	if file == nil {
		return events, stop
	}
	go func() {
		buf := make([]byte, 4096)
		for {
			if watchNearest(fd, path) {
				notify(events)
			}
			if _, err := file.Read(buf); err != nil {
				return
			}
			notify(events)
		}
	}()
	return events, stop
}

// openInotify returns an inotify instance, or a nil file where there is none to
// be had. stop closes it; so does the end of ctx.
func openInotify(ctx context.Context) (fd int, file *os.File, stop func()) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return -1, nil, func() {}
	}
	file = os.NewFile(uintptr(fd), "inotify")
	detach := context.AfterFunc(ctx, func() { file.Close() })
	return fd, file, func() {
		if detach() {
			file.Close()
		}
	}
}

func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// watchNearest adds a watch on the deepest existing directory above path.
// It reports whether the path is worth another look: something may have
// appeared between the look and the watch.
func watchNearest(fd int, path string) bool {
	const mask = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		_, err := unix.InotifyAddWatch(fd, dir, mask)
		if err == nil {
			return true
		}
		if dir == "/" || dir == "." || !(errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR)) {
			return false
		}
	}
}
