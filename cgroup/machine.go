package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/containerd/cgroups/v3/cgroup2"
)

// Machine is the cgroup of one machine. Its methods may be called from several
// goroutines at once.
type Machine struct {
	tree *Tree
	id   string // the machine's name, for messages
	name string // the directory's name
}

// Machine makes the cgroup of a machine, whose name may hold anything, with
// limits. A limit whose controller is missing is left out, see [Tree.Missing].
//
// An earlier cgroup of that name is removed first, so that the figures begin
// at 0; the error wraps EBUSY when it still has processes.
func (t *Tree) Machine(id string, l Limits) (*Machine, error) {
	m := &Machine{tree: t, id: id, name: dirName(id)}
	if err := m.make(l); err != nil {
		return nil, fmt.Errorf("creating the cgroup of machine %q: %w", id, err)
	}
	return m, nil
}

func (m *Machine) make(l Limits) error {
	if err := rmdir(m.dir()); err != nil {
		return err
	}
	if err := os.Mkdir(m.dir(), 0o755); err != nil {
		return explain(err)
	}
	if len(m.tree.present) == 0 {
		return nil // nothing to limit; Nix gives builds no controllers to hand on
	}
	_, err := os.Stat(filepath.Join(m.dir(), "memory.swap.max"))
	_, err = cgroup2.NewManager(m.tree.dir(), "/"+m.name, resources(l, m.tree.present, err == nil))
	if err == nil {
		err = enableAll(m.dir(), payloadLeaf)
	}
	if err != nil {
		return errors.Join(err, rmdir(m.dir()))
	}
	return nil
}

// PayloadPath is the cgroup for the machine's own processes, as libcontainer's
// Cgroup.Path takes it: relative to the cgroup2 mount, with a leading slash.
// libcontainer creates it.
func (m *Machine) PayloadPath() string { return path.Join(m.tree.base, m.name, payloadLeaf) }

// Kill ends every process of the machine with SIGKILL, forking or frozen ones
// too, and returns when the last is dead, within 10 seconds. It needs Linux
// 5.14. A machine whose cgroup is gone is dead.
func (m *Machine) Kill() error {
	if err := m.kill(); err != nil {
		return fmt.Errorf("killing machine %q: %w", m.id, err)
	}
	return nil
}

func (m *Machine) kill() error {
	_, err := os.Stat(filepath.Join(m.dir(), "cgroup.kill"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(m.dir()); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		// The library would go on with a way that takes our children's exit
		// status away from us.
		return errors.New("this kernel has no cgroup.kill; 5.14 is needed")
	}
	if err == nil {
		err = m.manager().Kill()
	}
	if err != nil {
		return err
	}
	err = awaitEvent(m.dir(), "populated", 0, eventTimeout)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w; %s", err, inhabitants(m.dir()))
	}
	return err
}

// Freeze stops every process of the machine and returns when all stand still,
// within 10 seconds. Nothing inside notices until [Machine.Thaw], but that
// time has passed.
func (m *Machine) Freeze() error {
	if err := m.setFrozen(m.manager().Freeze, 1); err != nil {
		return fmt.Errorf("freezing machine %q: %w", m.id, err)
	}
	return nil
}

// Thaw lets a frozen machine go on.
func (m *Machine) Thaw() error {
	if err := m.setFrozen(m.manager().Thaw, 0); err != nil {
		return fmt.Errorf("thawing machine %q: %w", m.id, err)
	}
	return nil
}

// setFrozen waits for the event since the library returns when the kernel has
// taken the order, not when it is carried out.
func (m *Machine) setFrozen(order func() error, want int64) error {
	if err := order(); err != nil {
		return err
	}
	return awaitEvent(m.dir(), "frozen", want, eventTimeout)
}

// Remove removes the machine's cgroup and all below it. The machine must be
// dead: the error wraps EBUSY when it isn't. What is gone already is no
// error.
func (m *Machine) Remove() error {
	if err := rmdir(m.dir()); err != nil {
		return fmt.Errorf("removing the cgroup of machine %q: %w", m.id, err)
	}
	return nil
}

func (m *Machine) dir() string { return filepath.Join(m.tree.dir(), m.name) }

func (m *Machine) manager() *cgroup2.Manager { return m.tree.child(m.name) }
