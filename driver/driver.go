// Package driver runs one test: it makes the networks, starts the machines
// when the test's Python script asks for them, does what the script tells
// them to do, and takes everything down again.
//
// The order of a run, each step undone in reverse at its end:
//
//	cgroup    our own subtree, a leaf for us, later one for each machine
//	vlan      a network namespace with a bridge for each VLAN
//	rpc       a socket that answers the script's side (see docs/protocol.md)
//	script    python3 in the namespace of the VLANs
//	machines  as the script starts them
//
// A machine's state is kept by [machine]; one of its boots by [life].
package driver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nestbox/nestbox/cgroup"
	"github.com/nestbox/nestbox/report"
	"github.com/nestbox/nestbox/sandbox"
	"github.com/nestbox/nestbox/spec"
	"github.com/nestbox/nestbox/vlan"
)

// Outcomes of a run that are not the environment's fault.
var (
	// ErrTestFailed is returned when the script did not pass.
	ErrTestFailed = errors.New("the test failed")
	// ErrScript is the [ErrTestFailed] of a script that said itself, in the
	// log, what went wrong.
	ErrScript = fmt.Errorf("%w: the script raised", ErrTestFailed)
	// ErrTimeout is the cause of the end of a run that took longer than the
	// test's global timeout.
	ErrTimeout = errors.New("the global timeout passed")
)

// Options say what to run and where.
type Options struct {
	Test *spec.Test
	// OutDir is where the script's copies land; it must exist.
	OutDir string
	// TmpDir holds the machines' state directories and the shared directory.
	TmpDir string
	// KeepState keeps a machine's state directory of an earlier run.
	KeepState bool
	// Interactive gives a Python prompt instead of running the script.
	Interactive bool
	// Python is the interpreter; PythonDir holds the script's side of the
	// driver, or is empty for the one that is built in.
	Python    string
	PythonDir string
	LogLevel  string
	Sink      report.Sink
	// Serial switches the printing of machines' consoles, for the script.
	Serial func(on bool)
}

// Driver is a run under way.
type Driver struct {
	opts     Options
	sink     report.Sink
	steps    report.Steps
	runDir   string
	store    string // the Nix store as machines get it; empty: there is none
	tree     *cgroup.Tree
	network  *vlan.Switch
	runtime  *sandbox.Runtime
	machines map[string]*machine
	ordered  []*machine // by name
	finished chan verdict
}

// verdict is the script's own word on how it went.
type verdict struct {
	passed bool
}

// Run runs the test to its end and leaves nothing behind but the state
// directories. It returns nil if the script passed, [ErrTestFailed],
// [ErrTimeout], ctx's cause, or an error that tells what could not be set up;
// errors of the teardown are joined to it.
func Run(ctx context.Context, opts Options) (err error) {
	d := newDriver(opts)
	var undo undoStack
	defer func() {
		err = errors.Join(err, undo.run())
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, opts.Test.GlobalTimeout, ErrTimeout)
	defer cancel()

	if err := d.setUp(&undo); err != nil {
		return err
	}
	server, err := d.listen(ctx)
	if err != nil {
		return err
	}
	undo.add(server.close)
	undo.add(d.releaseAll)
	for _, m := range d.ordered {
		go m.prepare()
	}
	script, err := d.startScript(server.path)
	if err != nil {
		return err
	}
	undo.add(script.stop)
	return d.judge(ctx, script)
}

func newDriver(opts Options) *Driver {
	return &Driver{opts: opts, sink: opts.Sink, machines: map[string]*machine{}, finished: make(chan verdict, 1)}
}

// setUp makes what is there before the first machine.
func (d *Driver) setUp(undo *undoStack) error {
	var err error
	if d.runDir, err = os.MkdirTemp(d.opts.TmpDir, ".nestbox-"); err != nil {
		return fmt.Errorf("making the run's directory: %w", err)
	}
	undo.add(func() error {
		// Never through a mount that could not be undone.
		if err := sandbox.NothingMounted(d.runDir); err != nil {
			return err
		}
		return os.RemoveAll(d.runDir)
	})
	// To move processes is a matter of milliseconds that the kernel spends
	// waiting, so the rest goes on meanwhile.
	owned := make(chan error, 1)
	go func() {
		var err error
		d.tree, err = cgroup.Own(sandbox.CgroupMount)
		owned <- err
	}()
	err = d.setUpPlaces(undo)
	if ownErr := <-owned; ownErr != nil {
		return errors.Join(err, fmt.Errorf("%w: %w", sandbox.ErrUnfit, ownErr))
	}
	undo.add(d.tree.Close)
	if err != nil {
		return err
	}
	d.warnOfLimits()
	d.warnOfInotify()
	return nil
}

