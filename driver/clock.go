package driver

import (
	"time"

	"golang.org/x/sys/unix"
)

// monotonicNow is CLOCK_MONOTONIC, which machines share with us: journald's
// time stamps are of it.
func monotonicNow() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // can't happen: clock_gettime(2) fails only for bad arguments
	}
	return time.Duration(ts.Nano())
}
