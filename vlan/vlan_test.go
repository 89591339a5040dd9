package vlan

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// atOnce is far below the second that a repeated neighbour solicitation or an
// address check takes, and far above what a busy machine needs.
const atOnce = 700 * time.Millisecond

// never is how long tests wait for what must not come.
const never = 200 * time.Millisecond

func TestReachability(t *testing.T) {
	s := newSwitch(t, 1)
	a, b := machine(t), machine(t)
	attach(t, s, port("a", 1, 1), a)
	attach(t, s, port("b", 2, 1), b)

	// First of all, before anything could have settled.
	if err := echo(t, a, b, v6(1, 2), 100, atOnce); err != nil {
		t.Errorf("a to b by IPv6, at once: %v", err)
	}
	if err := echo(t, b, a, v4(1, 1), 100, atOnce); err != nil {
		t.Errorf("b to a by IPv4: %v", err)
	}
	for _, bridge := range BridgeAddresses(1) {
		if err := echo(t, a, s.File(), bridge.Addr(), 100, atOnce); err != nil {
			t.Errorf("a to the script's side, %s: %v", bridge, err)
		}
	}
	if err := echo(t, s.File(), a, v6(1, 1), 100, atOnce); err != nil {
		t.Errorf("the script's side to a by IPv6: %v", err)
	}
}

func TestTwoVLANs(t *testing.T) {
	s := newSwitch(t, 1, 2)
	one, two, both := machine(t), machine(t), machine(t)
	attach(t, s, port("one", 1, 1), one)
	attach(t, s, port("two", 2, 2), two)
	attach(t, s, port("both", 3, 1), both)
	attach(t, s, port("both", 3, 2), both)

	for _, c := range []struct {
		from, to *os.File
		addr     netip.Addr
	}{
		{one, both, v4(1, 3)}, {both, one, v6(1, 1)},
		{two, both, v6(2, 3)}, {both, two, v4(2, 2)},
	} {
		if err := echo(t, c.from, c.to, c.addr, 100, atOnce); err != nil {
			t.Errorf("within a VLAN, to %s: %v", c.addr, err)
		}
	}

	// Without a route nothing leaves at all. With one, through the bridge or
	// straight onto the wire, still nothing may arrive.
	if err := echo(t, one, two, v4(2, 2), 100, never); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("from VLAN 1 to 2: %v, want no route", err)
	}
	for _, by := range []struct{ one, two net.IP }{
		{net.IPv4(192, 168, 1, 254), net.IPv4(192, 168, 2, 254)},
		{nil, nil},
	} {
		gw := by.one
		route(t, one, 1, "192.168.2.0/24", by.one)
		route(t, two, 2, "192.168.1.0/24", by.two)
		if err := echo(t, one, two, v4(2, 2), 100, never); !errors.Is(err, errNoAnswer) && !errors.Is(err, unix.EHOSTUNREACH) {
			t.Errorf("from VLAN 1 to 2 by gateway %v: %v, want no answer", gw, err)
		}
		if err := echo(t, one, s.File(), netip.MustParseAddr("192.168.2.254"), 100, never); gw == nil && !errors.Is(err, errNoAnswer) && !errors.Is(err, unix.EHOSTUNREACH) {
			t.Errorf("from VLAN 1 to the bridge of VLAN 2: %v, want no answer", err)
		}
	}
	route(t, one, 1, "2001:db8:2::/64", net.ParseIP("2001:db8:1::fe"))
	route(t, two, 2, "2001:db8:1::/64", net.ParseIP("2001:db8:2::fe"))
	if err := echo(t, one, two, v6(2, 2), 100, never); !errors.Is(err, errNoAnswer) && !errors.Is(err, unix.EHOSTUNREACH) && !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("from VLAN 1 to 2 by IPv6: %v, want no answer", err)
	}

	in(t, s.File(), func() error {
		got, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
		if err == nil && strings.TrimSpace(string(got)) != "0" {
			err = fmt.Errorf("ip_forward is %s", got)
		}
		return err
	})
}

// route adds or replaces a route of a machine through its card on a VLAN.
func route(t *testing.T, ns *os.File, vlan int, to string, via net.IP) {
	t.Helper()
	_, dst, err := net.ParseCIDR(to)
	if err != nil {
		t.Fatal(err)
	}
	r := &netlink.Route{Dst: dst, Gw: via, LinkIndex: linkIn(t, ns, fmt.Sprintf("eth%d", vlan)).Attrs().Index}
	if err := handleIn(t, ns).RouteReplace(r); err != nil {
		t.Fatal(err)
	}
}

