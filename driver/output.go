package driver

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nestbox/nestbox/report"
)

// maxLine is where a line without end is cut.
const maxLine = 64 << 10

// tailLines is how much of a console a failure shows.
const tailLines = 20

// console keeps what a machine wrote to its console in all its boots.
type console struct {
	sink report.Sink
	name string

	mu  sync.Mutex
	log []byte
}

func newConsole(sink report.Sink, name string) *console { return &console{sink: sink, name: name} }

// follow reads lines until the machine's side of the pty is gone.
func (c *console) follow(r io.Reader) {
	for line := range lines(r) {
		c.mu.Lock()
		c.log = append(append(c.log, line...), '\n')
		c.mu.Unlock()
		if strings.TrimSpace(line) != "" {
			c.sink.Event(report.Event{Kind: report.Serial, Machine: c.name, Message: line})
		}
	}
}

// text returns all that was written so far.
func (c *console) text() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.log)
}

// tail returns the last lines in a form to end an error message with.
func (c *console) tail() string {
	all := strings.Split(strings.TrimSpace(string(c.text())), "\n")
	if len(all) == 1 && all[0] == "" {
		return "; its console is empty"
	}
	last := all[max(0, len(all)-tailLines):]
	return "; its console ends with:\n    " + strings.Join(last, "\n    ")
}

// lines yields r's lines without their ends, terminal escapes and bytes that
// are no UTF-8.
func lines(r io.Reader) iter.Seq[string] {
	return func(yield func(string) bool) {
		in := bufio.NewReaderSize(r, maxLine)
		for {
			raw, err := in.ReadSlice('\n')
			if len(raw) > 0 && !yield(plain(raw)) {
				return
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				return
			}
		}
	}
}

// plain strips line ends, escape sequences (ECMA-48 CSI and OSC, and two-byte
// ones) and broken UTF-8.
func plain(raw []byte) string {
	raw = bytes.TrimRight(raw, "\r\n")
	if bytes.IndexByte(raw, 0x1b) >= 0 {
		raw = stripEscapes(raw)
	}
	return strings.ToValidUTF8(strings.ReplaceAll(string(raw), "\r", ""), "\uFFFD")
}

func stripEscapes(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != 0x1b {
			out = append(out, raw[i])
			continue
		}
		i++
		if i >= len(raw) {
			break
		}
		switch raw[i] {
		case '[': // CSI: parameters, then one byte from @ to ~
			for i++; i < len(raw) && (raw[i] < 0x40 || raw[i] > 0x7e); i++ {
			}
		case ']', 'P', 'X', '^', '_': // a string, ended by BEL or ESC \
			for i++; i < len(raw) && raw[i] != 0x07; i++ {
				if raw[i] == 0x1b && i+1 < len(raw) && raw[i+1] == '\\' {
					i++
					break
				}
			}
		case '(', ')', '*', '+', '#', '%', ' ':
			i++
		}
	}
	return out
}

// followErrors passes on what commands write to standard error.
func followErrors(sink report.Sink, name string, r io.Reader) {
	for line := range lines(r) {
		sink.Event(report.Event{Kind: report.Serial, Machine: name, Message: line})
	}
}

// followJournal passes on what journald sends to the connections of l, in the
// Journal Export Format (https://systemd.io/JOURNAL_EXPORT_FORMATS).
func followJournal(sink report.Sink, name string, started time.Time, l net.Listener) {
	booted := monotonicNow() - time.Since(started)
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		conns.Go(func() {
			defer conn.Close()
			in := bufio.NewReaderSize(conn, 32<<10)
			for {
				entry, err := readEntry(in)
				if err != nil {
					return
				}
				for _, line := range strings.Split(strings.TrimRight(entry["MESSAGE"], "\n"), "\n") {
					sink.Event(report.Event{Kind: report.Serial, Machine: name, Message: journalPrefix(entry, booted) + line})
				}
			}
		})
	}
}

// journalPrefix is "[   12.345678] name[pid]: ", the time being since the
// machine's start.
func journalPrefix(entry map[string]string, booted time.Duration) string {
	stamp := entry["_SOURCE_MONOTONIC_TIMESTAMP"]
	if stamp == "" {
		stamp = entry["__MONOTONIC_TIMESTAMP"]
	}
	var at time.Duration
	if us, err := strconv.ParseInt(stamp, 10, 64); err == nil {
		at = max(0, time.Duration(us)*time.Microsecond-booted)
	}
	who := entry["SYSLOG_IDENTIFIER"]
	if who == "" {
		who = entry["_COMM"]
	}
	if who == "" {
		who = "unknown"
	}
	pid := entry["_PID"]
	if pid == "" {
		pid = entry["SYSLOG_PID"]
	}
	if pid != "" {
		who += "[" + pid + "]"
	}
	return fmt.Sprintf("[%12.6f] %s: ", at.Seconds(), who)
}

// maxField bounds a field of a journal entry; larger ones end the stream.
const maxField = 64 << 20

// wanted are the fields that are kept of an entry.
//
//nolint:gochecknoglobals // a table that nobody writes to
var wanted = map[string]bool{
	"MESSAGE": true, "SYSLOG_IDENTIFIER": true, "_COMM": true, "_PID": true, "SYSLOG_PID": true,
	"__MONOTONIC_TIMESTAMP": true, "_SOURCE_MONOTONIC_TIMESTAMP": true, "PRIORITY": true,
}

// readEntry reads one entry of a journal export stream.
func readEntry(in *bufio.Reader) (map[string]string, error) {
	entry := map[string]string{}
	for {
		line, err := readText(in)
		if err != nil {
			return nil, err
		}
		if line == "" {
			if len(entry) == 0 {
				continue
			}
			return entry, nil
		}
		name, value, text := strings.Cut(line, "=")
		if !text {
			if value, err = readBinary(in); err != nil {
				return nil, err
			}
		}
		if wanted[name] {
			entry[name] = strings.ToValidUTF8(value, "\uFFFD")
		}
	}
}

// readText reads a line and returns it without its end.
func readText(in *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return string(line[:len(line)-1]), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		case len(line) > maxField:
			return "", fmt.Errorf("reading the journal: a field of more than %d bytes", maxField)
		}
	}
}

// readBinary reads a field's value that is given by its length, 64 bits little
// endian, and ended by a newline.
func readBinary(in *bufio.Reader) (string, error) {
	var size [8]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return "", err
	}
	n := binary.LittleEndian.Uint64(size[:])
	if n > maxField {
		return "", fmt.Errorf("reading the journal: a field of %d bytes", n)
	}
	data := make([]byte, n+1)
	if _, err := io.ReadFull(in, data); err != nil {
		return "", err
	}
	return string(data[:n]), nil
}

// notifyFields splits a datagram of sd_notify(3).
func notifyFields(data []byte) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\n"), "="); ok {
			fields[name] = value
		}
	}
	return fields
}
