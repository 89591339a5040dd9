package vlan

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoVLAN is returned, wrapped, by [Switch.Attach] for a VLAN without a
// bridge.
var ErrNoVLAN = errors.New("no bridge; it must be added first")

// loopbackIndex is the index of lo in every network namespace
// (LOOPBACK_IFINDEX of the kernel's include/net/flow.h).
const loopbackIndex = 1

// Switch is a network namespace that holds the bridges of one test. Its
// methods may be called from several goroutines at once.
type Switch struct {
	netns  *os.File
	handle *netlink.Handle

	mu      sync.Mutex
	bridges map[int]int // VLAN to the bridge's link index
}

// NewSwitch makes a network namespace with nothing in it but lo, up. It needs
// CAP_SYS_ADMIN in the caller's user namespace. The caller ends it with
// [Switch.Close].
func NewSwitch() (*Switch, error) {
	s := &Switch{bridges: map[int]int{}}
	unshare := func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making the network namespace of the VLANs: %w", err)
		}
		return nil
	}
	err := inNetns(unshare, func() error {
		var err error
		if s.netns, err = os.Open(threadNetns); err != nil {
			return fmt.Errorf("opening the network namespace of the VLANs: %w", err)
		}
		if s.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
			return fmt.Errorf("opening a netlink socket: %w", err)
		}
		return setSysctls(switchSettings)
	})
	if err == nil {
		if err = s.handle.LinkSetUp(byIndex(loopbackIndex)); err != nil {
			err = fmt.Errorf("bringing up lo: %w", err)
		}
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// switchSettings are made in the switch namespace before it has interfaces.
// What is under conf/default is inherited by those that follow.
//
//nolint:gochecknoglobals // a table that nobody writes to
var switchSettings = []sysctl{
	// A new namespace takes forwarding over from the host, and hosts that run
	// containers have it on: VLANs would reach each other through the bridges.
	{"ipv4/ip_forward", "0"},
	// A bridge answers for its own address only, not for another VLAN's.
	{"ipv4/conf/all/arp_ignore", "1"},
	// The bridges' sides of the veths take no part in IPv6, or each would send
	// the machine router solicitations and multicast reports from an address
	// that nobody asked for. AddVLAN switches it on for the bridge.
	{"ipv6/conf/default/disable_ipv6", "1"},
	// Of accept_dad the larger counts, that of all and of the interface.
	{"ipv6/conf/all/accept_dad", "0"},
	{"ipv6/conf/default/accept_dad", "0"},
	// A router on a VLAN configures machines, not the script's side.
	{"ipv6/conf/default/accept_ra", "0"},
}

// AddVLAN makes the bridge of a VLAN with the addresses of [BridgeAddresses],
// up. Adding it twice does nothing.
func (s *Switch) AddVLAN(vlan int) error {
	if err := checkVLAN(vlan); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.bridges[vlan]; ok {
		return nil
	}
	index, err := s.makeBridge(vlan)
	if err != nil {
		return fmt.Errorf("creating bridge %q: %w", BridgeName(vlan), err)
	}
	s.bridges[vlan] = index
	return nil
}

func (s *Switch) makeBridge(vlan int) (int, error) {
	// With the spanning tree protocol off, as it is by default, a new port
	// forwards at once, whatever the forward delay is. Without snooping,
	// multicast is flooded, so IPv6 neighbours find each other although
	// nobody on the VLAN sends the queries that snooping relies on. Forward
	// what IEEE 802.1D reserves, LLDP for one, but not what the kernel
	// refuses: STP, pause frames, LACP.
	snooping, groups := false, uint16(0xfff8)
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), MulticastSnooping: &snooping, GroupFwdMask: &groups}
	bridge.Name = BridgeName(vlan)
	bridge.HardwareAddr = bridgeMAC(vlan)
	bridge.MTU = MaxMTU
	if err := s.handle.LinkAdd(bridge); err != nil {
		return 0, err
	}
	link := byIndex(bridge.Index)
	// A bridge follows the smallest MTU of its ports until somebody sets one,
	// and only a change counts as setting: hence large first.
	if err := s.handle.LinkSetMTU(link, DefaultMTU); err != nil {
		return 0, fmt.Errorf("setting its MTU: %w", err)
	}
	if haveIPv6() {
		err := s.Do(func() error {
			return setSysctls([]sysctl{{"ipv6/conf/" + bridge.Name + "/disable_ipv6", "0"}})
		})
		if err != nil {
			return 0, err
		}
	}
	return bridge.Index, setAddresses(s.netns, s.handle, bridge.Index, BridgeAddresses(vlan))
}

// Do runs fn on a thread inside the switch namespace and waits for it. A
// process that fn starts and a socket that it opens belong to that namespace
// for good. fn must start no goroutine that relies on it.
func (s *Switch) Do(fn func() error) error { return inNetns(into(s.netns), fn) }

// DoHere is [Switch.Do] on the calling thread, to which the caller has locked
// its goroutine. It is for children that ask for a signal when their parent
// thread dies (PR_SET_PDEATHSIG): Go may end a thread of its pool at any time.
func (s *Switch) DoHere(fn func() error) error {
	_, err := onThisThread(into(s.netns), fn)
	return err
}

// File returns the namespace. It stays owned by s: don't close it, and don't
// use it after [Switch.Close].
func (s *Switch) File() *os.File { return s.netns }

// Close lets go of the namespace. The kernel removes it with all bridges and
// veths, shortly afterwards and on its own, once no process is left in it.
func (s *Switch) Close() error {
	if s.handle != nil {
		s.handle.Close()
		s.handle = nil
	}
	if s.netns == nil {
		return nil
	}
	err := s.netns.Close()
	s.netns = nil
	return err
}

// setAddresses adds addresses to the link of that index in ns, brings it up
// and returns when the addresses can be used. The handle is one of ns, where
// duplicate address detection is off. A kernel without IPv6 gets only the
// others.
func setAddresses(ns *os.File, handle *netlink.Handle, index int, addresses []netip.Prefix) error {
	var usable []netip.Prefix
	var v6 []netip.Addr
	for _, a := range addresses {
		if a.Addr().Is6() {
			if !haveIPv6() {
				continue
			}
			v6 = append(v6, a.Addr())
		}
		usable = append(usable, a)
	}
	begin := func() error {
		link := byIndex(index)
		for _, a := range usable {
			addr := &netlink.Addr{IPNet: &net.IPNet{
				IP:   a.Addr().AsSlice(),
				Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen()),
			}}
			if err := handle.AddrAdd(link, addr); err != nil {
				return fmt.Errorf("adding address %s: %w", a, err)
			}
		}
		if err := handle.LinkSetUp(link); err != nil {
			return fmt.Errorf("bringing it up: %w", err)
		}
		return nil
	}
	if len(v6) == 0 {
		return begin()
	}
	return awaitAddresses(ns, index, v6, begin)
}

// byIndex is enough of a link for requests that only name it.
func byIndex(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}