// setUpPlaces makes the store, the networks and the directories of machines.
func (d *Driver) setUpPlaces(undo *undoStack) error {
	var err error
	if d.runtime, err = sandbox.NewRuntime(d.runDir); err != nil {
		return err
	}
	undo.add(d.runtime.Close)
	if _, err := os.Stat(storeDir); err == nil {
		d.store = filepath.Join(d.runDir, "store")
		release, err := sandbox.BindReadOnly(storeDir, d.store)
		if err != nil {
			return fmt.Errorf("%w: %w", sandbox.ErrUnfit, err)
		}
		undo.add(release)
	}
	if d.network, err = vlan.NewSwitch(); err != nil {
		return fmt.Errorf("%w: %w", sandbox.ErrUnfit, err)
	}
	undo.add(d.network.Close)
	for _, n := range d.opts.Test.VLANs {
		if err := d.network.AddVLAN(n); err != nil {
			return err
		}
	}
	shared := filepath.Join(d.opts.TmpDir, "shared-xchg")
	if err := os.MkdirAll(shared, 0o700); err != nil {
		return fmt.Errorf("making the shared directory: %w", err)
	}
	for _, m := range d.opts.Test.Machines() {
		mach, err := d.newMachine(m, shared)
		if err != nil {
			return err
		}
		d.machines[m.Name] = mach
		d.ordered = append(d.ordered, mach)
	}
	return nil
}

// warnOfLimits says once which limits can't be held.
func (d *Driver) warnOfLimits() {
	asked := map[string]bool{}
	for _, m := range d.opts.Test.Machines() {
		asked["memory"] = asked["memory"] || m.Limits.Memory > 0
		asked["cpu"] = asked["cpu"] || m.Limits.CPUs > 0
		asked["pids"] = asked["pids"] || m.Limits.PIDs > 0
	}
	missing := slices.DeleteFunc(d.tree.Missing(), func(c string) bool { return !asked[c] })
	if len(missing) > 0 {
		d.log(report.Warning, "", "limits without effect: this sandbox was given no cgroup controller for "+strings.Join(missing, ", "))
	}
}

// instancesEach is how many inotify instances a machine's systemd and journald
// hold at the most, at boot.
const instancesEach = 5

// warnOfInotify says when the host's limit of inotify instances is too low for
// the machines of the test, whose units would fail in odd ways. It is charged
// to one user of the host for all of them, through every user namespace, and
// can't be raised from inside.
func (d *Driver) warnOfInotify() {
	data, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances")
	if err != nil {
		return
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(data)))
	need := instancesEach * len(d.ordered)
	if err != nil || need <= limit {
		return
	}
	d.log(report.Warning, "", fmt.Sprintf(
		"%d machines may need %d inotify instances and this host allows %d in all: units may fail with \"Too many open files\"; set fs.inotify.max_user_instances = 524288 on the host (sysctl.d(5))",
		len(d.ordered), need, limit))
}

// judge waits for the end of the script, or of our patience.
func (d *Driver) judge(ctx context.Context, s *script) error {
	select {
	case v := <-d.finished:
		return d.conclude(ctx, s, v)
	case <-s.done:
	case <-ctx.Done():
		return d.cutShort(ctx)
	}
	select {
	case v := <-d.finished:
		return d.conclude(ctx, s, v)
	default:
		// It never said how it went: killed, or os._exit in the script.
		if s.err == nil {
			return fmt.Errorf("%w: the script's process ended without finishing the script", ErrTestFailed)
		}
		return fmt.Errorf("%w: the script's process ended early: %w", ErrTestFailed, s.err)
	}
}

// conclude ends the machines, which nobody needs any more, while the script's
// process ends by itself.
func (d *Driver) conclude(ctx context.Context, s *script, v verdict) error {
	released, left := make(chan error, 1), make(chan error, 1)
	go func() { released <- d.releaseAll() }()
	go func() { left <- d.leave() }()
	var err error
	select {
	case <-s.done:
		switch {
		case !v.passed:
			err = ErrScript
		case s.err != nil:
			err = fmt.Errorf("%w: the script passed, but then its process ended: %w", ErrTestFailed, s.err)
		}
	case <-ctx.Done():
		err = d.cutShort(ctx)
	}
	return errors.Join(err, <-released, <-left)
}

// leave takes us out of the cgroup that is ours for the run, if there is one.
func (d *Driver) leave() error {
	if d.tree == nil {
		return nil
	}
	return d.tree.Leave()
}

// cutShort says why the run ends before the script.
func (d *Driver) cutShort(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, ErrTimeout) {
		d.log(report.Error, "", fmt.Sprintf("timeout reached; test terminating... (the whole test may take %s, see globalTimeout)", d.opts.Test.GlobalTimeout))
	}
	return cause
}

func (d *Driver) log(level report.Level, machine, text string) {
	d.sink.Event(report.Event{Kind: report.Log, Level: level, Machine: machine, Message: text})
}

// undoStack holds what is to be undone, in reverse, all of it.
type undoStack struct{ steps []func() error }

func (u *undoStack) add(f func() error) { u.steps = append(u.steps, f) }

func (u *undoStack) run() error {
	var errs []error
	for i := len(u.steps) - 1; i >= 0; i-- {
		errs = append(errs, u.steps[i]())
	}
	u.steps = nil
	return errors.Join(errs...)
}
