package vlan

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Attach plugs p into the bridge of its VLAN: a veth pair whose far end is
// created inside netns, the machine's network namespace, under its final name
// and MAC address. With [Port].Addresses they are set and the interface is
// brought up; without, it is left down. The machine's lo is left alone: its
// init sees to that.
//
// A port of the same machine number and index that is still there, because
// the machine's last namespace has not quite gone, is replaced.
//
// netns must belong to the caller's user namespace or to a child of it. The
// error wraps [ErrNoVLAN] where there is no bridge for p.VLAN.
func (s *Switch) Attach(p Port, netns *os.File) error {
	if err := s.attach(p, netns); err != nil {
		return fmt.Errorf("attaching %q to VLAN %d: %w", p, p.VLAN, err)
	}
	return nil
}

func (s *Switch) attach(p Port, netns *os.File) error {
	if err := p.Check(); err != nil {
		return err
	}
	s.mu.Lock()
	bridge, ok := s.bridges[p.VLAN]
	s.mu.Unlock()
	if !ok {
		return ErrNoVLAN
	}
	port, err := s.makePair(p, bridge, netns)
	if err != nil {
		return err
	}
	inside := func() error { return setUpInside(p, netns) }
	if len(p.Addresses) > 0 {
		err = s.awaitForwarding(port, bridge, true, inside)
	} else {
		err = inside()
	}
	if err != nil {
		return errors.Join(err, s.remove(p))
	}
	return nil
}

// makePair creates both sides, makes the near one a port of bridge and
// returns its index.
func (s *Switch) makePair(p Port, bridge int, netns *os.File) (int, error) {
	veth := netlink.NewVeth(netlink.NewLinkAttrs())
	veth.Name = portName(p)
	veth.Flags = net.FlagUp // created up; it is spared a request
	veth.MTU = MaxMTU
	// One queue a side: by default the kernel makes one for each processor,
	// which is slow to set up and of no use to a test.
	veth.NumTxQueues, veth.NumRxQueues = 1, 1
	veth.PeerName = p.Interface
	veth.PeerHardwareAddr = mac(p)
	veth.PeerMTU = uint32(mtu(p))
	veth.PeerNamespace = netlink.NsFd(netns.Fd())

	err := s.handle.LinkAdd(veth)
	if errors.Is(err, unix.EEXIST) {
		if err = s.remove(p); err == nil {
			veth.Index = 0
			err = s.handle.LinkAdd(veth)
		}
	}
	if errors.Is(err, unix.EEXIST) {
		return 0, fmt.Errorf("creating interface %q: the machine has one of that name already: %w", p.Interface, err)
	}
	if err != nil {
		return 0, fmt.Errorf("creating veth %q: %w", veth.Name, err)
	}
	if veth.Index == 0 {
		return 0, fmt.Errorf("veth %q is gone again; has the machine died?", veth.Name)
	}
	link := byIndex(veth.Index)
	if err := s.handle.LinkSetMasterByIndex(link, bridge); err != nil {
		return 0, errors.Join(fmt.Errorf("joining %q to its bridge: %w", veth.Name, err), s.remove(p))
	}
	if err := s.handle.LinkSetAlias(link, alias(p)); err != nil {
		return 0, errors.Join(fmt.Errorf("setting the alias of %q: %w", veth.Name, err), s.remove(p))
	}
	return veth.Index, nil
}

// setUpInside does what only a thread in the machine's namespace can do.
func setUpInside(p Port, netns *os.File) error {
	if !haveIPv6() && len(p.Addresses) == 0 {
		return nil
	}
	return inNetns(into(netns), func() error {
		// For the link-local address, and for those that the machine's own
		// system sets: there is no other machine that could have them.
		err := setSysctls([]sysctl{
			{"ipv6/conf/all/accept_dad", "0"},
			{"ipv6/conf/" + p.Interface + "/accept_dad", "0"},
		})
		if err != nil {
			return err
		}
		if len(p.Addresses) == 0 {
			return nil
		}
		handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("opening a netlink socket: %w", err)
		}
		defer handle.Close()
		link, err := handle.LinkByName(p.Interface)
		if err != nil {
			return fmt.Errorf("finding %q: %w", p.Interface, err)
		}
		return setAddresses(netns, handle, link.Attrs().Index, p.Addresses)
	})
}

// SetLink plugs the cable of p in (up) or pulls it out: the machine keeps its
// interface and sees it lose its carrier. Plugged in, it passes frames when
// SetLink returns, provided that the machine has its interface up.
func (s *Switch) SetLink(p Port, up bool) error {
	if err := s.setLink(p, up); err != nil {
		return fmt.Errorf("setting the link of %q to %s: %w", p, upDown(up), err)
	}
	return nil
}

func (s *Switch) setLink(p Port, up bool) error {
	link, err := s.handle.LinkByName(portName(p))
	if err != nil {
		return err
	}
	a := link.Attrs()
	switch isUp := a.Flags&net.FlagUp != 0; {
	case isUp == up:
		return nil
	case up:
		return s.awaitForwarding(a.Index, a.MasterIndex, false, func() error { return s.handle.LinkSetUp(link) })
	default:
		return s.handle.LinkSetDown(link)
	}
}

// remove deletes both sides of p, if they are there.
func (s *Switch) remove(p Port) error {
	link, err := s.handle.LinkByName(portName(p))
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err == nil {
		err = s.handle.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing %q: %w", portName(p), err)
	}
	return nil
}

func upDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}
