package agent

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestPollBackOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		want := []int{0, 5, 10, 20, 40, 80, 160, 320, 500, 500, 500} // milliseconds
		var pauses []int
		last := time.Now()
		err := poll(t.Context(), func() (bool, string, error) {
			pauses = append(pauses, int(time.Since(last).Milliseconds()))
			last = time.Now()
			return len(pauses) == len(want), "", nil
		})
		if err != nil || !slices.Equal(pauses, want) {
			t.Errorf("pauses %v, %v, want %v", pauses, err, want)
		}
	})
}

func TestPollEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reason := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, reason)
		defer cancel()
		started := time.Now()
		err := poll(ctx, func() (bool, string, error) { return false, "a closed door", nil })
		if !errors.Is(err, reason) || err.Error() != "enough; last seen: a closed door" {
			t.Errorf("poll = %v", err)
		}
		if took := time.Since(started); took != time.Second {
			t.Errorf("took %s", took)
		}
		broken := errors.New("broken")
		if err := poll(t.Context(), func() (bool, string, error) { return false, "", broken }); !errors.Is(err, broken) {
			t.Errorf("poll = %v, want the check's error", err)
		}
	})
}
