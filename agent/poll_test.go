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
	for _, test := range []struct {
		name    string
		longest time.Duration
		want    []int // milliseconds between two checks
	}{
		{"as everywhere", pollLast, []int{0, 5, 10, 20, 40, 80, 160, 320, 500, 500, 500}},
		{"shorter", 10 * time.Millisecond, []int{0, 5, 10, 10, 10, 10, 10, 10, 10, 10, 10}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var pauses []int
				last := time.Now()
				err := pollWithin(t.Context(), test.longest, func() (bool, string, error) {
					pauses = append(pauses, int(time.Since(last).Milliseconds()))
					last = time.Now()
					return len(pauses) == len(test.want), "", nil
				})
				if err != nil || !slices.Equal(pauses, test.want) {
					t.Errorf("pauses %v, %v, want %v", pauses, err, test.want)
				}
			})
		})
	}
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
