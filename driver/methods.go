package driver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nestbox/nestbox/agent"
	"github.com/nestbox/nestbox/report"
)

// params are the parameters of all methods; each takes those it knows.
type params struct {
	Machine  string   `json:"machine"`
	Timeout  *float64 `json:"timeout"` // seconds
	Slice    *float64 `json:"slice"`   // seconds
	Command  string   `json:"command"`
	Return   *bool    `json:"check_return"`
	Output   *bool    `json:"check_output"`
	Unit     string   `json:"unit"`
	User     string   `json:"user"`
	Path     string   `json:"path"`
	Addr     string   `json:"addr"`
	Port     int      `json:"port"`
	Datagram bool     `json:"is_datagram"`
	Again    bool     `json:"reconnect"`
	Source   string   `json:"source"`
	Target   string   `json:"target"`
	Into     string   `json:"target_dir"`

	Message string `json:"message"`
	Level   string `json:"level"`
	ID      int64  `json:"id"`
	Subtest bool   `json:"subtest"`
	Failed  bool   `json:"failed"`
	On      bool   `json:"on"`
	Status  string `json:"status"`
}

// call is one call under way.
type call struct {
	params
	m   *machine
	out io.Writer
}

type method func(ctx context.Context, d *Driver, c call) (any, error)

// testMethods are about the test as a whole, machineMethods about one machine.
func testMethods() map[string]method {
	return map[string]method{
		"hello":         hello,
		"sync":          settle,
		"log":           logLine,
		"nest.begin":    nestBegin,
		"nest.end":      nestEnd,
		"serial_stdout": serialStdout,
		"start_all":     startAll,
		"finished":      finished,
	}
}

func machineMethods() map[string]method {
	return map[string]method{
		"machine.start":                     start,
		"machine.connect":                   connect,
		"machine.is_up":                     isUp,
		"machine.shutdown":                  shutdown,
		"machine.wait_for_shutdown":         waitForShutdown,
		"machine.release":                   release,
		"machine.crash":                     release,
		"machine.reboot":                    reboot,
		"machine.execute":                   execute,
		"machine.wait_for_unit":             waitForUnit,
		"machine.wait_for_file":             waitForFile,
		"machine.wait_for_open_port":        waitForPort(false),
		"machine.wait_for_closed_port":      waitForPort(true),
		"machine.wait_for_open_unix_socket": waitForSocket,
		"machine.wait_until_succeeds":       waitUntil(false),
		"machine.wait_until_fails":          waitUntil(true),
		"machine.console_log":               consoleLog,
		"machine.copy_from_machine":         copyFromMachine,
		"machine.copy_from_host":            copyFromHost,
	}
}

func (s *server) dispatch(ctx context.Context, req request, out io.Writer) (any, error) {
	c := call{out: out}
	if len(req.Params) > 0 {
		if err := json.Unmarshal(req.Params, &c.params); err != nil {
			return nil, &callError{kindValue, fmt.Errorf("%s: %w", req.Method, err)}
		}
	}
	if m, ok := s.methods.test[req.Method]; ok {
		return m(ctx, s.d, c)
	}
	m, ok := s.methods.machine[req.Method]
	if !ok {
		return nil, &callError{kindUnsupported, fmt.Errorf("%s is not supported yet", req.Method)}
	}
	if c.m, ok = s.d.machines[c.Machine]; !ok {
		return nil, &callError{kindValue, fmt.Errorf("there is no machine %q", c.Machine)}
	}
	return m(ctx, s.d, c)
}

func hello(_ context.Context, d *Driver, _ call) (any, error) {
	type machineInfo struct {
		Name   string `json:"name"`
		Kind   string `json:"kind"`
		State  string `json:"state_dir"`
		Shared string `json:"shared_dir"`
	}
	machines := []machineInfo{}
	for _, m := range d.ordered {
		machines = append(machines, machineInfo{m.spec.Name, string(m.spec.Kind), m.stateDir, m.shared})
	}
	vlans := d.opts.Test.VLANs
	if vlans == nil {
		vlans = []int{}
	}
	return map[string]any{
		"machines": machines, "vlans": vlans,
		"out_dir": d.opts.OutDir, "tmp_dir": d.opts.TmpDir, "test_script": d.opts.Test.TestScript,
		"interactive": d.opts.Interactive, "keep_machine_state": d.opts.KeepState,
		"global_timeout": d.opts.Test.GlobalTimeout.Seconds(), "log_level": d.opts.LogLevel,
	}, nil
}

