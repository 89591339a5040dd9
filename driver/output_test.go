package driver

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/nestbox/nestbox/report"
)

// recorder is a sink that remembers.
type recorder struct {
	mu   sync.Mutex
	list []report.Event
}

func (r *recorder) Event(e report.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, e)
}

// messages returns what was said, by kind.
func (r *recorder) messages(kind report.Kind) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, e := range r.list {
		if e.Kind == kind {
			all = append(all, e.Machine+"|"+e.Message)
		}
	}
	return all
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"":                                   "",
		"text\n":                             "text",
		"text\r\n":                           "text",
		"\r\n":                               "",
		"äöü €\ttab":                         "äöü €\ttab",
		"10%\r20%\r\n":                       "10%20%",
		"\x1b[0;1;31mred\x1b[0m text":        "red text",
		"\x1b[K\x1b[2J\x1b[?25l\x1b[10;20Hx": "x",
		"\x1b]0;title\aafter":                "after",
		"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\": "link",
		"\x1bPdevice\x1b\\a\x1b_app\x1b\\b":        "ab",
		"\x1b(Bset\x1b)0\x1b#8\x1b%G":              "set",
		"\x1b7save\x1b8\x1bMup\x1b=\x1b>":          "saveup",
		"cut \x1b":                                 "cut ",
		"cut \x1b[":                                "cut ",
		"cut \x1b[31":                              "cut ",
		"cut \x1b]0;title":                         "cut ",
		"cut \x1b(":                                "cut ",
		"\xff\xfebroken\xc3":                       "\uFFFDbroken\uFFFD",
		"split \xc3\x1b[0m\xa4":                    "split ä",
	} {
		if got := plain([]byte(raw)); got != want {
			t.Errorf("plain(%q) = %q, want %q", raw, got, want)
		}
	}
}

func FuzzPlain(f *testing.F) {
	f.Add([]byte("\x1b[31mred\x1b[0m\r\n"))
	f.Add([]byte("\x1b]0;\x1b\x1b\\\x1b"))
	f.Add([]byte("\xff\x1b\xc3"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		got := plain(raw)
		if !bytes.Equal(raw, before) {
			t.Error("the input was changed")
		}
		if strings.ContainsAny(got, "\x1b\r") || !utf8.ValidString(got) || len(got) > 3*len(raw) {
			t.Errorf("plain(%q) = %q", raw, got)
		}
		if bytes.IndexByte(raw, 0x1b) < 0 && utf8.Valid(raw) && !bytes.ContainsAny(raw, "\r\n") && got != string(raw) {
			t.Errorf("plain text %q became %q", raw, got)
		}
	})
}

func TestLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxLine)
	for _, test := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"a\nb\n", []string{"a", "b"}},
		{"a\n\n\r\nb", []string{"a", "", "", "b"}},
		{long + "yz\nnext\n", []string{long, "yz", "next"}},
		{long[1:] + "\nnext", []string{long[1:], "next"}},
	} {
		for name, r := range map[string]io.Reader{
			"at once": strings.NewReader(test.text), "bit by bit": iotest.HalfReader(strings.NewReader(test.text)),
			"with an error": iotest.DataErrReader(strings.NewReader(test.text)),
		} {
			if got := slices.Collect(lines(r)); !slices.Equal(got, test.want) {
				t.Errorf("%s: lines of %.20q… are %.100q, want %.100q", name, test.text, got, test.want)
			}
		}
	}
	for line := range lines(strings.NewReader("a\nb\n")) { // who has enough stops
		if line != "a" {
			t.Errorf("line %q after the loop ended", line)
		}
		break
	}
}

