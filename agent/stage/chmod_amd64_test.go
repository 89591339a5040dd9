package stage

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// chmod(2) exists on this architecture; it is one of those with calls older
// than the *at family.
func init() {
	oldChmod = func(mode uint32) chmodCall {
		return func(path *byte, _ uintptr) (uintptr, uintptr, syscall.Errno) {
			return unix.Syscall(unix.SYS_CHMOD, uintptr(unsafe.Pointer(path)), uintptr(mode), 0)
		}
	}
}
