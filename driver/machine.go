package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nestbox/nestbox/cgroup"
	"github.com/nestbox/nestbox/report"
	"github.com/nestbox/nestbox/sandbox"
	"github.com/nestbox/nestbox/spec"
	"github.com/nestbox/nestbox/vlan"
)

// storeDir is where Nix keeps packages, for the driver as for its machines.
const storeDir = "/nix/store"

// bootDeadline is how long a machine's systemd may take to answer. Existing
// tests wait for units with 15 minutes, so this is no shorter.
const bootDeadline = 15 * time.Minute

// errDown is returned for what needs a running machine.
var errDown = errors.New("the machine is not running")

// machine is a machine of the test, through all its boots.
type machine struct {
	d        *Driver
	spec     *spec.Machine
	stateDir string
	shared   string
	console  *console

	mu      sync.Mutex
	life    *life // nil: down
	next    *life // set up for the next start, up to the point of executing init
	leaf    *cgroup.Machine
	layout  sandbox.Layout
	hostDir string    // what is /run/host in the machine
	laidOut undoStack // undoes layOut

	released bool // the run is over
}

// newMachine makes m's state directory, empty unless it is to be kept.
func (d *Driver) newMachine(m *spec.Machine, shared string) (*machine, error) {
	state := filepath.Join(d.opts.TmpDir, "vm-state-"+m.Name)
	if !d.opts.KeepState {
		if err := os.RemoveAll(state); err != nil {
			return nil, fmt.Errorf("emptying the state directory of machine %q: %w", m.Name, err)
		}
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, fmt.Errorf("making the state directory of machine %q: %w", m.Name, err)
	}
	for _, note := range m.Notes {
		d.log(report.Debug, m.Name, note)
	}
	return &machine{d: d, spec: m, stateDir: state, shared: shared, console: newConsole(d.sink, m.Name)}, nil
}

// start boots the machine if it is down. It does not wait for it to be up.
func (m *machine) start(ctx context.Context) (*life, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life != nil {
		return m.life, nil
	}
	if m.released {
		return nil, fmt.Errorf("starting machine %q: the run is over", m.spec.Name)
	}
	if m.spec.Kind == spec.KindVM {
		return nil, fmt.Errorf("machine %q is a VM: QEMU machines are not supported yet", m.spec.Name)
	}
	m.d.log(report.Info, m.spec.Name, "starting container")
	l, err := m.boot()
	if err != nil {
		return nil, fmt.Errorf("starting machine %q: %w", m.spec.Name, err)
	}
	m.life = l
	return l, nil
}

// boot starts one life of the machine. m.mu is held.
func (m *machine) boot() (*life, error) {
	l := m.next
	m.next = nil
	if l == nil {
		var err error
		if l, err = m.setUp(); err != nil {
			return nil, err
		}
	}
	l.started = time.Now()
	l.watch()
	if err := l.ct.Boot(); err != nil {
		_ = l.ct.Signal(unix.SIGKILL)
		return nil, err
	}
	return l, nil
}

// prepare sets up the container for the first start, while the script's
// interpreter still comes up. What goes wrong shows again at the start itself.
func (m *machine) prepare() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life != nil || m.next != nil || m.released || m.spec.Kind != spec.KindContainer {
		return
	}
	m.next, _ = m.setUp()
}

// setUp makes a container of the machine up to the point of executing init.
// m.mu is held.
func (m *machine) setUp() (_ *life, err error) {
	var undo undoStack
	defer func() {
		if err != nil {
			err = errors.Join(err, undo.run())
		}
	}()
	id := "m" + strconv.Itoa(m.spec.Number)
	if m.leaf == nil {
		if err := m.layOut(id); err != nil {
			return nil, err
		}
	}
	host, err := sandbox.OpenHost(m.spec, m.hostDir)
	if err != nil {
		return nil, err
	}
	undo.add(host.Close)
	ct, err := m.d.runtime.Create(id, m.spec, m.layout)
	if err != nil {
		return nil, err
	}
	undo.add(ct.Destroy)
	if err := m.plugIn(ct); err != nil {
		return nil, err
	}
	return newLife(m, ct, host), nil
}

// layOut makes what all boots of the machine share, all of it or nothing.
func (m *machine) layOut(id string) (err error) {
	defer func() {
		if err != nil && m.leaf != nil {
			err = errors.Join(err, m.laidOut.run(), m.leaf.Remove())
			m.leaf = nil
		}
	}()
	limits := cgroup.Limits{Memory: m.spec.Limits.Memory, CPUs: m.spec.Limits.CPUs, PIDs: m.spec.Limits.PIDs}
	if m.leaf, err = m.d.tree.Machine(m.spec.Name, limits); err != nil {
		return err
	}
	dir := filepath.Join(m.d.runDir, id)
	m.hostDir = dir + ".host"
	if err := os.MkdirAll(m.hostDir, 0o755); err != nil {
		return fmt.Errorf("making a directory of machine %q: %w", m.spec.Name, err)
	}
	m.layout = sandbox.Layout{
		HostDir: dir + ".run-host", SharedDir: m.shared, CgroupPath: m.leaf.PayloadPath(),
		StoreDir: m.d.store,
	}
	mount := func(release func() error, err error) error {
		if err == nil {
			m.laidOut.add(release)
		}
		return err
	}
	if err := mount(sandbox.BindReadOnly(m.hostDir, m.layout.HostDir)); err != nil {
		return err
	}
	if m.spec.WritableStore && m.d.store != "" {
		m.layout.StoreDir = dir + ".store"
		if err := mount(sandbox.WritableStore(storeDir, m.layout.StoreDir)); err != nil {
			return err
		}
	}
	var release func() error
	m.layout.Root, release, err = sandbox.PrepareRoot(m.spec, m.stateDir, dir+".root")
	return mount(release, err)
}

