package report

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// story is one of everything.
func story() []Event {
	return []Event{
		{Kind: Log, Level: Info, Message: "start all VLans"},
		{Kind: Log, Level: Info, Machine: "web", Message: "starting container"},
		{Kind: Log, Level: Debug, Machine: "web", Message: "a detail"},
		{Kind: Log, Level: Warning, Message: "be careful"},
		{Kind: Log, Level: Error, Machine: "web", Message: "it broke"},
		{Kind: Serial, Machine: "web", Message: "[    1.234567] systemd[1]: Started \x1b[0;1;39mSomething\x1b[0m.\r"},
		{Kind: Serial, Machine: "web", Message: ""},
		{Kind: NestBegin, ID: 1, Subtest: true, Message: "pages load"},
		{Kind: NestBegin, ID: 2, Machine: "web", Message: "must succeed: curl\tlocalhost"},
		{Kind: NestEnd, ID: 2, Machine: "web", Message: "must succeed: curl\tlocalhost", Took: 1234567 * time.Microsecond},
		{Kind: NestEnd, ID: 1, Subtest: true, Failed: true, Message: "pages load", Took: 5 * time.Millisecond},
		{Kind: TestError, Message: "Traceback (most recent call last):"},
		{Kind: TestError, Machine: "web", Message: "RequestedAssertionFailed: no"},
		{Kind: Log, Level: Info, Message: "two\nlines\r\nand a bell\a"},
	}
}

const plainStory = `start all VLans
web: starting container
web: a detail
be careful
web: it broke
web # [    1.234567] systemd[1]: Started [0;1;39mSomething[0m.
web # 
subtest: pages load
web: must succeed: curl	localhost
web: (finished: must succeed: curl	localhost, in 1.23 seconds)
(finished: subtest: pages load, in 0.01 seconds)
!!! Traceback (most recent call last):
!!! web: RequestedAssertionFailed: no
two
lines
and a bell
`

const colouredStory = `start all VLans
web: starting container
web: <dim>a detail<reset>
be careful
web: it broke
<dim>web # [    1.234567] systemd[1]: Started [0;1;39mSomething[0m.<reset>
<dim>web # <reset>
<bold><green>subtest: pages load<reset>
web: <bold><green>must succeed: curl	localhost<reset>
web: (finished: must succeed: curl	localhost, in 1.23 seconds)
(finished: subtest: pages load, in 0.01 seconds)
<red>!!! <reset>Traceback (most recent call last):
<red>!!! <reset>web: RequestedAssertionFailed: no
two
lines
and a bell
`

// tell lets a terminal print the story.
func tell(level Level, colour bool, prepare func(*Terminal)) string {
	var out bytes.Buffer
	terminal := NewTerminal(&out, level, colour)
	if prepare != nil {
		prepare(terminal)
	}
	for _, e := range story() {
		terminal.Event(e)
	}
	return out.String()
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(plainStory, tell(Debug, false, nil)); diff != "" {
		t.Errorf("without colour (-want +got):\n%s", diff)
	}
	names := strings.NewReplacer("\x1b[0m", "<reset>", "\x1b[1m", "<bold>", "\x1b[2m", "<dim>", "\x1b[31m", "<red>", "\x1b[32m", "<green>")
	if diff := cmp.Diff(colouredStory, names.Replace(tell(Debug, true, nil))); diff != "" {
		t.Errorf("with colour (-want +got):\n%s", diff)
	}
}

// Levels are of log lines alone; all that is less important is left out.
func TestTerminalLevels(t *testing.T) {
	t.Parallel()
	lines := map[string]Level{"web: a detail\n": Debug, "web: starting container\n": Info, "be careful\n": Warning, "web: it broke\n": Error}
	for _, level := range []Level{Debug, Info, Warning, Error} {
		got := tell(level, false, nil)
		for line, its := range lines {
			if strings.Contains(got, line) != (its >= level) {
				t.Errorf("at level %d %q is printed: %v", level, line, !(its >= level))
			}
		}
		for _, line := range []string{"web # [", "subtest: pages load\n", "(finished: ", "!!! Traceback"} {
			if !strings.Contains(got, line) {
				t.Errorf("at level %d there is no %q", level, line)
			}
		}
	}
}

func TestTerminalSerial(t *testing.T) {
	t.Parallel()
	quiet := tell(Debug, false, func(terminal *Terminal) { terminal.Serial(false) })
	if want := regexp.MustCompile(`(?m)^web # .*\n`).ReplaceAllString(plainStory, ""); quiet != want {
		t.Errorf("with serial output off:\n%s", cmp.Diff(want, quiet))
	}
	again := tell(Debug, false, func(terminal *Terminal) { terminal.Serial(false); terminal.Serial(true) })
	if again != plainStory {
		t.Error("switching it on again does not bring it back")
	}
}

// Nothing that a machine says reaches the terminal as a command to it.
func TestClean(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                          "",
		"plain äöü 😀\ttab":          "plain äöü 😀\ttab",
		"progress 1%\rprogress 2%":  "progress 1%progress 2%",
		"end\r\n":                   "end\n",
		"\x1b]0;title\a":            "]0;title",
		"back\b\b\x7fspace\x00\x0b": "backspace",
		"8-bit \u009b31m\u0085":     "8-bit 31m",
	} {
		if got := clean(text); got != want {
			t.Errorf("clean(%q) = %q, want %q", text, got, want)
		}
	}
}

// Lines of many writers at once stay whole.
func TestTerminalConcurrently(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	terminal := NewTerminal(&out, Info, true)
	var wait sync.WaitGroup
	const writers, lines = 16, 50
	for w := range writers {
		wait.Go(func() {
			for i := range lines {
				terminal.Event(Event{Kind: Serial, Machine: fmt.Sprint("m", w), Message: fmt.Sprint("line ", i)})
				terminal.Serial(true)
			}
		})
	}
	wait.Wait()
	whole := regexp.MustCompile(`^\x1b\[2mm\d+ # line \d+\x1b\[0m$`)
	got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(got) != writers*lines {
		t.Errorf("%d lines", len(got))
	}
	for _, line := range got {
		if !whole.MatchString(line) {
			t.Fatalf("line %q", line)
		}
	}
}

// countingWriter counts writes, and fails all of them.
type countingWriter struct{ writes int }

func (c *countingWriter) Write([]byte) (int, error) {
	c.writes++
	return 0, errors.New("no more terminal")
}

// A line is one write, and a terminal that is gone stops nobody.
func TestTerminalGone(t *testing.T) {
	t.Parallel()
	var w countingWriter
	terminal := NewTerminal(&w, Info, true)
	for range 3 {
		terminal.Event(Event{Kind: TestError, Machine: "m", Message: "two\nlines"})
	}
	if w.writes != 3 {
		t.Errorf("%d writes", w.writes)
	}
}
