package sandbox

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// socketPair returns the two ends of a unix stream socket.
func socketPair(name string) (here, there *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}

// receiveFile takes one open file from a unix socket (SCM_RIGHTS, unix(7)) and
// makes it fit for Go's poller.
func receiveFile(socket *os.File, name string) (*os.File, error) {
	data := make([]byte, 4096)
	oob := make([]byte, unix.CmsgSpace(4))
	_, oobn, _, _, err := unix.Recvmsg(int(socket.Fd()), data, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("receiving a file: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, fmt.Errorf("receiving a file: %w", err)
	}
	if len(messages) == 0 {
		return nil, errors.New("receiving a file: the message holds none")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, fmt.Errorf("receiving a file: %w", err)
	}
	if len(fds) == 0 {
		return nil, errors.New("receiving a file: the message holds none")
	}
	for _, fd := range fds[1:] { // nobody asked for more
		unix.Close(fd)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		return nil, fmt.Errorf("receiving a file: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), name), nil
}
