package driver

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nestbox/nestbox/cgroup"
	"github.com/nestbox/nestbox/report"
	"github.com/nestbox/nestbox/spec"
)

// shortDir has a path that leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "driver")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestUsageText(t *testing.T) {
	t.Parallel()
	all := cgroup.Usage{CPU: 1234 * time.Millisecond, Memory: 1, MemoryPeak: 100<<20 + 512<<10, PIDs: 3, PIDsPeak: 42}
	oom := all
	oom.OOMKills = 2
	some := all
	some.Unknown = []string{"memory peak", "pids peak", "memory", "oom kills"}
	none := cgroup.Usage{Unknown: []string{"cpu", "memory", "memory peak", "pids", "pids peak"}}
	for _, test := range []struct {
		usage cgroup.Usage
		want  string
	}{
		{all, "1.23 s of CPU time, 100.5 MiB of memory at the peak, 42 processes at the peak"},
		{oom, "1.23 s of CPU time, 100.5 MiB of memory at the peak, 42 processes at the peak, 2 processes killed for want of memory"},
		{some, "1.23 s of CPU time"},
		{none, ""},
	} {
		if got := usageText(test.usage); got != test.want {
			t.Errorf("usageText(%+v) = %q, want %q", test.usage, got, test.want)
		}
	}
}

func TestUndoStack(t *testing.T) {
	t.Parallel()
	var order []int
	var u undoStack
	first, third := errors.New("first broke"), errors.New("third broke")
	for i, err := range []error{first, nil, third, nil} {
		u.add(func() error { order = append(order, i); return err })
	}
	err := u.run()
	if !slices.Equal(order, []int{3, 2, 1, 0}) {
		t.Errorf("undone in the order %v", order)
	}
	if !errors.Is(err, first) || !errors.Is(err, third) || err.Error() != "third broke\nfirst broke" {
		t.Errorf("run = %v", err)
	}
	if err := u.run(); err != nil || len(order) != 4 {
		t.Errorf("run a second time = %v, %v", err, order)
	}
	u.add(func() error { return first })
	if err := u.run(); !errors.Is(err, first) {
		t.Errorf("run after that = %v", err)
	}
}

// The driver's clock is the one of journald's time stamps.
func TestMonotonicNow(t *testing.T) {
	t.Parallel()
	a := monotonicNow()
	data, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	uptime, err := time.ParseDuration(strings.Fields(string(data))[0] + "s")
	if err != nil {
		t.Fatal(err)
	}
	if b := monotonicNow(); a <= 0 || b < a {
		t.Errorf("%s, then %s", a, b)
	}
	// Uptime counts suspended time too.
	if a > uptime+time.Second {
		t.Errorf("%s after an uptime of %s", a, uptime)
	}
}

func TestNewMachine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, keep := range []bool{true, false} {
		var sink recorder
		d := newDriver(Options{Sink: &sink, TmpDir: dir, KeepState: keep})
		m, err := d.newMachine(&spec.Machine{Name: "web", Notes: []string{"--boot has no meaning here"}}, dir+"/shared")
		if err != nil {
			t.Fatal(err)
		}
		if m.stateDir != dir+"/vm-state-web" {
			t.Errorf("state directory %q", m.stateDir)
		}
		if got := sink.messages(report.Log); !slices.Equal(got, []string{"web|--boot has no meaning here"}) || sink.list[0].Level != report.Debug {
			t.Errorf("said %q", got)
		}
		_, err = os.Stat(m.stateDir + "/kept")
		if keep {
			if err := os.WriteFile(m.stateDir+"/kept", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if m, err := d.newMachine(m.spec, ""); err != nil {
				t.Error(err)
			} else if _, err := os.Stat(m.stateDir + "/kept"); err != nil {
				t.Error("the state was not kept")
			}
		} else if err == nil {
			t.Error("the state was kept")
		}
	}
	d := newDriver(Options{Sink: &recorder{}, TmpDir: "/dev/null"})
	if _, err := d.newMachine(&spec.Machine{Name: "web"}, ""); err == nil || !strings.Contains(err.Error(), `state directory of machine "web"`) {
		t.Errorf("without a place for it: %v", err)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	broke := errors.New("signal: killed")
	for _, test := range []struct {
		name   string
		said   *verdict
		end    error
		want   error // nil: passed
		quiet  bool
		phrase string
	}{
		{"passed", &verdict{true}, nil, nil, false, ""},
		{"raised", &verdict{false}, errors.New("exit status 1"), ErrScript, true, "the script raised"},
		{"passed and killed", &verdict{true}, broke, ErrTestFailed, false, "the script passed, but then its process ended: signal: killed"},
		{"killed", nil, broke, ErrTestFailed, false, "ended early: signal: killed"},
		{"left", nil, nil, ErrTestFailed, false, "ended without finishing the script"},
	} {
		d := newDriver(Options{Sink: &recorder{}})
		if test.said != nil {
			d.finished <- *test.said
		}
		s := &script{done: make(chan struct{}), err: test.end}
		close(s.done)
		err := d.judge(t.Context(), s)
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) || errors.Is(err, ErrScript) != test.quiet {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if err != nil && !strings.Contains(err.Error(), test.phrase) {
			t.Errorf("%s: %v does not say %q", test.name, err, test.phrase)
		}
	}
}
