package vlan

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

const (
	// MaxVLAN is the largest VLAN number. It is one part of an IPv4 address
	// and one byte of a MAC address. The smallest is 0.
	MaxVLAN = 255

	// DefaultMTU is the MTU, in bytes, of a machine's interface and of a
	// bridge.
	DefaultMTU = 1500

	// MaxMTU is the largest MTU of a veth, in bytes (ETH_MAX_MTU).
	MaxMTU = 65535

	minMTU     = 68   // RFC 791
	minMTUIPv6 = 1280 // RFC 8200, section 5

	maxName  = unix.IFNAMSIZ - 1 // bytes in an interface name
	maxAlias = 255               // bytes in an alias (IFALIASZ less the final zero)
)

// Port is one network card of a machine: where it is plugged in, and what it
// looks like from inside.
type Port struct {
	// Machine is the machine's name, of any length. It is used for messages
	// and for the alias of the bridge's side.
	Machine string
	// MachineNumber tells machines apart; it is 1 or more.
	MachineNumber int
	// Index tells the cards of one machine apart; it is 0 or more.
	Index int
	// Interface is the name inside the machine, 15 bytes at most.
	Interface string
	// VLAN is the number of the bridge, 0 to [MaxVLAN].
	VLAN int
	// MAC is the card's hardware address; nil means [MachineMAC].
	MAC net.HardwareAddr
	// Addresses are set on the interface, which is then up. Without any, the
	// interface is left down for the machine's own system to configure.
	Addresses []netip.Prefix
	// MTU of the interface in bytes, 68 to [MaxMTU]; 0 means [DefaultMTU].
	MTU int
}

// String returns "machine:interface".
func (p Port) String() string { return p.Machine + ":" + p.Interface }

// Check returns every problem of p, joined, or nil.
func (p Port) Check() error {
	var problems []error
	bad := func(format string, a ...any) { problems = append(problems, fmt.Errorf(format, a...)) }

	if p.MachineNumber < 1 {
		bad("machine number %d is less than 1", p.MachineNumber)
	}
	if p.Index < 0 {
		bad("index %d is negative", p.Index)
	}
	if n := portName(p); len(n) > maxName {
		bad("machine number %d and index %d are too large: their name %q has more than %d bytes", p.MachineNumber, p.Index, n, maxName)
	}
	if err := checkName(p.Interface); err != nil {
		problems = append(problems, err)
	}
	if err := checkVLAN(p.VLAN); err != nil {
		problems = append(problems, err)
	}
	switch {
	case p.MAC == nil && p.MachineNumber > 255:
		bad("machine number %d does not fit the last byte of a MAC address; give one", p.MachineNumber)
	case p.MAC != nil && len(p.MAC) != 6:
		bad("MAC address %q does not have 6 bytes", p.MAC)
	case p.MAC != nil && p.MAC[0]&1 != 0:
		bad("MAC address %q is a multicast address", p.MAC)
	}
	if p.MTU != 0 && (p.MTU < minMTU || p.MTU > MaxMTU) {
		bad("MTU %d is not between %d and %d", p.MTU, minMTU, MaxMTU)
	}
	for _, a := range p.Addresses {
		switch {
		case !a.IsValid():
			bad("an address is not valid")
		case a.Addr().Is6() && p.MTU != 0 && p.MTU < minMTUIPv6:
			bad("address %s needs an MTU of at least %d, not %d", a, minMTUIPv6, p.MTU)
		}
	}
	return errors.Join(problems...)
}

// BridgeName returns the name of a VLAN's bridge in the switch namespace.
func BridgeName(vlan int) string { return fmt.Sprintf("br%d", vlan) }

// BridgeAddresses returns the addresses of a VLAN's bridge, at which the test
// script is reached: 192.168.<vlan>.254/24 and 2001:db8:<vlan>::fe/64.
func BridgeAddresses(vlan int) []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(vlan), 254}), 24),
		netip.MustParsePrefix(fmt.Sprintf("2001:db8:%d::fe/64", vlan)),
	}
}

// MachineAddresses returns the addresses that NixOS tests give to a machine:
// 192.168.<vlan>.<number>/24 and 2001:db8:<vlan>::<number>/64, where both
// numbers are written in decimal in both addresses. vlan is 0 to [MaxVLAN] and
// number 1 to 253.
func MachineAddresses(vlan, number int) []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(vlan), byte(number)}), 24),
		netip.MustParsePrefix(fmt.Sprintf("2001:db8:%d::%d/64", vlan, number)),
	}
}

// MachineMAC returns the MAC address that NixOS tests give to a machine,
// 52:54:00:12:<vlan>:<number>. Both are 0 to 255.
func MachineMAC(vlan, number int) net.HardwareAddr {
	return net.HardwareAddr{0x52, 0x54, 0x00, 0x12, byte(vlan), byte(number)}
}

// bridgeMAC is fixed because a bridge without an address of its own takes the
// lowest one of its ports, and would change it under its neighbours' ARP
// entries as machines come and go.
func bridgeMAC(vlan int) net.HardwareAddr { return MachineMAC(vlan, 254) }

// portName is the name of the bridge's side of p. It can't hold a machine's
// name, which may be longer than the kernel allows; see alias.
func portName(p Port) string { return fmt.Sprintf("m%dp%d", p.MachineNumber, p.Index) }

// alias says in `ip link` which machine a port belongs to.
func alias(p Port) string {
	s := p.String()
	if len(s) <= maxAlias {
		return s
	}
	s = s[:maxAlias]
	for !utf8.ValidString(s) && len(s) > maxAlias-utf8.UTFMax {
		s = s[:len(s)-1]
	}
	return s
}

func mac(p Port) net.HardwareAddr {
	if p.MAC != nil {
		return p.MAC
	}
	return MachineMAC(p.VLAN, p.MachineNumber)
}

func mtu(p Port) int {
	if p.MTU != 0 {
		return p.MTU
	}
	return DefaultMTU
}

func checkVLAN(vlan int) error {
	if vlan < 0 || vlan > MaxVLAN {
		return fmt.Errorf("VLAN %d is not between 0 and %d", vlan, MaxVLAN)
	}
	return nil
}

// checkName follows dev_valid_name of the kernel's net/core/dev.c, and refuses
// % too, which the kernel would take for a pattern.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("interface name is empty")
	case len(name) > maxName:
		return fmt.Errorf("interface name %q has %d bytes; the kernel allows %d", name, len(name), maxName)
	case name == "." || name == "..":
		return fmt.Errorf("interface name %q is not allowed", name)
	// The kernel takes the byte 0xa0 for a space, in whatever character it is.
	case strings.ContainsAny(name, "/:% \t\n\v\f\r\x00"), strings.IndexByte(name, 0xa0) >= 0:
		return fmt.Errorf("interface name %q contains a character that the kernel does not allow", name)
	}
	return nil
}
