package spec

import (
	"encoding/json"
	"time"
)

// DefaultTimeout is how long a test may take when it does not say.
const DefaultTimeout = time.Hour

// MaxVLAN is the highest VLAN number. Machines get 192.168.<vlan>.<number>,
// so a VLAN number has to fit an octet.
const MaxVLAN = 255

// MaxMachines is how many machines a test holds: their numbers are the last
// octet of their addresses, .254 is the bridge's and .255 is broadcast.
const MaxMachines = 253

// Test is one run of the driver: machines, the networks between them and the
// script that exercises them.
type Test struct {
	// VMs and Containers are keyed by machine name. A name is in one of them.
	VMs, Containers map[string]*Machine
	// VLANs lists the networks to create, ascending, each once.
	VLANs []int
	// GlobalTimeout limits the whole run. It is more than 0.
	GlobalTimeout time.Duration
	// EnableSSHBackdoor asks for an SSH server on vsock in every machine.
	EnableSSHBackdoor bool
	// TestScript is the absolute path of the Python test script.
	TestScript string
	// DisplayViewers is upstream's "display_viewers", kept as it was written.
	DisplayViewers json.RawMessage
}

// Kind tells containers from virtual machines.
type Kind string

// The kinds of machine.
const (
	KindContainer Kind = "container"
	KindVM        Kind = "vm"
)

// Machine is one machine of a test. For a VM only Name, Kind, Number and
// StartScript are set: its script is run as it is.
type Machine struct {
	// Name is unique in the test: letters, digits, "-", "_" and ".", at most
	// 64 bytes. See [Identifier] for its name in the test script.
	Name string
	// Kind is what the machine runs as.
	Kind Kind
	// Number counts the machines of the test by name, from 1. It is the last
	// octet of the machine's addresses.
	Number int
	// StartScript is the absolute path of the script that the entry named, ""
	// for Nestbox's own machine object.
	StartScript string
	// Init is the absolute path, inside the machine, of its first process.
	Init string
	// Cmdline holds the arguments of Init.
	Cmdline []string
	// Interfaces are the machine's network cards, in the order written.
	Interfaces []Interface
	// Mounts are mounted in order, on top of what every container gets
	// (/proc, /sys, /dev, /run, /tmp/shared and /nix/store).
	Mounts []Mount
	// Env is added to the environment of Init.
	Env map[string]string
	// Credentials are passed by systemd's container interface
	// (https://systemd.io/CREDENTIALS), keyed by their id.
	Credentials map[string]Credential
	// Devices are paths of device nodes of the host, such as /dev/net/tun.
	Devices []string
	// Limits bound the machine's cgroup.
	Limits Limits
	// Root is the machine's root file system.
	Root Root
	// WritableStore asks for an overlay over /nix/store that the machine can
	// write to; otherwise the store is read-only.
	WritableStore bool
	// Notes say, for the debug log, what a start script asked for that has no
	// meaning here.
	Notes []string
	// DisplayTargets and DisplayExporters are upstream's "display_targets"
	// and "display_exporters", kept as they were written.
	DisplayTargets, DisplayExporters json.RawMessage
}

// Interface is a network card and the VLAN that it is plugged into.
type Interface struct {
	// Name is the card's name inside the machine, at most 15 bytes.
	Name string
	// VLAN is one of the test's VLANs, 0 to [MaxVLAN].
	VLAN int
	// MAC is the card's address, lower case with colons. The default is
	// 52:54:00:12:<vlan>:<number>.
	MAC string
	// Addresses are assigned before the machine boots, in CIDR notation. None
	// means that the machine configures itself, as NixOS does.
	Addresses []string
}

// MountType says what is mounted.
type MountType string

// The types of mount.
const (
	MountBind  MountType = "bind"
	MountTmpfs MountType = "tmpfs"
)

// Mount is a file system, or a file, that appears inside a machine.
type Mount struct {
	// Source is the absolute path, outside, of a bind mount; "" for a tmpfs.
	Source string
	// Target is the absolute, clean path inside.
	Target string
	// Type is bind unless written otherwise.
	Type MountType
	// ReadOnly makes the mount read-only, a bind mount recursively so.
	ReadOnly bool
	// Options are further words of mount(8) such as "noexec"; for a tmpfs also
	// those of tmpfs(5), such as "size=64M". A bind mount is recursive unless
	// "bind" is among them.
	Options []string
}

// Credential is what a credential holds: the content of the file Source, or
// Text (any bytes) when Source is "".
type Credential struct {
	Source string
	Text   string
}

// Limits bound what a machine uses. 0 means no limit.
type Limits struct {
	// Memory is in bytes (memory.max).
	Memory int64
	// CPUs is in whole CPUs, 0.5 being half of one (cpu.max).
	CPUs float64
	// PIDs is the number of tasks (pids.max).
	PIDs int64
}

// RootKind says what a root file system is made of.
type RootKind string

// The kinds of root file system.
const (
	// RootDirectory is a plain directory, empty at first.
	RootDirectory RootKind = "directory"
	// RootOverlay is an overlay whose lower layer is a given tree.
	RootOverlay RootKind = "overlay"
)

// Root is a machine's root file system.
type Root struct {
	// Kind is directory unless written otherwise.
	Kind RootKind
	// Path is the absolute path of the directory to use (for an overlay, of
	// what is written). "" leaves it to the driver, which takes the machine's
	// state directory; so it always is for a start script.
	Path string
	// Lower is the absolute path of the tree below an overlay.
	Lower string
}