func TestJumboFrames(t *testing.T) {
	s := newSwitch(t, 1)
	jumbo1, jumbo2, plain := machine(t), machine(t), machine(t)
	for i, m := range []*os.File{jumbo1, jumbo2, plain} {
		p := port("m", i+1, 1)
		if m != plain {
			p.MTU = 9000
		}
		attach(t, s, p, m)
	}
	const headers = 20 + 8 // IPv4 and UDP
	if err := echo(t, jumbo1, jumbo2, v4(1, 2), 9000-headers, atOnce); err != nil {
		t.Errorf("9000 bytes between machines that asked for them: %v", err)
	}
	if err := echo(t, jumbo1, jumbo2, v6(1, 2), 9000-headers-20, atOnce); err != nil {
		t.Errorf("9000 bytes by IPv6: %v", err)
	}
	if err := echo(t, jumbo1, plain, v4(1, 3), 9000-headers, never); !errors.Is(err, errNoAnswer) {
		t.Errorf("9000 bytes to a machine that did not ask: %v, want no answer", err)
	}
	if err := echo(t, plain, jumbo1, v4(1, 1), 1500-headers+1, never); !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("1501 bytes from a machine with the default MTU: %v, want EMSGSIZE", err)
	}
	if err := echo(t, plain, jumbo1, v4(1, 1), 1500-headers, atOnce); err != nil {
		t.Errorf("1500 bytes: %v", err)
	}
	if got := linkIn(t, s.File(), "br1").Attrs().MTU; got != 1500 {
		t.Errorf("the bridge's MTU became %d", got)
	}
	if got := linkIn(t, plain, "eth1").Attrs().MTU; got != 1500 {
		t.Errorf("the machine's MTU is %d, want 1500", got)
	}
}

func TestLongNameAndIdentity(t *testing.T) {
	s := newSwitch(t, 12)
	m := machine(t)
	name := strings.Repeat("long-machine-name-", 4)[:60]
	p := port(name, 21, 12)
	p.Interface = "fifteen-bytes15"
	attach(t, s, p, m)

	inside := linkIn(t, m, p.Interface).Attrs()
	if got := inside.HardwareAddr.String(); got != "52:54:00:12:0c:15" {
		t.Errorf("MAC address inside is %s", got)
	}
	if got := linkIn(t, s.File(), "m21p12").Attrs().Alias; got != name+":"+p.Interface {
		t.Errorf("alias is %q", got)
	}
	if got := linkIn(t, s.File(), "br12").Attrs().HardwareAddr.String(); got != "52:54:00:12:0c:fe" {
		t.Errorf("the bridge's MAC address is %s", got)
	}
	addrs, err := handleIn(t, s.File()).AddrList(linkIn(t, s.File(), "m21p12"), netlink.FAMILY_V6)
	if err != nil || len(addrs) != 0 {
		t.Errorf("the bridge's side of a port has IPv6 addresses: %v, %v", addrs, err)
	}
}

