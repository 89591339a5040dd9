package sandbox

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"github.com/nestbox/nestbox/spec"
)

// everything is a machine that asks for all there is.
func everything() *spec.Machine {
	return &spec.Machine{
		Name: "web", Kind: spec.KindContainer, Number: 3,
		Init: "/nix/store/x-system/init", Cmdline: []string{"systemd.log_level=debug"},
		Interfaces: []spec.Interface{{Name: "eth1", VLAN: 1}},
		Mounts: []spec.Mount{
			{Source: "/srv", Target: "/mnt/srv", Type: spec.MountBind},
			{Source: "/ro", Target: "/mnt/ro", Type: spec.MountBind, ReadOnly: true, Options: []string{"noexec", "nosuid"}},
			{Source: "/one", Target: "/mnt/one", Type: spec.MountBind, ReadOnly: true, Options: []string{"bind"}},
			{Target: "/scratch", Type: spec.MountTmpfs, Options: []string{"size=64M", "nodev", "mode=700"}},
		},
		Env:           map[string]string{"PATH": "/own/bin", "EMPTY": "", "LANG": "C.UTF-8"},
		Devices:       []string{"/dev/net/tun", "/dev/fuse"},
		WritableStore: true,
	}
}

func layout() Layout {
	return Layout{
		Root: "/tmp/root", HostDir: "/tmp/host", SharedDir: "/tmp/shared-xchg",
		StoreDir: "/nix/store", CgroupPath: "/m-web/payload",
	}
}

// flagNames are the flags of mount(2), for people.
func flagNames(flags int) string {
	var names []string
	for _, f := range []struct {
		bit  int
		name string
	}{
		{unix.MS_BIND, "bind"}, {unix.MS_REC, "rec"}, {unix.MS_RDONLY, "ro"}, {unix.MS_NOSUID, "nosuid"},
		{unix.MS_NODEV, "nodev"}, {unix.MS_NOEXEC, "noexec"}, {unix.MS_STRICTATIME, "strictatime"},
		{unix.MS_NOATIME, "noatime"}, {unix.MS_SHARED, "shared"}, {unix.MS_NODIRATIME, "nodiratime"},
		{unix.MS_RELATIME, "relatime"},
	} {
		if flags&f.bit != 0 {
			names, flags = append(names, f.name), flags&^f.bit
		}
	}
	if flags != 0 {
		names = append(names, fmt.Sprintf("%#x", flags))
	}
	return strings.Join(names, ",")
}

func mountText(m *configs.Mount) string {
	text := fmt.Sprintf("%s %s on %s (%s)", m.Device, m.Source, m.Destination, flagNames(m.Flags))
	if m.Data != "" {
		text += " data=" + m.Data
	}
	if m.RecAttr != nil {
		text += fmt.Sprintf(" recursively set=%#x clear=%#x", m.RecAttr.Attr_set, m.RecAttr.Attr_clr)
	}
	return text
}

// configText renders what matters of a configuration, for the golden file.
func configText(c *configs.Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "root %s\nhostname %s\nparent death signal %d\n", c.Rootfs, c.Hostname, c.ParentDeathSignal)
	for _, ns := range c.Namespaces {
		fmt.Fprintf(&b, "namespace %s %q\n", ns.Type, ns.Path)
	}
	for _, m := range c.UIDMappings {
		fmt.Fprintf(&b, "users %d = %d, %d of them\n", m.ContainerID, m.HostID, m.Size)
	}
	for _, m := range c.GIDMappings {
		fmt.Fprintf(&b, "groups %d = %d, %d of them\n", m.ContainerID, m.HostID, m.Size)
	}
	fmt.Fprintf(&b, "propagation %s\nno new keyring %v\nread-only %q\n", flagNames(c.RootPropagation), c.NoNewKeyring, c.ReadonlyPaths)
	fmt.Fprintf(&b, "cgroup %s\n", c.Cgroups.Path)
	for _, r := range c.Cgroups.Devices {
		fmt.Fprintf(&b, "device rule %s allow=%v\n", r.CgroupString(), r.Allow)
	}
	for _, d := range c.Devices {
		fmt.Fprintf(&b, "node %s %c %d:%d %o\n", d.Path, d.Type, d.Major, d.Minor, d.FileMode)
	}
	for _, m := range c.Mounts {
		fmt.Fprintln(&b, mountText(m))
	}
	return b.String()
}

// With NESTBOX_UPDATE_GOLDEN=1 in the environment the file is written anew.
func TestConfigGolden(t *testing.T) {
	t.Parallel()
	const golden = "testdata/config.golden"
	got := configText(Config(everything(), layout()))
	if os.Getenv("NESTBOX_UPDATE_GOLDEN") == "1" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the configuration changed (-want +got):\n%s", diff)
	}
}

