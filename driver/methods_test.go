package driver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nestbox/nestbox/agent"
	"github.com/nestbox/nestbox/spec"
)

func TestSeconds(t *testing.T) {
	t.Parallel()
	number := func(f float64) *float64 { return &f }
	const forEver = time.Duration(1 << 62)
	for _, test := range []struct {
		in               *float64
		seconds, timeout time.Duration
	}{
		{nil, 0, 0},
		{number(0), 0, time.Millisecond},
		{number(-5), -5 * time.Second, time.Millisecond},
		{number(1.5), 1500 * time.Millisecond, 1500 * time.Millisecond},
		{number(900), 15 * time.Minute, 15 * time.Minute},
		{number(1e-12), 1, 1},
		{number(1e300), forEver, forEver},
	} {
		if got := seconds(test.in); got != test.seconds {
			t.Errorf("seconds(%v) = %s, want %s", test.in, got, test.seconds)
		}
		if got := (call{params: params{Timeout: test.in}}).timeout(); got != test.timeout {
			t.Errorf("timeout of %v = %s, want %s", test.in, got, test.timeout)
		}
	}
}

func TestShorter(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ a, b, want time.Duration }{{0, 5, 5}, {3, 5, 3}, {7, 5, 5}, {-1, 5, 5}} {
		if got := shorter(test.a, test.b); got != test.want {
			t.Errorf("shorter(%d, %d) = %d", test.a, test.b, got)
		}
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		dir, path string
		want      bool
	}{
		{"/out", "/out", true}, {"/out", "/out/", true}, {"/out", "/out/a/b", true}, {"/out", "/out/a/../b", true},
		{"/out", "/out/..a", true}, {"/out/", "/out/a", true},
		{"/out", "/", false}, {"/out", "/outside", false}, {"/out", "/out/..", false}, {"/out", "/out/../x", false},
		{"/out", "/out/a/../../x", false}, {"/out", "relative", false}, {"/out", "", false},
	} {
		if got := within(test.dir, test.path); got != test.want {
			t.Errorf("within(%q, %q) = %v", test.dir, test.path, got)
		}
	}
}

// web is a caller and a machine of that name that lives.
func web(t *testing.T) (*Driver, *caller) {
	t.Helper()
	d, _ := driverOf(t, &spec.Machine{Name: "web", Kind: spec.KindContainer})
	alive(t, d.machines["web"])
	return d, dial(t, serverOf(t, d))
}

func TestExecute(t *testing.T) {
	t.Parallel()
	_, c := web(t)
	large := "head -c 3000000 /dev/zero | tr '\\\\0' x"
	for _, test := range []struct{ params, out, want string }{
		{`"command":"echo a; echo b >&2; exit 3"`, "a\n", `{"result":{"status":3}}`},
		{`"command":"printf '\\000\\377'"`, "\x00\xff", `{"result":{"status":0}}`},
		{`"command":"` + large + `","timeout":null`, strings.Repeat("x", 3000000), `{"result":{"status":0}}`},
		{`"command":"echo a; sleep 46","timeout":0.5`, "a\n", `{"result":{"status":124}}`},
		{`"command":"sleep 46","timeout":0`, "", `{"result":{"status":124}}`},
		{`"command":"sleep 46","timeout":-1`, "", `{"result":{"status":124}}`},
		{`"command":"sleep 1","check_output":false`, "", `{"result":{"status":-2}}`},
		{`"command":"echo a; exit 3","check_return":false`, "a\n", `{"result":{"status":-1}}`},
		{`"command":"exit 4","check_return":true,"check_output":true`, "", `{"result":{"status":4}}`},
	} {
		out, line := c.call("machine.execute", `{"machine":"web",`+test.params+`}`)
		if out != test.out || line != test.want {
			t.Errorf("%.60s: %s and %.40q, want %s", test.params, line, out, test.want)
		}
	}
}

