package vlan

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// readyTimeout bounds the waits for work items of the kernel, which need
// milliseconds.
const readyTimeout = 5 * time.Second

// awaitForwarding runs begin, which brings up one side of a veth, and returns
// when frames pass between its other side and the bridge.
//
// That is not so as soon as begin returns: the kernel's link watch, a work
// item of its own (net/core/link_watch.c), notices the carrier, has the bridge
// enable its port, and switches the queues on. A frame sent before is lost,
// and if it was the first, an ARP request or neighbour solicitation, a second
// passes until it is repeated.
//
// With plugged false the far side may be down, for the machine's own system
// to bring up; then there is nothing to wait for.
func (s *Switch) awaitForwarding(port, bridge int, plugged bool, begin func() error) error {
	events, err := subscribe(s.netns, unix.RTNLGRP_LINK)
	if err != nil {
		return err
	}
	defer events.Close()
	if err := begin(); err != nil {
		return err
	}

	portReady, bridgeReady, empty := false, false, false
	see := func(a *netlink.LinkAttrs) {
		up := a.OperState == netlink.OperUp
		switch a.Index {
		case port:
			portReady = portReady || up
			empty = !plugged && a.RawFlags&unix.IFF_LOWER_UP == 0
		case bridge:
			bridgeReady = bridgeReady || up
		}
	}
	ask := func(index int) error {
		link, err := s.handle.LinkByIndex(index)
		if err != nil {
			return fmt.Errorf("asking for the state of a link: %w", err)
		}
		see(link.Attrs())
		return nil
	}
	return await(events, "the port to forward", func(m syscall.NetlinkMessage, lost bool) (bool, error) {
		switch {
		case lost:
			if err := ask(port); err != nil {
				return false, err
			}
		case m.Header.Type == unix.RTM_NEWLINK:
			header := unix.NlMsghdr(m.Header)
			link, err := netlink.LinkDeserialize(&header, m.Data)
			if err != nil {
				return false, fmt.Errorf("reading a link event: %w", err)
			}
			see(link.Attrs())
		}
		if empty {
			return true, nil
		}
		if portReady && !bridgeReady {
			// There is no event when it was up before. The request also waits
			// for the lock under which the link watch works, and so until it
			// has done with the machine's side as well.
			if err := ask(bridge); err != nil {
				return false, err
			}
		}
		return portReady && bridgeReady, nil
	})
}

// awaitAddresses runs begin, which gives IPv6 addresses to the link of that
// index in ns, and returns when the link answers for them. The kernel sees to
// that in a work item of its own (addrconf_dad_work in net/ipv6/addrconf.c),
// even where no duplicate is looked for; until then they are tentative.
func awaitAddresses(ns *os.File, index int, addresses []netip.Addr, begin func() error) error {
	waiting := map[netip.Addr]bool{}
	for _, a := range addresses {
		waiting[a] = true
	}
	events, err := subscribe(ns, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return err
	}
	defer events.Close()
	if err := begin(); err != nil {
		return err
	}
	return await(events, "IPv6 addresses", func(m syscall.NetlinkMessage, lost bool) (bool, error) {
		if lost { // it would take hundreds of addresses
			return false, unix.ENOBUFS
		}
		if addr, flags, ok := parseAddress(m, index); ok && flags&unix.IFA_F_TENTATIVE == 0 {
			delete(waiting, addr)
		}
		return len(waiting) == 0, nil
	})
}

// parseAddress reads an RTM_NEWADDR message about the link of that index; see
// rtnetlink(7). The flags are the lower eight, which ifaddrmsg has room for.
func parseAddress(m syscall.NetlinkMessage, index int) (addr netip.Addr, flags uint8, ok bool) {
	if m.Header.Type != unix.RTM_NEWADDR || len(m.Data) < unix.SizeofIfAddrmsg {
		return addr, 0, false
	}
	msg := nl.DeserializeIfAddrmsg(m.Data)
	if int(msg.Index) != index {
		return addr, 0, false
	}
	attrs, err := nl.ParseRouteAttr(m.Data[unix.SizeofIfAddrmsg:])
	if err != nil {
		return addr, 0, false
	}
	for _, a := range attrs {
		if a.Attr.Type == unix.IFA_ADDRESS {
			addr, ok = netip.AddrFromSlice(a.Value)
		}
	}
	return addr, msg.Flags, ok
}

// subscribe listens to a group of rtnetlink messages of a namespace.
func subscribe(ns *os.File, group uint) (*nl.NetlinkSocket, error) {
	var events *nl.NetlinkSocket
	err := inNetns(into(ns), func() (err error) {
		events, err = nl.Subscribe(unix.NETLINK_ROUTE, group)
		return err
	})
	if err == nil {
		timeout := unix.NsecToTimeval(readyTimeout.Nanoseconds())
		if err = events.SetReceiveTimeout(&timeout); err != nil {
			events.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("subscribing to network events: %w", err)
	}
	return events, nil
}

// await passes messages to done until it returns true or an error, or until
// readyTimeout is over. When the kernel had more messages than the socket
// holds, done is called with lost set and an empty message.
func await(events *nl.NetlinkSocket, what string, done func(m syscall.NetlinkMessage, lost bool) (bool, error)) error {
	deadline := time.Now().Add(readyTimeout)
	for time.Now().Before(deadline) {
		messages, _, err := events.Receive()
		lost := errors.Is(err, unix.ENOBUFS)
		switch {
		case lost:
			messages = []syscall.NetlinkMessage{{}}
		case err != nil:
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		for _, m := range messages {
			if ready, err := done(m, lost); ready || err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("waiting for %s: not there after %v", what, readyTimeout)
}