// What the golden file does not show is as libcontainer has it by itself.
func TestConfigRest(t *testing.T) {
	t.Parallel()
	c := Config(everything(), layout())
	caps := c.Capabilities
	if len(caps.Bounding) < 38 || !slices.Contains(caps.Bounding, "CAP_SYS_ADMIN") || !slices.IsSorted(caps.Bounding) ||
		!slices.Equal(caps.Effective, caps.Bounding) || !slices.Equal(caps.Permitted, caps.Bounding) ||
		caps.Ambient != nil || caps.Inheritable != nil {
		t.Errorf("capabilities %+v", caps)
	}
	want := &cgroups.Cgroup{Path: c.Cgroups.Path, Resources: &cgroups.Resources{Devices: c.Cgroups.Devices}}
	if !reflect.DeepEqual(c.Cgroups, want) {
		t.Errorf("cgroup %+v", c.Cgroups)
	}
	rest := reflect.ValueOf(*c)
	known := []string{
		"Rootfs", "Hostname", "ParentDeathSignal", "Namespaces", "UIDMappings", "GIDMappings", "Capabilities",
		"RootPropagation", "NoNewKeyring", "ReadonlyPaths", "Cgroups", "Devices", "Mounts",
	}
	for i := range rest.NumField() {
		name := rest.Type().Field(i).Name
		if !slices.Contains(known, name) && !rest.Field(i).IsZero() {
			t.Errorf("%s is %v: show it in the golden file", name, rest.Field(i))
		}
	}
}

func TestConfigVariants(t *testing.T) {
	t.Parallel()
	plain := &spec.Machine{Name: strings.Repeat("n", 70)}
	l := layout()
	l.StoreDir = ""
	c := Config(plain, l)
	if c.Hostname != strings.Repeat("n", 64) {
		t.Errorf("host name of %d bytes", len(c.Hostname))
	}
	var targets []string
	for _, m := range c.Mounts {
		targets = append(targets, m.Destination)
	}
	want := []string{
		"/proc", "/sys", "/sys/fs/cgroup", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/run", "/tmp", "/run/host", "/tmp/shared",
	}
	if !slices.Equal(targets, want) {
		t.Errorf("mounts without a store: %q, want %q", targets, want)
	}
}

func TestUserMount(t *testing.T) {
	t.Parallel()
	const rdonly = " recursively set=0x1 clear=0x0"
	for _, test := range []struct {
		mount spec.Mount
		want  string
	}{
		{spec.Mount{Type: spec.MountBind}, "bind /s on /t (bind,rec)"},
		{spec.Mount{Type: spec.MountBind, ReadOnly: true}, "bind /s on /t (bind,rec,ro)" + rdonly},
		{spec.Mount{Type: spec.MountBind, ReadOnly: true, Options: []string{"bind"}}, "bind /s on /t (bind,ro)"},
		{spec.Mount{Type: spec.MountBind, Options: []string{"ro"}}, "bind /s on /t (bind,rec,ro)" + rdonly},
		{spec.Mount{Type: spec.MountBind, Options: []string{"norbind", "ro"}}, "bind /s on /t (bind,ro)"},
		{spec.Mount{Type: spec.MountBind, Options: []string{"rbind", "rw", "suid", "dev", "exec", "idmap", "noidmap", "rootidmap", "owneridmap"}},
			"bind /s on /t (bind,rec)"},
		{spec.Mount{Type: spec.MountBind, Options: []string{"nosuid", "nodev", "noexec", "noatime", "nodiratime"}},
			"bind /s on /t (bind,rec,nosuid,nodev,noexec,noatime,nodiratime)"},
		{spec.Mount{Type: spec.MountTmpfs}, "tmpfs tmpfs on /t ()"},
		{spec.Mount{Type: spec.MountTmpfs, ReadOnly: true}, "tmpfs tmpfs on /t (ro)"},
		{spec.Mount{Type: spec.MountTmpfs, Options: []string{"mode=0755", "strictatime", "size=10%", "relatime"}},
			"tmpfs tmpfs on /t (strictatime,relatime) data=mode=0755,size=10%"},
	} {
		test.mount.Target = "/t"
		if test.mount.Type == spec.MountBind {
			test.mount.Source = "/s"
		}
		if got := mountText(userMount(test.mount)); got != test.want {
			t.Errorf("%+v becomes %s, want %s", test.mount, got, test.want)
		}
	}
}

func TestEnv(t *testing.T) {
	t.Parallel()
	want := []string{
		"CREDENTIALS_DIRECTORY=/run/host/credentials", "EMPTY=", "HOME=/root", "LANG=C.UTF-8", "LOGNAME=root",
		"NOTIFY_SOCKET=/run/host/notify", "PATH=/own/bin", "TERM=dumb", "USER=root",
		"container=systemd-nspawn", "container_uuid=" + UUID("web"),
	}
	if diff := cmp.Diff(want, Env(everything())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	plain := Env(&spec.Machine{Name: "web"})
	if !slices.Contains(plain, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") || len(plain) != len(want)-2 {
		t.Errorf("without an environment of its own: %q", plain)
	}
}

func TestUUID(t *testing.T) {
	t.Parallel()
	shape := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]string{}
	for i := range 1000 {
		name := fmt.Sprint("machine", i)
		uuid := UUID(name)
		if !shape.MatchString(uuid) || UUID(name) != uuid {
			t.Errorf("UUID(%q) = %q, then %q", name, uuid, UUID(name))
		}
		if other, twice := seen[uuid]; twice {
			t.Errorf("%q and %q are both %s", name, other, uuid)
		}
		seen[uuid] = name
	}
	// A machine that keeps its state keeps its id over new versions too.
	if got := UUID("web"); got != "78f60aa7-71da-4a5d-b011-de305a603cc8" {
		t.Errorf("the id of machine web has become %s", got)
	}
	if got := hexOnly("0a1b-2c"); got != "0a1b2c" {
		t.Errorf("hexOnly = %q", got)
	}
}
