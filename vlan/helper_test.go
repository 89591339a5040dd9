package vlan

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/nestbox/nestbox/internal/testenv"
)

// helperVar, when set, makes this test binary one of the processes that tests
// need, instead of running tests.
const helperVar = "NESTBOX_VLAN_TEST_HELPER"

func TestMain(m *testing.M) {
	switch os.Getenv(helperVar) {
	case "":
		os.Exit(m.Run())
	case "hold": // keeps its namespaces alive
		fmt.Println("ready")
	case "switch": // owns a switch with a port in the namespace given as fd 3
		s, err := NewSwitch()
		if err == nil {
			err = s.AddVLAN(1)
		}
		if err == nil {
			err = s.Attach(port("victim", 1, 1), os.NewFile(3, "victim"))
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("ready")
	}
	io.Copy(io.Discard, os.Stdin)
}

// helper starts this binary in a mode of TestMain and waits until it is ready.
func helper(t testing.TB, mode string, attr *syscall.SysProcAttr, files ...*os.File) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVar+"="+mode)
	cmd.ExtraFiles = files
	cmd.SysProcAttr = attr
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("helper %q said %q instead of ready", mode, line)
	}
	return cmd
}

// machine is a network namespace owned by a user namespace below ours, as a
// container's is.
func machine(t testing.TB) *os.File {
	t.Helper()
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
	cmd := helper(t, "hold", &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: ids,
		GidMappings: ids,
	})
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// emptyNetns is a namespace without a process and with our user namespace,
// which is quicker to make than a machine.
func emptyNetns(t testing.TB) (f *os.File) {
	t.Helper()
	err := inNetns(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, func() (err error) {
		f, err = os.Open(threadNetns)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// newSwitch makes a switch with some VLANs.
func newSwitch(t testing.TB, vlans ...int) *Switch {
	t.Helper()
	testenv.RequireRoot(t)
	s, err := NewSwitch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for _, v := range vlans {
		if err := s.AddVLAN(v); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// port is a machine's usual card on a VLAN, with addresses.
func port(name string, number, vlan int) Port {
	return Port{
		Machine: name, MachineNumber: number, Index: vlan,
		Interface: fmt.Sprintf("eth%d", vlan), VLAN: vlan,
		Addresses: MachineAddresses(vlan, number),
	}
}

// v4 and v6 are a machine's addresses.
func v4(vlan, number int) netip.Addr { return MachineAddresses(vlan, number)[0].Addr() }
func v6(vlan, number int) netip.Addr { return MachineAddresses(vlan, number)[1].Addr() }

func attach(t testing.TB, s *Switch, p Port, netns *os.File) {
	t.Helper()
	if err := s.Attach(p, netns); err != nil {
		t.Fatal(err)
	}
}

// in runs fn inside a namespace.
func in(t testing.TB, netns *os.File, fn func() error) {
	t.Helper()
	if err := inNetns(into(netns), fn); err != nil {
		t.Fatal(err)
	}
}

// errNoAnswer: no datagram came back.
var errNoAnswer = errors.New("no answer")

// echo sends a datagram of size bytes, unfragmented, from one namespace to an
// address in another, which sends it back.
func echo(t testing.TB, from, to *os.File, addr netip.Addr, size int, wait time.Duration) error {
	t.Helper()
	var server, client *net.UDPConn
	in(t, to, func() (err error) {
		server, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		return err
	})
	defer server.Close()
	go func() {
		buf := make([]byte, MaxMTU)
		if n, peer, err := server.ReadFromUDPAddrPort(buf); err == nil {
			server.WriteToUDPAddrPort(buf[:n], peer)
		}
	}()
	err := inNetns(into(from), func() (err error) {
		client, err = net.DialUDP("udp", nil, server.LocalAddr().(*net.UDPAddr))
		return err
	})
	if err != nil {
		return err
	}
	defer client.Close()
	raw, err := client.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		if addr.Is4() {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	message := []byte(strings.Repeat("x", size))
	if _, err := client.Write(message); err != nil {
		return err
	}
	client.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, MaxMTU)
	n, err := client.Read(buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errNoAnswer
	}
	if err == nil && n != size {
		t.Fatalf("sent %d bytes, got %d back", size, n)
	}
	return err
}

// handleIn is a netlink handle inside a namespace.
func handleIn(t testing.TB, ns *os.File) *netlink.Handle {
	t.Helper()
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func linkIn(t testing.TB, ns *os.File, name string) netlink.Link {
	t.Helper()
	link, err := handleIn(t, ns).LinkByName(name)
	if err != nil {
		t.Fatalf("finding %q: %v", name, err)
	}
	return link
}

// awaitGone returns a function that fails the test unless the link named is
// deleted from ns within 20 seconds.
func awaitGone(t testing.TB, ns *os.File, name string) func() {
	t.Helper()
	updates, stop := make(chan netlink.LinkUpdate, 16), make(chan struct{})
	handle := netns.NsHandle(ns.Fd())
	err := netlink.LinkSubscribeWithOptions(updates, stop, netlink.LinkSubscribeOptions{Namespace: &handle})
	if err != nil {
		t.Fatal(err)
	}
	linkIn(t, ns, name) // it is there now
	return func() {
		t.Helper()
		defer close(stop)
		deadline := time.After(20 * time.Second)
		for {
			select {
			case u := <-updates:
				if u.Header.Type == unix.RTM_DELLINK && u.Link.Attrs().Name == name {
					return
				}
			case <-deadline:
				t.Fatalf("%q is still there", name)
			}
		}
	}
}