func TestConsole(t *testing.T) {
	t.Parallel()
	var sink recorder
	c := newConsole(&sink, "web")
	if got := c.tail(); got != "; its console is empty" {
		t.Errorf("tail = %q", got)
	}
	c.follow(strings.NewReader("\x1b[1mWelcome\x1b[0m\r\n\r\n  \r\nlogin: "))
	c.follow(strings.NewReader("second boot\n"))
	want := []string{"web|Welcome", "web|login: ", "web|second boot"}
	if diff := cmp.Diff(want, sink.messages(report.Serial)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if got := string(c.text()); got != "Welcome\n\n  \nlogin: \nsecond boot\n" {
		t.Errorf("text = %q", got)
	}
	if got := c.tail(); got != "; its console ends with:\n    Welcome\n    \n      \n    login: \n    second boot" {
		t.Errorf("tail = %q", got)
	}
	for i := range 100 {
		c.follow(strings.NewReader("line " + strconv.Itoa(i) + "\n"))
	}
	if got := c.tail(); strings.Count(got, "\n") != tailLines || !strings.HasSuffix(got, "\n    line 99") || strings.Contains(got, "line 79\n") {
		t.Errorf("tail = %q", got)
	}
}

// binaryField encodes a field in the format's binary form.
func binaryField(name, value string) string {
	return name + "\n" + string(binary.LittleEndian.AppendUint64(nil, uint64(len(value)))) + value + "\n"
}

func TestReadEntry(t *testing.T) {
	t.Parallel()
	stream := "\n\n" +
		"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1\n__MONOTONIC_TIMESTAMP=5000000\nPRIORITY=6\n_PID=42\nSYSLOG_IDENTIFIER=sshd\nMESSAGE=plain = text\n\n" +
		"_COMM=tool\n" + binaryField("MESSAGE", "two\nlines\n\nand MESSAGE=more") + binaryField("COREDUMP", "\x00\x01\n\n") + "SYSLOG_PID=7\n\n" +
		"_HOSTNAME=only unwanted\n\n" +
		binaryField("MESSAGE", "") + "\n" +
		binaryField("MESSAGE", "not \xff UTF-8") + "_PID=\n\n" +
		"MESSAGE=first\nMESSAGE=last\n\n" +
		"MESSAGE=" + strings.Repeat("long ", 20000) + "\n\n" +
		"MESSAGE=without an end\n"
	want := []map[string]string{
		{"__MONOTONIC_TIMESTAMP": "5000000", "PRIORITY": "6", "_PID": "42", "SYSLOG_IDENTIFIER": "sshd", "MESSAGE": "plain = text"},
		{"_COMM": "tool", "MESSAGE": "two\nlines\n\nand MESSAGE=more", "SYSLOG_PID": "7"},
		{"MESSAGE": ""},
		{"MESSAGE": "not \uFFFD UTF-8", "_PID": ""},
		{"MESSAGE": "last"},
		{"MESSAGE": strings.Repeat("long ", 20000)},
	}
	in := bufio.NewReader(iotest.HalfReader(strings.NewReader(stream)))
	var got []map[string]string
	for {
		entry, err := readEntry(in)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %v", err)
			}
			break
		}
		got = append(got, entry)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%.3000s", diff)
	}
}

func TestReadEntryBroken(t *testing.T) {
	t.Parallel()
	size := func(n uint64) string { return string(binary.LittleEndian.AppendUint64(nil, n)) }
	for name, test := range map[string]struct {
		stream io.Reader
		says   string
	}{
		"cut in a size":    {strings.NewReader("MESSAGE\n\x05\x00"), "EOF"},
		"cut in a value":   {strings.NewReader("MESSAGE\n" + size(100) + "short"), "EOF"},
		"huge value":       {strings.NewReader("MESSAGE\n" + size(maxField+1)), "a field of 67108865 bytes"},
		"largest size":     {strings.NewReader("MESSAGE\n" + size(1<<64-1)), "a field of 18446744073709551615 bytes"},
		"line without end": {io.MultiReader(strings.NewReader("MESSAGE="), endless{}), "a field of more than 67108864 bytes"},
	} {
		entry, err := readEntry(bufio.NewReaderSize(test.stream, 32<<10))
		if entry != nil || err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, %v, want an error with %q", name, entry, err, test.says)
		}
	}
}

// endless is a text without line ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, someText), nil }

var someText = strings.Repeat("some text, over and over ", 5000)

