package vlan

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNamesAndAddresses(t *testing.T) {
	for _, c := range []struct {
		vlan, number                  int
		bridge, bridgeAddrs, machAddr string
		mac                           string
	}{
		{1, 2, "br1", "[192.168.1.254/24 2001:db8:1::fe/64]", "[192.168.1.2/24 2001:db8:1::2/64]", "52:54:00:12:01:02"},
		// Decimal in the IPv6 address, hexadecimal in the MAC address.
		{255, 24, "br255", "[192.168.255.254/24 2001:db8:255::fe/64]", "[192.168.255.24/24 2001:db8:255::24/64]", "52:54:00:12:ff:18"},
		{0, 1, "br0", "[192.168.0.254/24 2001:db8::fe/64]", "[192.168.0.1/24 2001:db8::1/64]", "52:54:00:12:00:01"},
	} {
		if got := BridgeName(c.vlan); got != c.bridge {
			t.Errorf("BridgeName(%d) = %q, want %q", c.vlan, got, c.bridge)
		}
		if got := fmt.Sprint(BridgeAddresses(c.vlan)); got != c.bridgeAddrs {
			t.Errorf("BridgeAddresses(%d) = %s, want %s", c.vlan, got, c.bridgeAddrs)
		}
		if got := fmt.Sprint(MachineAddresses(c.vlan, c.number)); got != c.machAddr {
			t.Errorf("MachineAddresses(%d, %d) = %s, want %s", c.vlan, c.number, got, c.machAddr)
		}
		if got := MachineMAC(c.vlan, c.number).String(); got != c.mac {
			t.Errorf("MachineMAC(%d, %d) = %s, want %s", c.vlan, c.number, got, c.mac)
		}
	}
}

func TestPortDefaults(t *testing.T) {
	p := Port{MachineNumber: 3, VLAN: 7}
	if got := mac(p).String(); got != "52:54:00:12:07:03" {
		t.Errorf("default MAC is %s", got)
	}
	if got := mtu(p); got != 1500 {
		t.Errorf("default MTU is %d, want 1500", got)
	}
	p.MAC, p.MTU = net.HardwareAddr{2, 0, 0, 0, 0, 1}, 9000
	if got := mac(p).String(); got != "02:00:00:00:00:01" || mtu(p) != 9000 {
		t.Errorf("given MAC and MTU became %s and %d", got, mtu(p))
	}
}

func TestAlias(t *testing.T) {
	for _, c := range []struct{ machine, want string }{
		{"web", "web:eth1"},
		{strings.Repeat("a", 60), strings.Repeat("a", 60) + ":eth1"},
		{strings.Repeat("a", 300), strings.Repeat("a", 255)},
		// Two bytes each: the 128th begins at the last byte allowed.
		{strings.Repeat("é", 200), strings.Repeat("é", 127)},
	} {
		got := alias(Port{Machine: c.machine, Interface: "eth1"})
		if got != c.want || !utf8.ValidString(got) {
			t.Errorf("alias of %q = %q, want %q", c.machine, got, c.want)
		}
	}
}

func TestPortCheck(t *testing.T) {
	good := Port{Machine: strings.Repeat("m", 60), MachineNumber: 1, Interface: "eth1", VLAN: 1}
	if err := good.Check(); err != nil {
		t.Fatalf("a good port: %v", err)
	}
	v6 := []netip.Prefix{netip.MustParsePrefix("2001:db8::1/64")}
	for _, c := range []struct {
		name   string
		change func(*Port)
		want   []string // parts of the message; none: no error
	}{
		{"15 bytes", func(p *Port) { p.Interface = "fifteen-bytes15" }, nil},
		{"16 bytes", func(p *Port) { p.Interface = "sixteen-bytes-16" }, []string{"16 bytes; the kernel allows 15"}},
		{"no name", func(p *Port) { p.Interface = "" }, []string{"empty"}},
		{"slash", func(p *Port) { p.Interface = "a/b" }, []string{`"a/b"`}},
		{"dots", func(p *Port) { p.Interface = ".." }, []string{"not allowed"}},
		{"pattern", func(p *Port) { p.Interface = "eth%d" }, []string{"character"}},
		{"VLAN 0", func(p *Port) { p.VLAN = 0 }, nil},
		{"VLAN 256", func(p *Port) { p.VLAN = 256 }, []string{"VLAN 256"}},
		{"number 0", func(p *Port) { p.MachineNumber = 0 }, []string{"machine number 0"}},
		{"number 300", func(p *Port) { p.MachineNumber = 300 }, []string{"MAC address; give one"}},
		{"number 300 with MAC", func(p *Port) { p.MachineNumber, p.MAC = 300, MachineMAC(9, 9) }, nil},
		{"huge numbers", func(p *Port) { p.MachineNumber, p.Index, p.MAC = 123456789, 123456, MachineMAC(9, 9) }, []string{`"m123456789p123456"`}},
		{"short MAC", func(p *Port) { p.MAC = net.HardwareAddr{1} }, []string{"6 bytes"}},
		{"multicast MAC", func(p *Port) { p.MAC = net.HardwareAddr{1, 0, 0, 0, 0, 0} }, []string{"multicast"}},
		{"jumbo", func(p *Port) { p.MTU = 9000 }, nil},
		{"MTU too large", func(p *Port) { p.MTU = 65536 }, []string{"65536"}},
		{"MTU too small", func(p *Port) { p.MTU = 67 }, []string{"67"}},
		{"MTU too small for IPv6", func(p *Port) { p.MTU, p.Addresses = 1279, v6 }, []string{"1280"}},
		{"invalid address", func(p *Port) { p.Addresses = []netip.Prefix{{}} }, []string{"not valid"}},
		{"all at once", func(p *Port) { p.VLAN, p.Interface, p.Index = -1, "", -1 }, []string{"VLAN -1", "empty", "index -1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := good
			c.change(&p)
			err := p.Check()
			if len(c.want) == 0 && err != nil {
				t.Errorf("unexpected: %v", err)
			}
			for _, w := range c.want {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("error %v does not say %q", err, w)
				}
			}
		})
	}
}

func TestPortNamesAreDistinct(t *testing.T) {
	seen := map[string]Port{}
	for number := 1; number <= 120; number++ {
		for index := range 12 {
			p := Port{MachineNumber: number, Index: index}
			if other, ok := seen[portName(p)]; ok {
				t.Fatalf("%+v and %+v share the name %q", p, other, portName(p))
			}
			seen[portName(p)] = p
		}
	}
}