// settle answers when what came before it on the connection is done.
func settle(context.Context, *Driver, call) (any, error) { return nil, nil }

func logLine(_ context.Context, d *Driver, c call) (any, error) {
	e := report.Event{Kind: report.Log, Machine: c.Machine, Message: c.Message, Level: report.Info}
	if c.Level == "test_error" {
		e.Kind = report.TestError
	} else if level, ok := report.ParseLevel(c.Level); ok {
		e.Level = level
	}
	d.sink.Event(e)
	return nil, nil
}

func nestBegin(_ context.Context, d *Driver, c call) (any, error) {
	d.sink.Event(d.steps.Begin(report.Event{ID: c.ID, Machine: c.Machine, Message: c.Message, Subtest: c.Subtest}))
	return nil, nil
}

func nestEnd(_ context.Context, d *Driver, c call) (any, error) {
	if e, ok := d.steps.End(c.ID, c.Failed); ok {
		d.sink.Event(e)
	}
	return nil, nil
}

func serialStdout(_ context.Context, d *Driver, c call) (any, error) {
	if d.opts.Serial != nil {
		d.opts.Serial(c.On)
	}
	return nil, nil
}

func finished(_ context.Context, d *Driver, c call) (any, error) {
	select {
	case d.finished <- verdict{passed: c.Status == "passed"}:
	default: // only the first word counts
	}
	return nil, nil
}

// startAll starts every machine, all at the same time.
func startAll(ctx context.Context, d *Driver, _ call) (any, error) {
	errs := make([]error, len(d.ordered))
	var wait sync.WaitGroup
	for i, m := range d.ordered {
		wait.Go(func() { _, errs[i] = m.start(ctx) })
	}
	wait.Wait()
	return nil, errors.Join(errs...)
}

func start(ctx context.Context, _ *Driver, c call) (any, error) {
	_, err := c.m.start(ctx)
	return nil, err
}

func connect(ctx context.Context, _ *Driver, c call) (any, error) {
	if c.Again {
		return nil, c.m.reconnect(ctx)
	}
	_, err := c.m.connect(ctx)
	return nil, err
}

func reboot(ctx context.Context, _ *Driver, c call) (any, error) { return nil, c.m.reboot(ctx) }

func isUp(_ context.Context, _ *Driver, c call) (any, error) { return c.m.isUp(), nil }

func shutdown(ctx context.Context, _ *Driver, c call) (any, error) { return nil, c.m.shutdown(ctx) }

func waitForShutdown(ctx context.Context, _ *Driver, c call) (any, error) {
	return nil, c.m.waitDown(ctx)
}

func release(_ context.Context, _ *Driver, c call) (any, error) { return nil, c.m.release() }

func execute(ctx context.Context, _ *Driver, c call) (any, error) {
	l, err := c.m.connect(ctx)
	if err != nil {
		return nil, err
	}
	if c.Output != nil && !*c.Output {
		return status(-2), l.ct.Agent.Detach(ctx, c.Command)
	}
	code, err := l.ct.Agent.Exec(ctx, c.Command, c.timeout(), c.out)
	if c.Return != nil && !*c.Return {
		// The command may well have taken the machine down.
		if errors.Is(err, agent.ErrGone) {
			err = nil
		}
		return status(-1), err
	}
	if errors.Is(err, agent.ErrGone) {
		err = fmt.Errorf("machine %q went down while a command ran: %w", c.Machine, err)
	}
	return status(code), err
}

func status(code int) any { return map[string]int{"status": code} }

func waitForUnit(ctx context.Context, _ *Driver, c call) (any, error) {
	return c.wait(ctx, func(l *life, t time.Duration) error {
		if c.User == "" && strings.HasSuffix(c.Unit, ".target") {
			started := time.Now()
			l.awaitTarget(ctx, c.Unit, shorter(t, announceTime))
			if t > 0 {
				t = max(time.Millisecond, t-time.Since(started))
			}
		}
		return l.ct.Agent.WaitUnit(ctx, c.Unit, c.User, t)
	})
}

func waitForFile(ctx context.Context, _ *Driver, c call) (any, error) {
	return c.wait(ctx, func(l *life, t time.Duration) error { return l.ct.Agent.WaitFile(ctx, c.Path, t) })
}

func waitForPort(closed bool) method {
	return func(ctx context.Context, _ *Driver, c call) (any, error) {
		return c.wait(ctx, func(l *life, t time.Duration) error { return l.ct.Agent.WaitPort(ctx, c.Addr, c.Port, closed, t) })
	}
}

