package agent

import (
	"context"
	"fmt"
	"time"
)

// Back-off of checks for which the kernel offers no event.
const (
	pollFirst = 5 * time.Millisecond
	pollLast  = 500 * time.Millisecond
)

// poll calls check at once and then after growing pauses, until it reports
// done, returns an error, or ctx ends. last describes what check saw, for the
// message when time is up.
func poll(ctx context.Context, check func() (done bool, last string, err error)) error {
	pause := pollFirst
	timer := time.NewTimer(0)
	defer timer.Stop()
	last := "nothing yet"
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; last seen: %s", context.Cause(ctx), last)
		case <-timer.C:
		}
		done, seen, err := check()
		if done || err != nil {
			return err
		}
		last = seen
		timer.Reset(pause)
		pause = min(2*pause, pollLast)
	}
}