// plugIn connects the machine's interfaces to their VLANs.
func (m *machine) plugIn(ct *sandbox.Container) error {
	if len(m.spec.Interfaces) == 0 {
		return nil
	}
	netns, err := ct.NetNS()
	if err != nil {
		return err
	}
	defer netns.Close()
	for i, in := range m.spec.Interfaces {
		port := vlan.Port{
			Machine: m.spec.Name, MachineNumber: m.spec.Number, Index: i + 1,
			Interface: in.Name, VLAN: in.VLAN,
		}
		if port.MAC, err = net.ParseMAC(in.MAC); err != nil {
			return fmt.Errorf("interface %q: %w", in.Name, err)
		}
		for _, a := range in.Addresses {
			prefix, err := netip.ParsePrefix(a)
			if err != nil {
				return fmt.Errorf("interface %q: %w", in.Name, err)
			}
			port.Addresses = append(port.Addresses, prefix)
		}
		if err := m.d.network.Attach(port, netns); err != nil {
			return err
		}
	}
	return nil
}

// connect starts the machine if need be and waits until its systemd answers.
func (m *machine) connect(ctx context.Context) (*life, error) {
	l, err := m.start(ctx)
	if err != nil {
		return nil, err
	}
	return l, l.ready(ctx)
}

// running returns the machine's life, or errDown.
func (m *machine) running() (*life, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life == nil {
		return nil, fmt.Errorf("machine %q: %w", m.spec.Name, errDown)
	}
	return m.life, nil
}

// isUp reports whether the machine runs and its systemd has answered.
func (m *machine) isUp() bool {
	l, err := m.running()
	return err == nil && l.isReady()
}

// shutdown powers the machine off in order and waits for it.
func (m *machine) shutdown(ctx context.Context) error {
	l, err := m.running()
	if err != nil {
		return nil //nolint:nilerr // already down is what was asked for
	}
	if err := l.ready(ctx); err != nil {
		return err
	}
	if err := l.ct.PowerOff(); err != nil {
		return err
	}
	return m.waitDown(ctx)
}

// reborn waits for the end of life l and reports whether another follows, as
// after a reboot.
func (m *machine) reborn(ctx context.Context, l *life) bool {
	select {
	case <-l.gone:
	case <-ctx.Done():
		return false
	}
	next, err := m.running()
	return err == nil && next != l
}

// reboot asks the machine's systemd to reboot and waits until it is down. The
// next life begins by itself.
func (m *machine) reboot(ctx context.Context) error {
	l, err := m.connect(ctx)
	if err != nil {
		return err
	}
	if err := l.ct.Reboot(); err != nil {
		return err
	}
	if !m.reborn(ctx, l) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("machine %q: it went down for a reboot and did not come back", m.spec.Name)
	}
	return nil
}

// reconnect waits for a machine whose script knows that it is on its way down:
// for its next life if that is so, and otherwise for nothing.
func (m *machine) reconnect(ctx context.Context) error {
	if l, err := m.running(); err == nil && l.isReady() && l.stopping(ctx) {
		select {
		case <-l.gone:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	_, err := m.connect(ctx)
	return err
}

// waitDown returns when the machine has gone down by itself.
func (m *machine) waitDown(ctx context.Context) error {
	for {
		l, err := m.running()
		if err != nil {
			return nil //nolint:nilerr // down is what was waited for
		}
		select {
		case <-l.gone:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// release ends the machine at once, as a power cut does.
func (m *machine) release() error {
	l, err := m.running()
	if err != nil {
		return m.discard()
	}
	m.d.log(report.Info, m.spec.Name, fmt.Sprintf("kill container (pid %d)", l.ct.Pid()))
	l.stop()
	<-l.gone
	return nil
}

// discard drops a container that was set up and never booted.
func (m *machine) discard() error {
	m.mu.Lock()
	l := m.next
	m.next = nil
	m.mu.Unlock()
	if l == nil {
		return nil
	}
	_ = l.ct.Signal(unix.SIGKILL)
	l.ct.Wait()
	return l.end()
}

// forget frees what outlives a single boot; the machine can't start again.
func (m *machine) forget() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.released = true
	if m.leaf == nil {
		return nil
	}
	usage, err := m.leaf.Usage()
	if text := usageText(usage); err == nil && text != "" {
		m.d.log(report.Info, m.spec.Name, "used "+text)
	}
	err = m.leaf.Remove()
	m.leaf = nil
	return errors.Join(err, m.laidOut.run())
}

// releaseAll ends all machines at the same time.
func (d *Driver) releaseAll() error {
	errs := make([]error, len(d.ordered))
	var wait sync.WaitGroup
	for i, m := range d.ordered {
		wait.Go(func() { errs[i] = errors.Join(m.release(), m.forget()) })
	}
	wait.Wait()
	return errors.Join(errs...)
}