func waitForSocket(ctx context.Context, _ *Driver, c call) (any, error) {
	return c.wait(ctx, func(l *life, t time.Duration) error { return l.ct.Agent.WaitSocket(ctx, c.Addr, c.Datagram, t) })
}

func waitUntil(fails bool) method {
	return func(ctx context.Context, _ *Driver, c call) (any, error) {
		var code int
		pending, err := c.wait(ctx, func(l *life, t time.Duration) (err error) {
			code, err = l.ct.Agent.Until(ctx, c.Command, fails, t, c.out)
			return err
		})
		if pending != nil || err != nil {
			return pending, err
		}
		return status(code), nil
	}
}

// wait connects and runs op with the time that is left. With a slice shorter
// than that, running out of it is no error but "pending", so that the script's
// side can look at its polling conditions and come back. A machine that
// reboots meanwhile is waited for in its next life.
func (c call) wait(ctx context.Context, op func(*life, time.Duration) error) (any, error) {
	timeout, sliced := c.timeout(), false
	if slice := seconds(c.Slice); slice > 0 && (timeout == 0 || slice < timeout) {
		timeout, sliced = slice, true
	}
	started := time.Now()
	left := timeout
	for {
		l, err := c.m.connect(ctx)
		if err != nil {
			return nil, err
		}
		err = op(l, left)
		var failed *agent.Failure
		switch {
		case errors.As(err, &failed) && failed.TimedOut && sliced:
			return map[string]bool{"pending": true}, nil
		case errors.As(err, &failed) && failed.TimedOut:
			return nil, &callError{kindAssertion, fmt.Errorf("action timed out after %.2f seconds (timeout=%g): %w", time.Since(started).Seconds(), timeout.Seconds(), err)}
		case errors.Is(err, agent.ErrGone) && c.m.reborn(ctx, l):
			if timeout > 0 {
				left = max(time.Millisecond, timeout-time.Since(started))
			}
		case errors.Is(err, agent.ErrGone):
			return nil, fmt.Errorf("machine %q went down during the wait: %w", c.Machine, err)
		default:
			return nil, err
		}
	}
}

// shorter is the shorter of two bounds, of which 0 is none.
func shorter(a, b time.Duration) time.Duration {
	if a > 0 && a < b {
		return a
	}
	return b
}

// timeout is the call's bound; 0 is none. A bound of zero or less has passed
// already, which the shortest one comes nearest to.
func (c call) timeout() time.Duration {
	if c.Timeout != nil && *c.Timeout <= 0 {
		return time.Millisecond
	}
	return seconds(c.Timeout)
}

func seconds(s *float64) time.Duration {
	if s == nil || *s == 0 {
		return 0
	}
	const most = float64(1<<62) / float64(time.Second)
	d := time.Duration(min(*s, most) * float64(time.Second))
	if d == 0 {
		return 1 // next to nothing is not "without bound"
	}
	return d
}

func consoleLog(_ context.Context, _ *Driver, c call) (any, error) {
	_, err := c.out.Write(c.m.console.text())
	return nil, err
}

// copyFromMachine copies into the output directory, never outside of it.
func copyFromMachine(ctx context.Context, d *Driver, c call) (any, error) {
	name := filepath.Base(c.Source)
	if c.Source == "" || name == "/" || name == "." || name == ".." {
		return nil, &callError{kindValue, fmt.Errorf("copying %q from machine %q: it names no file", c.Source, c.Machine)}
	}
	target := filepath.Join(d.opts.OutDir, c.Into, name)
	if !filepath.IsLocal(c.Into) && c.Into != "" && !within(d.opts.OutDir, c.Into) {
		return nil, &callError{kindValue, fmt.Errorf("copying %q from machine %q: target_dir %q leads out of the output directory", c.Source, c.Machine, c.Into)}
	}
	if filepath.IsAbs(c.Into) {
		target = filepath.Join(c.Into, name)
	}
	l, err := c.m.connect(ctx)
	if err != nil {
		return nil, err
	}
	return nil, l.ct.Agent.Fetch(ctx, c.Source, target)
}

// within reports whether path is dir or below it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

func copyFromHost(ctx context.Context, _ *Driver, c call) (any, error) {
	if _, err := os.Stat(c.Source); err != nil {
		return nil, &callError{kindValue, fmt.Errorf("copying to machine %q: %w", c.Machine, err)}
	}
	l, err := c.m.connect(ctx)
	if err != nil {
		return nil, err
	}
	return nil, l.ct.Agent.Send(ctx, c.Source, c.Target)
}
