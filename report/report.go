// Package report is the one stream of events of a test run, and what is made
// of it.
//
// Whoever has something to say sends an [Event] to a [Sink]; sinks turn events
// into a terminal log ([Terminal]) or something else, and [Tee] feeds several.
package report

import (
	"sync"
	"time"
)

// Level orders log events by importance.
type Level int

// Levels as upstream's driver has them, and in its order.
const (
	Debug Level = iota
	Info
	Warning
	Error
)

// ParseLevel returns the level of that name and whether there is one.
func ParseLevel(name string) (Level, bool) {
	for level, n := range []string{"debug", "info", "warning", "error"} {
		if n == name {
			return Level(level), true
		}
	}
	return Info, false
}

// Kind tells what an [Event] is about.
type Kind int

// The kinds of events.
const (
	Log       Kind = iota // something said, with a level
	TestError             // a line of why the test failed
	Serial                // a line of a machine's console or journal
	NestBegin             // a step begins
	NestEnd               // the step of the same ID ends
)

// Event is one thing that happened. The zero Time means now.
type Event struct {
	Time    time.Time
	Kind    Kind
	Level   Level
	Machine string // empty: the test as a whole
	Message string
	ID      int64         // of a step
	Subtest bool          // whether the step is a subtest
	Failed  bool          // NestEnd: the step raised
	Took    time.Duration // NestEnd
}

// Sink takes events. Implementations are safe for concurrent use.
type Sink interface {
	Event(Event)
}

// Tee passes every event on to each of its sinks.
type Tee []Sink

// Event implements [Sink].
func (t Tee) Event(e Event) {
	for _, s := range t {
		s.Event(e)
	}
}

// Steps pairs the beginnings and ends of steps, so that an end knows its
// message and how long it took.
type Steps struct {
	mu   sync.Mutex
	open map[int64]Event
}

// Begin notes the beginning of a step and returns its event.
func (s *Steps) Begin(e Event) Event {
	e.Kind = NestBegin
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[int64]Event{}
	}
	s.open[e.ID] = e
	return e
}

// End returns the event of the end of step id, and whether it had begun.
func (s *Steps) End(id int64, failed bool) (Event, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.open[id]
	if !ok {
		return Event{}, false
	}
	delete(s.open, id)
	now := time.Now()
	e.Kind, e.Failed, e.Took, e.Time = NestEnd, failed, now.Sub(e.Time), now
	return e, true
}
