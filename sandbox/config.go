// Package sandbox makes the place that the driver runs in fit to hold
// machines, and runs machines in it as containers.
//
// [Enter] and [Prepare] see to the place: a mount namespace of our own first,
// then whatever a bare Nix build lacks. [Config] says, without doing anything,
// what a machine's container looks like; [Container] creates, runs and stops
// one through runc's libcontainer. What a machine's init finds is systemd's
// container interface (https://systemd.io/CONTAINER_INTERFACE).
package sandbox

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/cgroups"
	devices "github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"github.com/nestbox/nestbox/spec"
)

// Layout is where a machine's files are, outside the machine.
type Layout struct {
	Root       string // becomes /
	HostDir    string // becomes /run/host; a read-only mount, see [BindReadOnly]
	SharedDir  string // becomes /tmp/shared
	StoreDir   string // becomes /nix/store, as writable as it is; empty: none
	CgroupPath string // of the payload, relative to the cgroup2 mount
}

// Files of [Layout.HostDir], the names being those inside /run/host.
const (
	notifyName      = "notify"
	journalName     = "journal"
	credentialsName = "credentials"
)

// containerName is what init finds in $container. systemd knows a fixed list
// of names, and existing tests expect that of the tool they were written for.
const containerName = "systemd-nspawn"

// hostNameMax is the longest host name, without the final NUL (hostname(7)).
const hostNameMax = 64

// Config returns libcontainer's configuration of machine m's container.
func Config(m *spec.Machine, l Layout) *configs.Config {
	ids := []configs.IDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
	all := allCapabilities()
	return &configs.Config{
		Rootfs:   l.Root,
		Hostname: m.Name[:min(len(m.Name), hostNameMax)],
		// For as long as libcontainer sets the machine up; from then on package
		// stage sees to it that the machine dies with the driver.
		ParentDeathSignal: int(unix.SIGKILL),
		Namespaces: configs.Namespaces{
			{Type: configs.NEWUSER}, {Type: configs.NEWPID}, {Type: configs.NEWNS},
			{Type: configs.NEWUTS}, {Type: configs.NEWIPC}, {Type: configs.NEWNET},
			{Type: configs.NEWCGROUP},
		},
		UIDMappings: ids,
		GIDMappings: ids,
		Capabilities: &configs.Capabilities{
			Bounding: all, Effective: all, Permitted: all,
		},
		// A keyring a machine would soon use up the quota of the user that all
		// machines are charged to (kernel.keys.maxkeys).
		NoNewKeyring: true,
		// As systemd-nspawn does: services with mount namespaces of their own see
		// what is mounted later.
		RootPropagation: unix.MS_SHARED | unix.MS_REC,
		Mounts:          mounts(m, l),
		// Read-only is systemd's sign that udev has nothing to do here. It is
		// this mount of sysfs alone that must not be written: were it the file
		// system, then "ip netns exec" could not mount its own.
		ReadonlyPaths: []string{"/sys"},
		Devices:       nodes(),
		Cgroups: &cgroups.Cgroup{
			Path: l.CgroupPath,
			// Device rules are eBPF programs, which only the initial user
			// namespace may load; what a machine can open is decided by the
			// nodes it is given.
			Resources: &cgroups.Resources{Devices: []*devices.Rule{{
				Type: devices.WildcardDevice, Major: devices.Wildcard, Minor: devices.Wildcard,
				Permissions: "rwm", Allow: true,
			}}},
		},
	}
}