// A wait is over when it is done, when its own time is up, or, for now, when
// its slice is.
func TestWaits(t *testing.T) {
	t.Parallel()
	_, c := web(t)
	missing := filepath.Join(t.TempDir(), "missing")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	for _, test := range []struct{ method, params, want string }{
		{"wait_for_file", `"path":"/etc/passwd","timeout":10`, `{"result":null}`},
		{"wait_for_file", `"path":"/etc/passwd"`, `{"result":null}`},
		{"wait_for_file", `"path":"/etc/passwd","timeout":10,"slice":5`, `{"result":null}`},
		{"wait_for_file", `"path":"` + missing + `","timeout":10,"slice":0.1`, `{"result":{"pending":true}}`},
		{"wait_for_file", `"path":"` + missing + `","slice":0.1`, `{"result":{"pending":true}}`},
		{"wait_for_file", `"path":"` + missing + `","timeout":0.1,"slice":5`, "assertion|action timed out after 0.|(timeout=0.1): timed out; last seen: stat " + missing},
		{"wait_for_file", `"path":"` + missing + `","timeout":0.1`, "assertion|action timed out"},
		{"wait_for_open_port", `"addr":"127.0.0.1","port":` + port + `,"timeout":10`, `{"result":null}`},
		{"wait_for_closed_port", `"addr":"127.0.0.1","port":` + port + `,"timeout":0.1`, "assertion|127.0.0.1:" + port + " accepts connections"},
		{"wait_for_open_port", `"addr":"127.0.0.1","port":1,"timeout":0.1`, "assertion|connection refused"},
		{"wait_for_open_unix_socket", `"addr":"` + missing + `","timeout":0.1`, "assertion|no such file"},
		{"wait_for_unit", `"unit":"","timeout":1`, "assertion|no unit name given"},
		{"wait_until_succeeds", `"command":"echo a","timeout":10`, `{"result":{"status":0}}`},
		{"wait_until_fails", `"command":"echo a; exit 3","timeout":10`, `{"result":{"status":3}}`},
		{"wait_until_succeeds", `"command":"echo a; exit 3","timeout":0.7`, "assertion|last seen: exit status 3"},
		{"wait_until_succeeds", `"command":"echo a; exit 3","timeout":30,"slice":0.7`, `{"result":{"pending":true}}`},
	} {
		out, line := c.call("machine."+test.method, `{"machine":"web",`+test.params+`}`)
		if strings.HasPrefix(test.want, "{") {
			if line != test.want {
				t.Errorf("%s(%s) = %s, want %s", test.method, test.params, line, test.want)
			}
		} else {
			checkError(t, test.method+" "+test.params, line, test.want)
		}
		if wanted := strings.HasPrefix(test.method, "wait_until"); wanted != (out == "a\n") {
			t.Errorf("%s(%s): output %q", test.method, test.params, out)
		}
	}
}

// checkError looks for an error of a kind, with phrases, all divided by bars.
func checkError(t *testing.T, what, line, want string) {
	t.Helper()
	kind, phrases, _ := strings.Cut(want, "|")
	var got struct{ Error errorBody }
	if err := json.Unmarshal([]byte(line), &got); err != nil || got.Error.Kind != kind {
		t.Errorf("%s = %s, want an error of kind %s", what, line, kind)
	}
	for phrase := range strings.SplitSeq(phrases, "|") {
		if !strings.Contains(got.Error.Message, phrase) {
			t.Errorf("%s: error %q, want it to mention %q", what, got.Error.Message, phrase)
		}
	}
}

// A machine that went down meanwhile is said to be the reason.
func TestGoneMachine(t *testing.T) {
	t.Parallel()
	d, _ := driverOf(t, &spec.Machine{Name: "web", Kind: spec.KindContainer})
	m := d.machines["web"]
	alive(t, m)
	m.life.ct.Agent = &agent.Client{Dial: func(context.Context) (net.Conn, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.life != nil { // the end of this life, as it is noticed
			close(m.life.gone)
			m.life = nil
			m.released = true
		}
		return nil, errors.New("connection refused")
	}}
	l := m.life
	c := dial(t, serverOf(t, d))
	for method, want := range map[string]string{
		"machine.execute":       `machine|machine "web" went down while a command ran: `,
		"machine.wait_for_file": `machine|machine "web" went down during the wait: `,
	} {
		m.mu.Lock()
		m.life, l.gone = l, make(chan struct{})
		m.mu.Unlock()
		_, line := c.call(method, `{"machine":"web","command":"true","path":"/x"}`)
		checkError(t, method, line, want)
		_, line = c.call(method, `{"machine":"web","command":"true","path":"/x"}`)
		checkError(t, method+" afterwards", line, `machine|starting machine "web": the run is over`)
	}
	m.mu.Lock()
	m.life, l.gone = l, make(chan struct{})
	m.mu.Unlock()
	if _, line := c.call("machine.execute", `{"machine":"web","command":"poweroff","check_return":false}`); line != `{"result":{"status":-1}}` {
		t.Errorf("a command whose end does not matter: %s", line)
	}
}

