package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// enteredEnv marks the second life of the process, see [Enter].
const enteredEnv = "_NESTBOX_ENTERED"

// ErrUnfit says that the environment can't hold machines; the error that
// wraps it says what would help.
var ErrUnfit = errors.New("this environment can't run containers")

// Enter gives the whole process a mount namespace of its own, in which nothing
// propagates outward. unshare(2) does that only for the calling thread, so the
// program is executed again from it; pid, arguments and open files stay the
// same. Call it before anything else is done.
func Enter() error {
	if os.Getenv(enteredEnv) == "1" {
		return os.Unsetenv(enteredEnv)
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("%w: making a mount namespace: %w; run it as root, or in a Nix build with requiredSystemFeatures = [ \"uid-range\" ]", ErrUnfit, err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("%w: keeping mounts from propagating outward: %w", ErrUnfit, err)
	}
	if err := os.Setenv(enteredEnv, "1"); err != nil {
		return err
	}
	// By its path, not as /proc/self/exe: that would be the file as the old
	// namespace has it mounted, which sealing it for machines can't look at.
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding our own program: %w", err)
	}
	err = unix.Exec(exe, os.Args, os.Environ())
	return fmt.Errorf("executing ourselves again: %w", err)
}
