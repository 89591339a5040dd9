package driver

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/nestbox/nestbox/agent"
	"github.com/nestbox/nestbox/report"
	"github.com/nestbox/nestbox/sandbox"
	"github.com/nestbox/nestbox/spec"
)

// driverOf is a driver of machines that exist on paper only.
func driverOf(t *testing.T, machines ...*spec.Machine) (*Driver, *recorder) {
	t.Helper()
	sink := &recorder{}
	d := newDriver(Options{
		Sink: sink, OutDir: t.TempDir(), TmpDir: t.TempDir(), LogLevel: "info",
		Test: &spec.Test{VLANs: []int{1, 2}, GlobalTimeout: 90 * time.Second, TestScript: "/script.py"},
	})
	d.runDir = shortDir(t)
	for _, m := range machines {
		mach, err := d.newMachine(m, "/shared")
		if err != nil {
			t.Fatal(err)
		}
		d.machines[m.Name] = mach
		d.ordered = append(d.ordered, mach)
	}
	return d, sink
}

// alive gives a machine a life that is ready, with a real agent, in this
// process, that works on this system.
func alive(t *testing.T, m *machine) {
	t.Helper()
	l, err := net.Listen("unix", shortDir(t)+"/agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { _ = agent.NewServer().Serve(l) }()
	m.life = newLife(m, &sandbox.Container{Agent: agent.DialUnix(l.Addr().String())}, nil)
	m.life.once.Do(func() { close(m.life.up) })
}

// caller is the script's side, reduced to its bytes.
type caller struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func serverOf(t *testing.T, d *Driver) *server {
	t.Helper()
	s, err := d.listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	return s
}

func dial(t *testing.T, s *server) *caller {
	t.Helper()
	conn, err := net.Dial("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &caller{t, conn, bufio.NewReader(conn)}
}

func (c *caller) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// reply reads chunks and a reply, as docs/protocol.md has them.
func (c *caller) reply() (output, line string) {
	c.t.Helper()
	for {
		text, err := c.in.ReadString('\n')
		if err != nil {
			c.t.Fatalf("reading a reply: %v after %q", err, text)
		}
		var head struct{ Chunk *int }
		if err := json.Unmarshal([]byte(text), &head); err != nil {
			c.t.Fatalf("a reply that is no JSON: %q", text)
		}
		if head.Chunk == nil {
			return output, strings.TrimSuffix(text, "\n")
		}
		data := make([]byte, *head.Chunk)
		if _, err := io.ReadFull(c.in, data); err != nil {
			c.t.Fatal(err)
		}
		output += string(data)
	}
}

// call makes a call with params in JSON.
func (c *caller) call(method, params string) (output, line string) {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"method":%q,"params":%s}`+"\n", method, params))
	return c.reply()
}

func TestReplies(t *testing.T) {
	t.Parallel()
	d, _ := driverOf(t, &spec.Machine{Name: "web", Kind: spec.KindContainer}, &spec.Machine{Name: "vm", Kind: spec.KindVM})
	c := dial(t, serverOf(t, d))
	for _, test := range []struct{ method, params, want string }{
		{"sync", `{}`, `{"result":null}`},
		{"sync", `null`, `{"result":null}`},
		{"machine.is_up", `{"machine":"web"}`, `{"result":false}`},
		{"machine.wait_for_shutdown", `{"machine":"web"}`, `{"result":null}`},
		{"machine.shutdown", `{"machine":"web"}`, `{"result":null}`},
		{"machine.crash", `{"machine":"web"}`, `{"result":null}`},
		{"machine.is_up", `{"machine":"db"}`, `{"error":{"kind":"value","message":"there is no machine \"db\""}}`},
		{"machine.is_up", `{}`, `{"error":{"kind":"value","message":"there is no machine \"\""}}`},
		{"machine.screenshot", `{"machine":"web"}`, `{"error":{"kind":"unsupported","message":"machine.screenshot is not supported yet"}}`},
		{"", `{}`, `{"error":{"kind":"unsupported","message":" is not supported yet"}}`},
		{"machine.start", `{"machine":"vm"}`, `{"error":{"kind":"machine","message":"machine \"vm\" is a VM: QEMU machines are not supported yet"}}`},
		{"machine.copy_from_machine", `{"machine":"web","source":"/"}`,
			`{"error":{"kind":"value","message":"copying \"/\" from machine \"web\": it names no file"}}`},
	} {
		if _, got := c.call(test.method, test.params); got != test.want {
			t.Errorf("%s(%s) = %s, want %s", test.method, test.params, got, test.want)
		}
	}
	if _, got := c.call("machine.execute", `{"machine":["web"]}`); !strings.Contains(got, `"kind":"value"`) || !strings.Contains(got, "machine.execute: ") {
		t.Errorf("parameters of a wrong type: %s", got)
	}
}

func TestHello(t *testing.T) {
	t.Parallel()
	d, _ := driverOf(t, &spec.Machine{Name: "db", Kind: spec.KindContainer}, &spec.Machine{Name: "web", Kind: spec.KindVM})
	_, line := dial(t, serverOf(t, d)).call("hello", "{}")
	var got struct{ Result map[string]any }
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"machines": []any{
			map[string]any{"name": "db", "kind": "container", "state_dir": d.opts.TmpDir + "/vm-state-db", "shared_dir": "/shared"},
			map[string]any{"name": "web", "kind": "vm", "state_dir": d.opts.TmpDir + "/vm-state-web", "shared_dir": "/shared"},
		},
		"vlans": []any{1.0, 2.0}, "out_dir": d.opts.OutDir, "tmp_dir": d.opts.TmpDir, "test_script": "/script.py",
		"interactive": false, "keep_machine_state": false, "global_timeout": 90.0, "log_level": "info",
	}
	if fmt.Sprint(got.Result) != fmt.Sprint(want) {
		t.Errorf("hello = %v, want %v", got.Result, want)
	}
	// No machines and no VLANs are empty lists to the other side, not null.
	d, _ = driverOf(t)
	d.opts.Test.VLANs = nil
	if _, line := dial(t, serverOf(t, d)).call("hello", "{}"); !strings.Contains(line, `"machines":[]`) || !strings.Contains(line, `"vlans":[]`) {
		t.Errorf("hello = %s", line)
	}
}

// What is sent without a wish for an answer is done, in order.
func TestNotifications(t *testing.T) {
	t.Parallel()
	d, sink := driverOf(t)
	var serial []bool
	d.opts.Serial = func(on bool) { serial = append(serial, on) }
	c := dial(t, serverOf(t, d))
	for _, line := range []string{
		`{"method":"log","params":{"message":"hello"},"notify":true}`,
		`{"method":"log","params":{"message":"careful","level":"warning","machine":"web"},"notify":true}`,
		`{"method":"log","params":{"message":"Traceback","level":"test_error"},"notify":true}`,
		`{"method":"nest.begin","params":{"message":"outer","id":1,"subtest":true},"notify":true}`,
		`{"method":"nest.begin","params":{"message":"inner","id":2,"machine":"web"},"notify":true}`,
		`{"method":"nest.end","params":{"id":2},"notify":true}`,
		`{"method":"nest.end","params":{"id":2},"notify":true}`,
		`{"method":"nest.end","params":{"id":1,"failed":true},"notify":true}`,
		`{"method":"no such method","notify":true}`,
		`{"method":"serial_stdout","params":{"on":false},"notify":true}`,
		`{"method":"finished","params":{"status":"failed"},"notify":true}`,
		`{"method":"finished","params":{"status":"passed"},"notify":true}`,
	} {
		c.send(line + "\n")
	}
	if _, line := c.call("sync", "{}"); line != `{"result":null}` {
		t.Errorf("a notification was answered: %s", line)
	}
	var got []string
	for _, e := range sink.list {
		got = append(got, fmt.Sprintf("%d/%d %s|%s sub=%v failed=%v", e.Kind, e.Level, e.Machine, e.Message, e.Subtest, e.Failed))
	}
	want := []string{
		fmt.Sprintf("%d/%d |hello sub=false failed=false", report.Log, report.Info),
		fmt.Sprintf("%d/%d web|careful sub=false failed=false", report.Log, report.Warning),
		fmt.Sprintf("%d/%d |Traceback sub=false failed=false", report.TestError, report.Info),
		fmt.Sprintf("%d/0 |outer sub=true failed=false", report.NestBegin),
		fmt.Sprintf("%d/0 web|inner sub=false failed=false", report.NestBegin),
		fmt.Sprintf("%d/0 web|inner sub=false failed=false", report.NestEnd),
		fmt.Sprintf("%d/0 |outer sub=true failed=true", report.NestEnd),
	}
	if !slices.Equal(got, want) {
		t.Errorf("events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !slices.Equal(serial, []bool{false}) {
		t.Errorf("serial output was switched %v", serial)
	}
	if v := <-d.finished; v.passed {
		t.Error("the last word on the outcome counts, not the first")
	}
}

// A request that is no JSON ends its connection, not the others.
func TestMalformedRequest(t *testing.T) {
	t.Parallel()
	d, sink := driverOf(t)
	s := serverOf(t, d)
	bad, good := dial(t, s), dial(t, s)
	bad.send("{]\n")
	if _, err := bad.in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after a malformed request: %v, want a hang-up", err)
	}
	if got := sink.messages(report.Log); len(got) != 1 || !strings.HasPrefix(got[0], "|the script's side sent a malformed request: ") {
		t.Errorf("log %q", got)
	}
	if _, line := good.call("sync", "{}"); line != `{"result":null}` {
		t.Errorf("on another connection: %s", line)
	}
}

// Requests are of any length, and those of several connections don't wait for
// each other.
func TestConcurrentCalls(t *testing.T) {
	t.Parallel()
	d, _ := driverOf(t, &spec.Machine{Name: "web", Kind: spec.KindContainer})
	alive(t, d.machines["web"])
	s := serverOf(t, d)
	started := time.Now()
	const calls = 10
	var wait sync.WaitGroup
	for i := range calls {
		c := dial(t, s)
		wait.Go(func() {
			pad := strings.Repeat("x", i*40000)
			out, line := c.call("machine.execute", fmt.Sprintf(`{"machine":"web","command":": %s; sleep 0.5; echo %d; exit %d"}`, pad, i, i))
			if out != fmt.Sprintln(i) || line != fmt.Sprintf(`{"result":{"status":%d}}`, i) {
				t.Errorf("call %d: %.100q, %s", i, out, line)
			}
		})
	}
	wait.Wait()
	if took := time.Since(started); took > calls*time.Second/2 {
		t.Errorf("%d calls of half a second took %s", calls, took)
	}
}

// A script that hangs up takes its call with it.
func TestHangUp(t *testing.T) {
	t.Parallel()
	d, _ := driverOf(t, &spec.Machine{Name: "web", Kind: spec.KindContainer})
	alive(t, d.machines["web"])
	s := serverOf(t, d)
	c := dial(t, s)
	c.send(`{"method":"machine.execute","params":{"machine":"web","command":"echo a; sleep 45"}}` + "\n")
	if line, err := c.in.ReadString('\n'); line != "{\"chunk\":2}\n" || err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	c.conn.Close()
	other := dial(t, s)
	other.send(`{"method":"machine.execute","params":{"machine":"web","command":"sleep 45"}}` + "\n")
	closed := make(chan error, 1)
	go func() { closed <- s.close() }() // ends the other call
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("calls go on after the connection is closed")
	}
}

func TestReadLine(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 200000)
	in := bufio.NewReaderSize(iotest.HalfReader(strings.NewReader("a\n\n"+long+"\nrest")), 64<<10)
	var kept [][]byte
	for _, want := range []string{"a\n", "\n", long + "\n"} {
		got, err := readLine(in, maxRequest)
		if string(got) != want || err != nil {
			t.Errorf("readLine = %.40q, %v", got, err)
		}
		kept = append(kept, got)
	}
	if got, err := readLine(in, maxRequest); !errors.Is(err, io.EOF) || string(got) != "rest" {
		t.Errorf("at the end: %q, %v", got, err)
	}
	if string(kept[0]) != "a\n" || string(kept[1]) != "\n" {
		t.Errorf("lines are overwritten by later ones: %q", kept[:2])
	}
}

func TestReadLineWithoutEnd(t *testing.T) {
	t.Parallel()
	line, err := readLine(bufio.NewReaderSize(endless{}, 1<<10), 1<<20)
	if !errors.Is(err, bufio.ErrBufferFull) || len(line) != 1<<20 {
		t.Errorf("readLine = %d bytes, %v", len(line), err)
	}
}

func TestWriteReply(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		result any
		err    error
		want   string
	}{
		{nil, nil, `{"result":null}`},
		{true, nil, `{"result":true}`},
		{status(-2), nil, `{"result":{"status":-2}}`},
		{status(1), errors.New("two\nlines \xff"), `{"error":{"kind":"machine","message":"two\nlines ` + "\ufffd" + `"}}`},
		{nil, &callError{kindValue, errors.New("bad")}, `{"error":{"kind":"value","message":"bad"}}`},
	} {
		var out bytes.Buffer
		if err := writeReply(&out, test.result, test.err); err != nil {
			t.Error(err)
		}
		got := out.String()
		if strings.ReplaceAll(got, `\ufffd`, "\ufffd") != strings.ReplaceAll(test.want, "\n", `\n`)+"\n" {
			t.Errorf("reply %q, want %q", got, test.want)
		}
	}
	if err := writeReply(io.Discard, make(chan int), nil); err == nil {
		t.Error("what can't be encoded was sent")
	}
}

func TestErrorKind(t *testing.T) {
	t.Parallel()
	failure := &agent.Failure{Message: "no"}
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("x"), kindMachine},
		{errDown, kindMachine},
		{agent.ErrGone, kindMachine},
		{failure, kindAssertion},
		{fmt.Errorf("doing: %w", failure), kindAssertion},
		{&callError{kindUnsupported, failure}, kindUnsupported},
		{fmt.Errorf("doing: %w", &callError{kindValue, errors.New("x")}), kindValue},
		{errors.Join(errors.New("x"), failure), kindAssertion},
	} {
		if got := errorKind(test.err); got != test.want {
			t.Errorf("errorKind(%v) = %s, want %s", test.err, got, test.want)
		}
	}
}

func TestChunks(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var want string
	for _, size := range []int{0, 1, 8 << 10, 8<<10 + 1, 1 << 20} {
		data := strings.Repeat("\n", size)
		if n, err := (chunks{&out}).Write([]byte(data)); n != size || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
		if size > 0 {
			want += fmt.Sprintf("{\"chunk\":%d}\n", size) + data
		}
	}
	if out.String() != want {
		t.Errorf("%d bytes sent, want %d", out.Len(), len(want))
	}
	for _, size := range []int{1, 1 << 20} {
		r, w := io.Pipe()
		r.Close()
		if _, err := (chunks{w}).Write(make([]byte, size)); err == nil {
			t.Errorf("%d bytes to nobody are no error", size)
		}
	}
}
