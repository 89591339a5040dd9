package stage

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

type chmodCall = func(path *byte, fd uintptr) (uintptr, uintptr, syscall.Errno)

// oldChmod is chmod(2) where there is one.
var oldChmod func(mode uint32) chmodCall

// chmodCalls are the ways to set a mode, by the names of the system calls,
// which a C library chooses from.
func chmodCalls(mode uint32) map[string]chmodCall {
	at := unix.AT_FDCWD
	calls := map[string]chmodCall{
		"fchmod": func(_ *byte, fd uintptr) (uintptr, uintptr, syscall.Errno) {
			return unix.Syscall(unix.SYS_FCHMOD, fd, uintptr(mode), 0)
		},
		"fchmodat": func(path *byte, _ uintptr) (uintptr, uintptr, syscall.Errno) {
			return unix.Syscall(unix.SYS_FCHMODAT, uintptr(at), uintptr(unsafe.Pointer(path)), uintptr(mode))
		},
		"fchmodat2": func(path *byte, _ uintptr) (uintptr, uintptr, syscall.Errno) {
			return unix.Syscall6(unix.SYS_FCHMODAT2, uintptr(at), uintptr(unsafe.Pointer(path)), uintptr(mode), 0, 0, 0)
		},
	}
	if oldChmod != nil {
		calls["chmod"] = oldChmod(mode)
	}
	return calls
}
