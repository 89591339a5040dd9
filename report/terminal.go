package report

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// Terminal writes events as lines in the shape of upstream's driver:
//
//	machine: must succeed: true
//	machine # [    1.234567] systemd[1]: Started Something.
//	(finished: must succeed: true, in 0.01 seconds)
//	!!! RequestedAssertionFailed: …
type Terminal struct {
	mu     sync.Mutex
	w      io.Writer
	colour bool
	level  Level
	serial bool
	buf    []byte
}

// NewTerminal returns a Terminal that writes to w what is at least as
// important as level. Escape sequences are written only if colour is set.
func NewTerminal(w io.Writer, level Level, colour bool) *Terminal {
	return &Terminal{w: w, level: level, colour: colour, serial: true}
}

// Serial switches the printing of machines' consoles and journals.
func (t *Terminal) Serial(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.serial = on
}

// SGR parameters of ECMA-48, as the parts of upstream's log have them.
const (
	reset     = "\x1b[0m"
	boldGreen = "\x1b[1m\x1b[32m"
	dim       = "\x1b[2m"
	red       = "\x1b[31m"
)

// Event implements [Sink].
func (t *Terminal) Event(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = t.buf[:0]
	switch e.Kind {
	case Serial:
		if !t.serial {
			return
		}
		t.line(dim, e.Machine+" # "+e.Message, "")
	case NestBegin:
		t.line(boldGreen, stepName(e), prefix(e))
	case NestEnd:
		t.line("", fmt.Sprintf("(finished: %s, in %.2f seconds)", stepName(e), e.Took.Seconds()), prefix(e))
	case TestError:
		if t.colour {
			t.buf = append(t.buf, red+"!!! "+reset...)
		} else {
			t.buf = append(t.buf, "!!! "...)
		}
		t.line("", e.Message, prefix(e))
	default:
		if e.Level < t.level {
			return
		}
		style := ""
		if e.Level == Debug {
			style = dim
		}
		t.line(style, e.Message, prefix(e))
	}
	// A terminal that is gone must not stop the test.
	_, _ = t.w.Write(t.buf)
}

func stepName(e Event) string {
	if e.Subtest {
		return "subtest: " + e.Message
	}
	return e.Message
}

func prefix(e Event) string {
	if e.Machine == "" {
		return ""
	}
	return e.Machine + ": "
}

// line appends text, with what could move the cursor or end the line taken
// out of it.
func (t *Terminal) line(style, text, prefix string) {
	t.buf = append(t.buf, prefix...)
	if t.colour && style != "" {
		t.buf = append(t.buf, style...)
	}
	t.buf = append(t.buf, clean(text)...)
	if t.colour && style != "" {
		t.buf = append(t.buf, reset...)
	}
	t.buf = append(t.buf, '\n')
}

// clean drops carriage returns and other control characters (C0, DEL and C1,
// where U+009B is the one-byte form of ESC [) but newlines and tabs.
func clean(s string) string {
	bad := func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 }
	if strings.IndexFunc(s, bad) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if bad(r) {
			return -1
		}
		return r
	}, s)
}