// Env returns the environment of a machine's init.
func Env(m *spec.Machine) []string {
	env := map[string]string{
		"container":             containerName,
		"container_uuid":        UUID(m.Name),
		"NOTIFY_SOCKET":         "/run/host/" + notifyName,
		"CREDENTIALS_DIRECTORY": "/run/host/" + credentialsName,
		"PATH":                  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		// The console is a log. Of a terminal with a type systemd 262 asks the
		// size and the name by escape sequences, and waits 2 x 333 ms for
		// answers that nobody gives.
		"TERM":    "dumb",
		"HOME":    "/root",
		"USER":    "root",
		"LOGNAME": "root",
	}
	maps.Copy(env, m.Env)
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// UUID returns the machine id of the machine of that name: the same in every
// run, different for each name, in the form of a version 4 UUID.
func UUID(name string) string {
	sum := sha256.Sum256([]byte("nestbox machine " + name))
	sum[6] = sum[6]&0x0f | 0x40
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

const safe = unix.MS_NOSUID | unix.MS_NODEV

func mounts(m *spec.Machine, l Layout) []*configs.Mount {
	list := []*configs.Mount{
		{Device: "proc", Source: "proc", Destination: "/proc", Flags: safe | unix.MS_NOEXEC},
		{Device: "sysfs", Source: "sysfs", Destination: "/sys", Flags: safe | unix.MS_NOEXEC},
		{Device: "cgroup", Source: "cgroup", Destination: "/sys/fs/cgroup", Flags: safe | unix.MS_NOEXEC},
		{Device: "tmpfs", Source: "tmpfs", Destination: "/dev", Flags: unix.MS_NOSUID | unix.MS_STRICTATIME, Data: "mode=755,size=4m"},
		{Device: "devpts", Source: "devpts", Destination: "/dev/pts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Data: "newinstance,ptmxmode=0666,mode=0620,gid=5"},
		{Device: "tmpfs", Source: "tmpfs", Destination: "/dev/shm", Flags: safe, Data: "mode=1777"},
		{Device: "mqueue", Source: "mqueue", Destination: "/dev/mqueue", Flags: safe | unix.MS_NOEXEC},
		{Device: "tmpfs", Source: "tmpfs", Destination: "/run", Flags: safe | unix.MS_STRICTATIME, Data: "mode=755"},
		{Device: "tmpfs", Source: "tmpfs", Destination: "/tmp", Flags: safe | unix.MS_STRICTATIME, Data: "mode=1777"},
		bind(l.HostDir, "/run/host", unix.MS_RDONLY|safe|unix.MS_NOEXEC),
		bind(l.SharedDir, "/tmp/shared", safe),
	}
	if l.StoreDir != "" {
		list = append(list, bind(l.StoreDir, "/nix/store", 0))
	}
	for _, mount := range m.Mounts {
		list = append(list, userMount(mount))
	}
	for _, path := range m.Devices {
		list = append(list, &configs.Mount{Device: "bind", Source: path, Destination: path, Flags: unix.MS_BIND | unix.MS_NOSUID})
	}
	return list
}

func bind(source, target string, flags int) *configs.Mount {
	return &configs.Mount{Device: "bind", Source: source, Destination: target, Flags: unix.MS_BIND | unix.MS_REC | flags}
}

// mountWords are mount(8)'s words that are flags of mount(2).
//
//nolint:gochecknoglobals // a table that nobody writes to
var mountWords = map[string]int{
	"ro": unix.MS_RDONLY, "nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV,
	"noexec": unix.MS_NOEXEC, "noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME,
	"relatime": unix.MS_RELATIME, "strictatime": unix.MS_STRICTATIME,
	"rw": 0, "suid": 0, "dev": 0, "exec": 0, "rbind": 0, "bind": 0, "norbind": 0,
	"idmap": 0, "noidmap": 0, "rootidmap": 0, "owneridmap": 0,
}

func userMount(m spec.Mount) *configs.Mount {
	out := &configs.Mount{Device: string(m.Type), Source: m.Source, Destination: m.Target}
	if m.Type == spec.MountTmpfs {
		out.Source = "tmpfs"
	} else {
		out.Flags = unix.MS_BIND | unix.MS_REC
	}
	if m.ReadOnly {
		out.Flags |= unix.MS_RDONLY
	}
	var data []string
	for _, word := range m.Options {
		flag, known := mountWords[word]
		switch {
		case word == "bind" || word == "norbind":
			out.Flags &^= unix.MS_REC
		case known:
			out.Flags |= flag
		default:
			data = append(data, word)
		}
	}
	out.Data = strings.Join(data, ",")
	if all := unix.MS_BIND | unix.MS_REC | unix.MS_RDONLY; out.Flags&all == all {
		// mount(2) makes only the topmost mount read-only.
		out.RecAttr = &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	}
	return out
}

// overlayOptions are those that work in a user namespace: attributes of the
// overlay are kept as user.*, as trusted.* needs the initial one.
func overlayOptions(lower, upper string) string {
	return fmt.Sprintf("userxattr,lowerdir=%s,upperdir=%s,workdir=%s",
		lower, filepath.Join(upper, "upper"), filepath.Join(upper, "work"))
}

// nodes are the device nodes that every container has. In a user namespace
// libcontainer binds them from outside, as mknod(2) is not allowed there.
func nodes() []*devices.Device {
	var list []*devices.Device
	for _, n := range []struct {
		path         string
		major, minor int64
	}{
		{"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7},
		{"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
	} {
		list = append(list, &devices.Device{
			Path: n.path, FileMode: 0o666,
			Rule: devices.Rule{Type: devices.CharDevice, Major: n.major, Minor: n.minor, Permissions: "rwm", Allow: true},
		})
	}
	return list
}