func TestCopyFromMachine(t *testing.T) {
	t.Parallel()
	d, c := web(t)
	source := t.TempDir() + "/file"
	if err := os.WriteFile(source, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := d.opts.OutDir
	for _, test := range []struct{ source, into, lands string }{
		{source, "", out + "/file"},
		{source, "a/b", out + "/a/b/file"},
		{source, "..a", out + "/..a/file"},
		{source, ".", out + "/file"},
		{source, out + "/abs", out + "/abs/file"},
		{filepath.Dir(source) + "/", "tree", out + "/tree/" + filepath.Base(filepath.Dir(source)) + "/file"},
		{source, "..", ""}, {source, "a/../../x", ""}, {source, "/tmp", ""}, {source, out + "/../x", ""}, {source, out + "x", ""},
		{"", "", ""}, {"/", "", ""}, {"..", "", ""}, {"/etc/..", "", ""}, {"/etc/.", "", ""},
	} {
		_, line := c.call("machine.copy_from_machine", fmt.Sprintf(`{"machine":"web","source":%q,"target_dir":%q}`, test.source, test.into))
		if test.lands == "" {
			checkError(t, test.source+" into "+test.into, line, `value|from machine "web": `)
			continue
		}
		if got, err := os.ReadFile(test.lands); line != `{"result":null}` || string(got) != "content" {
			t.Errorf("%s into %q: %s, %v", test.source, test.into, line, err)
		}
		os.RemoveAll(test.lands)
	}
	_, line := c.call("machine.copy_from_machine", `{"machine":"web","source":"/nowhere/file"}`)
	checkError(t, "a missing file", line, `assertion|copying from "/nowhere/file"|no such file`)
}

func TestCopyFromHost(t *testing.T) {
	t.Parallel()
	_, c := web(t)
	dir := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(dir+"/into", 0o755), os.WriteFile(dir+"/file", []byte("content"), 0o600), os.Symlink("file", dir+"/link"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ source, target, lands string }{
		{dir + "/file", dir + "/new/name", dir + "/new/name"},
		{dir + "/file", dir + "/into", dir + "/into/file"},
		{dir + "/link", dir + "/into", dir + "/into/link"}, // as cp does, by the name given
	} {
		_, line := c.call("machine.copy_from_host", fmt.Sprintf(`{"machine":"web","source":%q,"target":%q}`, test.source, test.target))
		if got, err := os.ReadFile(test.lands); line != `{"result":null}` || string(got) != "content" {
			t.Errorf("%s to %s: %s, %v", test.source, test.target, line, err)
		}
	}
	_, line := c.call("machine.copy_from_host", `{"machine":"web","source":"/nowhere","target":"/tmp/x"}`)
	checkError(t, "a missing file", line, `value|copying to machine "web": |no such file`)
}

func TestConsoleLog(t *testing.T) {
	t.Parallel()
	d, c := web(t)
	d.machines["web"].console.follow(strings.NewReader("\x1b[1mWelcome\r\n"))
	if out, line := c.call("machine.console_log", `{"machine":"web"}`); out != "Welcome\n" || line != `{"result":null}` {
		t.Errorf("console log %q, %s", out, line)
	}
	if _, line := c.call("machine.is_up", `{"machine":"web"}`); line != `{"result":true}` {
		t.Errorf("is_up = %s", line)
	}
}
