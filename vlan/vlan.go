// Package vlan joins the machines of one test by bridges that nobody else on
// the host can see.
//
// All bridges of a test live in one network namespace of their own, the
// [Switch]. Nothing but an open file holds that namespace, so the kernel
// removes every bridge and veth when the driver ends, however it ends. A
// machine has a network namespace too; a [Port] is a veth pair whose one side
// is a port of a VLAN's bridge and whose other side is created inside the
// machine, with its final name and MAC address:
//
//	switch namespace                        namespace of machine "web"
//	br1 (192.168.1.254/24) ── m2p1 ════════ eth1 (192.168.1.2/24)
//	br2 (192.168.2.254/24) ── m2p2 ════════ eth2 (192.168.2.2/24)
//
// The test script runs inside the switch namespace ([Switch.Do] starts it
// there), which is why each bridge has addresses.
//
// # Frame sizes
//
// Like a hardware switch, the bridge side takes frames as large as a veth can
// carry (65535 bytes), whatever a machine's own MTU is. A machine's interface
// has the usual 1500 bytes unless [Port].MTU asks for more, so two machines
// that ask for 9000 exchange jumbo frames, and a machine that doesn't never
// sees one. The bridge device itself, that is the script's side, stays at
// 1500, so that what scripts send fits every machine.
//
// # IPv6
//
// No address waits for duplicate address detection, which would cost a second
// or two on every start: it is switched off on the bridges and on the
// interfaces inside the machines, also for addresses that the machine's own
// system sets.
//
// What is named how, and what is allowed, is decided by the pure functions of
// plan.go; the rest of the package carries it out.
package vlan
