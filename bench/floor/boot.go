package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/runc/libcontainer"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/nestbox/nestbox/cgroup"
	"github.com/nestbox/nestbox/sandbox"
	"github.com/nestbox/nestbox/spec"
)

// machine is one container under way.
type machine struct {
	ct     *libcontainer.Container
	proc   *libcontainer.Process
	leaf   *cgroup.Machine
	notify *net.UnixConn
	ended  chan struct{} // closed after state is set
	state  *os.ProcessState
	// By the clock of now.
	begun, up float64
}

// create sets a container up to the point of executing init.
func create(m *spec.Machine, tree *cgroup.Tree, dir, root string) (*machine, error) {
	id := "m" + strconv.Itoa(m.Number)
	leaf, err := tree.Machine(m.Name, cgroup.Limits{})
	if err != nil {
		return nil, err
	}
	host := filepath.Join(dir, id)
	shared := filepath.Join(dir, id+".shared")
	for _, d := range []string{host, shared} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(host, "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, err
	}
	config := sandbox.Config(m, sandbox.Layout{
		Root: root, HostDir: host, SharedDir: shared, StoreDir: "/nix/store", CgroupPath: leaf.PayloadPath(),
	})
	// It would come when the thread ends that forked, and Go ends threads.
	config.ParentDeathSignal = 0
	ct, err := libcontainer.Create(filepath.Join(dir, "runc"), id, config)
	if err != nil {
		return nil, err
	}
	proc := &libcontainer.Process{
		Args: append([]string{m.Init}, m.Cmdline...),
		Env:  sandbox.Env(m),
		Cwd:  "/",
		Init: true,
	}
	if err := ct.Start(proc); err != nil {
		return nil, err
	}
	pid, err := proc.Pid()
	if err != nil {
		return nil, err
	}
	if err := plug(m, pid); err != nil {
		return nil, err
	}
	made := &machine{ct: ct, proc: proc, leaf: leaf, notify: notify, ended: make(chan struct{})}
	go func() {
		made.state, _ = proc.Wait() // its error repeats the state
		close(made.ended)
		_ = notify.Close() // so that nobody waits for news
	}()
	return made, nil
}

// plug gives the machine the interfaces that its units wait for.
func plug(m *spec.Machine, pid int) error {
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		return err
	}
	defer ns.Close()
	handle, err := netlink.NewHandleAt(ns)
	if err != nil {
		return err
	}
	defer handle.Close()
	for i, in := range m.Interfaces {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = in.Name
		if err := handle.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: fmt.Sprintf("idle%d", i)}); err != nil {
			return fmt.Errorf("adding interface %q: %w", in.Name, err)
		}
	}
	return nil
}

// awaitReady returns when the machine's systemd says that its boot is done
// (sd_notify(3)).
func (m *machine) awaitReady() error {
	buf := make([]byte, 4096)
	for {
		n, err := m.notify.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("its init ended: %v", m.state)
		}
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(buf[:n])) {
			if strings.TrimSpace(line) == "READY=1" {
				return nil
			}
		}
	}
}

// end kills the machine; one that never began has nothing to end.
func (m *machine) end() error {
	if m == nil {
		return nil
	}
	kill := m.leaf.Kill()
	<-m.ended
	return errors.Join(kill, m.ct.Destroy())
}

// boot starts a machine and returns when it is up.
func boot(spec *spec.Machine, tree *cgroup.Tree, dir, root string) (*machine, error) {
	m, err := create(spec, tree, dir, root)
	if err != nil {
		return nil, fmt.Errorf("creating machine %q: %w", spec.Name, err)
	}
	m.begun = now()
	if err := m.ct.Exec(); err != nil {
		return m, fmt.Errorf("starting machine %q: %w", spec.Name, err)
	}
	if err := m.awaitReady(); err != nil {
		return m, fmt.Errorf("waiting for machine %q: %w", spec.Name, err)
	}
	m.up = now()
	return m, nil
}