func FuzzReadEntry(f *testing.F) {
	f.Add([]byte("MESSAGE=a\n_PID=1\n\nMESSAGE=b\n\n"))
	f.Add([]byte(binaryField("MESSAGE", "a\nb") + "\n"))
	f.Add([]byte("MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		in := bufio.NewReader(bytes.NewReader(stream))
		for {
			entry, err := readEntry(in)
			if err != nil {
				return
			}
			if len(entry) == 0 {
				t.Fatal("an entry of nothing")
			}
			for name, value := range entry {
				if !wanted[name] || !utf8.ValidString(value) {
					t.Fatalf("field %q is %q", name, value)
				}
			}
			_ = journalPrefix(entry, time.Second)
		}
	})
}

func TestJournalPrefix(t *testing.T) {
	t.Parallel()
	const booted = 10 * time.Second
	for _, test := range []struct {
		entry map[string]string
		want  string
	}{
		{map[string]string{"_SOURCE_MONOTONIC_TIMESTAMP": "11234567", "__MONOTONIC_TIMESTAMP": "99000000", "SYSLOG_IDENTIFIER": "sshd", "_COMM": "sh", "_PID": "42", "SYSLOG_PID": "7"},
			"[    1.234567] sshd[42]: "},
		{map[string]string{"__MONOTONIC_TIMESTAMP": "3610000000", "_COMM": "sh", "SYSLOG_PID": "7"}, "[ 3600.000000] sh[7]: "},
		{map[string]string{"__MONOTONIC_TIMESTAMP": "9000000"}, "[    0.000000] unknown: "},
		{map[string]string{"__MONOTONIC_TIMESTAMP": "soon", "SYSLOG_IDENTIFIER": "kernel"}, "[    0.000000] kernel: "},
		{nil, "[    0.000000] unknown: "},
	} {
		if got := journalPrefix(test.entry, booted); got != test.want {
			t.Errorf("journalPrefix(%v) = %q, want %q", test.entry, got, test.want)
		}
	}
}

func TestFollowJournal(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("unix", shortDir(t)+"/journal")
	if err != nil {
		t.Fatal(err)
	}
	var sink recorder
	started := time.Now()
	ended := make(chan struct{})
	go func() { followJournal(&sink, "web", started, l); close(ended) }()
	now := strconv.FormatInt((monotonicNow() + 2*time.Second).Microseconds(), 10)
	for _, stream := range []string{
		"__MONOTONIC_TIMESTAMP=" + now + "\nSYSLOG_IDENTIFIER=a\nMESSAGE=one\n\n" + binaryField("MESSAGE", "two\nthree\n\n") + "_PID=3\n\n",
		"MESSAGE=after a restart\n\n", "broken\n",
	} {
		conn, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, stream); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	deadline := time.Now().Add(5 * time.Second)
	for len(sink.messages(report.Serial)) < 4 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	l.Close()
	<-ended
	got := sink.messages(report.Serial)
	slices.Sort(got)
	if len(got) != 4 || !slices.Equal(got[:3], []string{
		"web|[    0.000000] unknown: after a restart", "web|[    0.000000] unknown[3]: three", "web|[    0.000000] unknown[3]: two",
	}) || !strings.HasPrefix(got[3], "web|[    2.") || !strings.HasSuffix(got[3], "] a: one") {
		t.Errorf("events %q", got)
	}
}

func TestFollowErrors(t *testing.T) {
	t.Parallel()
	var sink recorder
	followErrors(&sink, "web", strings.NewReader("bash: \x1b[31mno\x1b[0m\n\nlast"))
	if got := sink.messages(report.Serial); !slices.Equal(got, []string{"web|bash: no", "web|", "web|last"}) {
		t.Errorf("events %q", got)
	}
}

func TestNotifyFields(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]map[string]string{
		"":                                   {},
		"READY=1":                            {"READY": "1"},
		"READY=1\nSTATUS=a = b\nX_EMPTY=\n":  {"READY": "1", "STATUS": "a = b", "X_EMPTY": ""},
		"no field\n\nREADY=0\nREADY=1":       {"READY": "1"},
		"X_SYSTEMD_UNIT_ACTIVE=basic.target": {"X_SYSTEMD_UNIT_ACTIVE": "basic.target"},
	} {
		if diff := cmp.Diff(want, notifyFields([]byte(data))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", data, diff)
		}
	}
}
