package report

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// recorder is a sink that remembers.
type recorder struct {
	mu   sync.Mutex
	list []Event
}

func (r *recorder) Event(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, e)
}

func TestParseLevel(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Level{"debug": Debug, "info": Info, "warning": Warning, "error": Error} {
		if got, ok := ParseLevel(name); got != want || !ok {
			t.Errorf("ParseLevel(%q) = %d, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "INFO", "warn", "critical", " info"} {
		if got, ok := ParseLevel(name); got != Info || ok {
			t.Errorf("ParseLevel(%q) = %d, %v, want info and that there is none", name, got, ok)
		}
	}
	if !(Debug < Info && Info < Warning && Warning < Error) {
		t.Error("the levels are not in order")
	}
}

func TestTee(t *testing.T) {
	t.Parallel()
	var a, b recorder
	tee := Tee{&a, &b}
	tee.Event(Event{Message: "one"})
	tee.Event(Event{Message: "two"})
	for _, r := range []*recorder{&a, &b} {
		if len(r.list) != 2 || r.list[0].Message != "one" || r.list[1].Message != "two" {
			t.Errorf("events %+v", r.list)
		}
	}
	Tee(nil).Event(Event{}) // nobody listens
}

func TestSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var steps Steps
		began := time.Now()
		outer := steps.Begin(Event{ID: 1, Message: "outer", Subtest: true, Kind: Log})
		if want := (Event{ID: 1, Message: "outer", Subtest: true, Kind: NestBegin, Time: began}); outer != want {
			t.Errorf("Begin = %+v, want %+v", outer, want)
		}
		time.Sleep(time.Second)
		steps.Begin(Event{ID: 2, Machine: "web", Message: "inner"})
		time.Sleep(2 * time.Second)
		want := Event{ID: 2, Machine: "web", Message: "inner", Kind: NestEnd, Failed: true, Took: 2 * time.Second, Time: time.Now()}
		if e, ok := steps.End(2, true); !ok || e != want {
			t.Errorf("End(2) = %+v, %v, want %+v", e, ok, want)
		}
		want = Event{ID: 1, Message: "outer", Subtest: true, Kind: NestEnd, Took: 3 * time.Second, Time: time.Now()}
		if e, ok := steps.End(1, false); !ok || e != want {
			t.Errorf("End(1) = %+v, %v, want %+v", e, ok, want)
		}
		for _, id := range []int64{1, 2, 3, 0, -1} {
			if e, ok := steps.End(id, false); ok || e != (Event{}) {
				t.Errorf("End(%d) without a beginning = %+v", id, e)
			}
		}
	})
}

// A beginning with a time of its own keeps it.
func TestStepsOwnTime(t *testing.T) {
	t.Parallel()
	var steps Steps
	at := time.Now().Add(-time.Hour)
	if e := steps.Begin(Event{ID: 7, Time: at}); !e.Time.Equal(at) {
		t.Errorf("began at %s", e.Time)
	}
	if e, _ := steps.End(7, false); e.Took < time.Hour {
		t.Errorf("took %s", e.Took)
	}
}

func TestStepsConcurrently(t *testing.T) {
	t.Parallel()
	var steps Steps
	var wait sync.WaitGroup
	var mu sync.Mutex
	var ended []int64
	for id := range int64(200) {
		wait.Go(func() {
			steps.Begin(Event{ID: id})
			e, ok := steps.End(id, false)
			if _, again := steps.End(id, false); !ok || again {
				t.Errorf("step %d ended %v, again %v", id, ok, again)
			}
			mu.Lock()
			defer mu.Unlock()
			ended = append(ended, e.ID)
		})
	}
	wait.Wait()
	slices.Sort(ended)
	if len(slices.Compact(ended)) != 200 {
		t.Errorf("%d steps ended", len(ended))
	}
}