// A machine that configures itself, as NixOS does.
func TestMachineConfiguresItself(t *testing.T) {
	s := newSwitch(t, 1)
	m := machine(t)
	p := port("m", 1, 1)
	p.Addresses = nil
	attach(t, s, p, m)

	link := linkIn(t, m, "eth1")
	if link.Attrs().Flags&net.FlagUp != 0 {
		t.Error("the interface is up before the machine brought it up")
	}
	h := handleIn(t, m)
	s.mu.Lock()
	bridge := s.bridges[1]
	s.mu.Unlock()
	err := s.awaitForwarding(linkIn(t, s.File(), "m1p1").Attrs().Index, bridge, true, func() error {
		return setAddresses(m, h, link.Attrs().Index, MachineAddresses(1, 1))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := echo(t, s.File(), m, v6(1, 1), 100, atOnce); err != nil {
		t.Errorf("an IPv6 address set inside, at once: %v", err)
	}
}

func TestSetLink(t *testing.T) {
	s := newSwitch(t, 1)
	m := machine(t)
	p := port("m", 1, 1)
	attach(t, s, p, m)
	for _, up := range []bool{true, false, false, true} {
		if err := s.SetLink(p, up); err != nil {
			t.Fatal(err)
		}
		wait := never
		if up {
			// The attempt while the cable was out has started the script's
			// side asking for the machine's MAC address, once a second.
			wait = atOnce + time.Second
		}
		err := echo(t, s.File(), m, v4(1, 1), 100, wait)
		if up && err != nil {
			t.Errorf("plugged in: %v", err)
		}
		if !up && err == nil {
			t.Error("reachable although its cable is out")
		}
	}
	if err := s.SetLink(port("other", 2, 1), true); err == nil {
		t.Error("setting the link of a port that does not exist: no error")
	}
}

func TestAttachErrors(t *testing.T) {
	s := newSwitch(t, 1)
	m := machine(t)
	if err := s.Attach(port("m", 1, 2), m); !errors.Is(err, ErrNoVLAN) {
		t.Errorf("VLAN without bridge: %v, want ErrNoVLAN", err)
	}
	attach(t, s, port("m", 1, 1), m)
	clash := port("m", 1, 1)
	clash.Index = 9
	if err := s.Attach(clash, m); err == nil || !strings.Contains(err.Error(), "has one of that name") {
		t.Errorf("name taken inside: %v", err)
	}
	bad := port("m", 1, 1)
	bad.Interface = "much-too-long-a-name"
	if err := s.Attach(bad, m); err == nil || !strings.Contains(err.Error(), "m:much-too-long-a-name") {
		t.Errorf("bad port: %v", err)
	}
	if err := s.AddVLAN(256); err == nil {
		t.Error("VLAN 256 was added")
	}
	if err := s.AddVLAN(1); err != nil {
		t.Errorf("adding a VLAN twice: %v", err)
	}
	// Attached again after a restart, perhaps while the old one lingers.
	again := machine(t)
	attach(t, s, port("m", 1, 1), again)
	if err := echo(t, s.File(), again, v4(1, 1), 100, atOnce); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	s := newSwitch(t, 1)
	const machines = 24
	all := make([]*os.File, machines)
	for i := range all {
		all[i] = machine(t)
	}
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range all {
		wg.Go(func() {
			if err := s.Attach(port("m", i+1, 1), all[i]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	t.Logf("%d machines attached in %v", machines, time.Since(begin))
	if err := echo(t, all[0], all[machines-1], v6(1, machines), 100, atOnce); err != nil {
		t.Error(err)
	}
	home := netnsOf(t, "self")
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		if got := netnsOf(t, "self/task/"+task.Name()); got != home && got != "" {
			t.Errorf("thread %s was left in %s instead of %s", task.Name(), got, home)
		}
	}
}

// netnsOf is empty for a thread that has ended.
func netnsOf(t *testing.T, who string) string {
	t.Helper()
	ns, err := os.Readlink("/proc/" + who + "/ns/net")
	if err != nil && !os.IsNotExist(err) && !errors.Is(err, unix.ESRCH) {
		t.Fatal(err)
	}
	return ns
}

func TestDoStartsProcessesInside(t *testing.T) {
	s := newSwitch(t)
	want := fmt.Sprintf("net:[%d]", inode(t, s.File()))
	var got []byte
	err := s.Do(func() (err error) {
		got, err = exec.Command("readlink", "/proc/self/ns/net").Output()
		return err
	})
	if err != nil || strings.TrimSpace(string(got)) != want {
		t.Errorf("a child is in %q, %v; want %q", got, err, want)
	}
	if got := netnsOf(t, "thread-self"); got == want {
		t.Error("the caller moved too")
	}
	boom := errors.New("boom")
	if err := s.Do(func() error { return boom }); !errors.Is(err, boom) {
		t.Errorf("Do returned %v, want what its function returned", err)
	}
	if lo := linkIn(t, s.File(), "lo"); lo.Attrs().Flags&net.FlagUp == 0 {
		t.Error("lo is down")
	}
}

func inode(t *testing.T, f *os.File) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestCloseLeavesNothing(t *testing.T) {
	s := newSwitch(t, 1)
	m := machine(t)
	attach(t, s, port("m", 1, 1), m)
	gone := awaitGone(t, m, "eth1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	gone()
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func TestKillLeavesNothing(t *testing.T) {
	newSwitch(t) // for its gate
	m := machine(t)
	owner := helper(t, "switch", nil, m)
	gone := awaitGone(t, m, "eth1")
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	gone()
}

// BenchmarkAttach gives the time for a port of one of 24 machines, one after
// the other: go test -bench Attach -benchtime 10x ./vlan
func BenchmarkAttach(b *testing.B) {
	const machines = 24
	for _, addresses := range []bool{false, true} {
		b.Run(fmt.Sprintf("addresses=%t", addresses), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s := newSwitch(b, 1)
				var all []*os.File
				for range machines {
					all = append(all, emptyNetns(b))
				}
				b.StartTimer()
				for i, m := range all {
					p := port("m", i+1, 1)
					if !addresses {
						p.Addresses = nil
					}
					attach(b, s, p, m)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/machines, "µs/port")
		})
	}
}
