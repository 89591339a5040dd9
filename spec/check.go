package spec

import (
	"maps"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// storeDir is where every machine finds the Nix store.
const storeDir = "/nix/store"

// place is where the fields of a machine were written: below a path of the
// input, or on the command line of a start script.
type place struct {
	path   string
	script string // the script's path, "" for fields of the input itself
	name   string // path of what gave the machine its name
}

// at is the place of fields below path.
func at(path string) place { return place{path: path} }

// check records a problem with a field of a machine, unless the value was
// already found unreadable. The field is relative to the machine, such as
// interfaces[0].vlan; "" is the place itself.
func (c *collector) check(at place, field, format string, args ...any) {
	if at.script != "" {
		c.add(at.path, at.script+": "+field+": "+format, args...)
		return
	}
	p := at.field(field)
	if c.usable(p) {
		c.add(p, format, args...)
	}
}

// field returns the path of a field of the input.
func (p place) field(field string) string {
	switch {
	case field == "":
		return p.path
	case p.path == "" || field[0] == '[':
		return p.path + field
	}
	return p.path + "." + field
}

// checkMachine checks what the fields of a container say. The VLANs are those that the
// test declares; nil means that any will do.
func (d *decoder) checkMachine(m *Machine, at place, vlans []int) {
	d.checkInit(m, at)
	d.checkInterfaces(m.Interfaces, at, vlans)
	d.checkMounts(m.Mounts, at)
	for _, name := range sortedKeys(m.Env) {
		if !variableName(name) {
			d.check(at, join("env", name), "%s is no variable name, use letters, digits and _", quote(name))
		}
	}
	for _, name := range sortedKeys(m.Credentials) {
		if problem := credentialProblem(name); problem != "" {
			d.check(at, join("credentials", name), "%s %s", quote(name), problem)
		}
		d.exists(at, join("credentials", name)+".source", m.Credentials[name].Source)
	}
	for i, device := range m.Devices {
		if !cleanAbsolute(device) {
			d.check(at, index("devices", i), "%s is no absolute path, give a device node such as /dev/net/tun", quote(device))
		}
	}
	d.checkLimits(m.Limits, at)
	d.checkRoot(m.Root, at)
}

func (d *decoder) checkMachineName(name string, at place) {
	if problem := nameProblem(name); problem != "" {
		d.check(place{path: at.name}, "", "%s", problem)
	}
}

// checkInit looks for the init where the machine would find it.
func (d *decoder) checkInit(m *Machine, at place) {
	switch {
	case !cleanAbsolute(m.Init):
		d.check(at, "init", "%s is no absolute path inside the machine", quote(m.Init))
	case d.anySpoiled(at.field("mounts")):
		// Where it would be is unknown.
	case slices.ContainsFunc(m.Mounts, func(mount Mount) bool { return under(m.Init, mount.Target) }):
		// What a mount holds is only known once it is there.
	case under(m.Init, storeDir):
		d.exists(at, "init", m.Init)
	case d.anySpoiled(at.field("root")):
		// Where it would be is unknown.
	case m.Root.Kind == RootOverlay:
		d.initIn(m, at, "root.lower", m.Root.Lower)
	case m.Root.Path == "":
		d.check(at, "init", "%s can't exist, an empty root holds nothing but %s and the mounts", m.Init, storeDir)
	default:
		d.initIn(m, at, "root.path", m.Root.Path)
	}
}

// initIn looks for the init in the tree that field names. A tree that isn't
// there is a problem of its own.
func (d *decoder) initIn(m *Machine, at place, field, tree string) {
	if tree == "" || field == "root.lower" && !d.opts.Exists(tree) {
		return
	}
	if !d.opts.Exists(path.Join(tree, m.Init)) {
		d.check(at, "init", "%s does not exist in %s, %s", m.Init, field, tree)
	}
}

func (d *decoder) checkInterfaces(all []Interface, at place, vlans []int) {
	first := map[string]int{}
	for i, nic := range all {
		field := index("interfaces", i)
		if problem := interfaceProblem(nic.Name); problem != "" {
			d.check(at, field+".name", "%s %s", quote(nic.Name), problem)
		} else if j, taken := first[nic.Name]; taken {
			d.check(at, field+".name", "%s is already the name of interfaces[%d]", quote(nic.Name), j)
		} else {
			first[nic.Name] = i
		}
		if d.checkVLAN(int64(nic.VLAN), at, field+".vlan") && vlans != nil && !slices.Contains(vlans, nic.VLAN) {
			d.check(at, field+".vlan", "the test has no VLAN %d, add it to vlans", nic.VLAN)
		}
		if nic.MAC != "" && !goodMAC(nic.MAC) {
			d.check(at, field+".mac", "%s is no address of a network card, want one such as 52:54:00:12:01:01", quote(nic.MAC))
		}
		for j, address := range nic.Addresses {
			if _, err := netip.ParsePrefix(address); err != nil {
				d.check(at, index(field+".addresses", j), "%s is no address with a prefix length, want one such as 192.168.1.1/24", quote(address))
			}
		}
	}
}

// checkVLAN reports whether v is in range.
func (d *decoder) checkVLAN(v int64, at place, field string) bool {
	if v >= 0 && v <= MaxVLAN {
		return true
	}
	d.check(at, field, "%d is out of range, use 0 to %d (machines get 192.168.<vlan>.<number>)", v, MaxVLAN)
	return false
}

func (d *decoder) checkMounts(all []Mount, at place) {
	for i, m := range all {
		field := index("mounts", i)
		switch {
		case m.Type == MountTmpfs && m.Source != "":
			d.check(at, field+".source", "a tmpfs has no source")
		case m.Type == MountBind && m.Source == "":
			d.check(at, field+".source", "is missing, a bind mount shows an existing file or directory")
		case m.Type == MountBind:
			d.exists(at, field+".source", m.Source)
		case m.Type != MountTmpfs:
			d.check(at, field+".type", "%s is no type of mount, use %s or %s", quote(string(m.Type)), MountBind, MountTmpfs)
		}
		if !cleanAbsolute(m.Target) {
			d.check(at, field+".target", `%s must be an absolute path below / without ".."`, quote(m.Target))
		}
		for j, option := range m.Options {
			if option == "" || strings.Contains(option, ",") {
				d.check(at, index(field+".options", j), "%s must be one mount option, give each as an item", quote(option))
			}
		}
	}
}

func (d *decoder) checkLimits(l Limits, at place) {
	if l.Memory < 0 {
		d.check(at, "limits.memory", "%d is negative, leave it out for no limit", l.Memory)
	}
	if l.CPUs < 0 {
		d.check(at, "limits.cpus", "%g is negative, leave it out for no limit", l.CPUs)
	}
	if l.PIDs < 0 {
		d.check(at, "limits.pids", "%d is negative, leave it out for no limit", l.PIDs)
	}
}

func (d *decoder) checkRoot(r Root, at place) {
	switch {
	case r.Kind == RootOverlay && r.Lower == "":
		d.check(at, "root.lower", "is missing, an overlay lies over an existing tree")
	case r.Kind == RootOverlay:
		d.exists(at, "root.lower", r.Lower)
	case r.Kind != RootDirectory:
		d.check(at, "root.kind", "%s is no kind of root, use %s or %s", quote(string(r.Kind)), RootDirectory, RootOverlay)
	case r.Lower != "":
		d.check(at, "root.lower", "is for root.kind %s only", RootOverlay)
	}
}

// exists reports a file that isn't there.
func (d *decoder) exists(at place, field, file string) {
	if file != "" && !d.opts.Exists(file) {
		d.check(at, field, "%s does not exist", file)
	}
}

// interfaceProblem says what is wrong with the name of a network interface,
// as dev_valid_name() in Linux's net/core/dev.c has it; "%" would be a pattern
// to the kernel, and lo is there already.
func interfaceProblem(name string) string {
	printable := strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
	switch {
	case name == "" || !printable || strings.ContainsAny(name, "/:%"):
		return `is no interface name, use printable characters other than space, "/", ":" and "%"`
	case len(name) > 15:
		return "is too long, an interface name holds 15 bytes"
	case name == "." || name == ".." || name == "lo":
		return "is reserved, use another name"
	}
	return ""
}

// credentialProblem says what is wrong with the id of a credential, which
// becomes a file name (systemd.exec(5), "Credentials").
func credentialProblem(name string) string {
	printable := strings.IndexFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) < 0
	if name == "" || len(name) > 255 || !printable || strings.ContainsAny(name, "/:") || name == "." || name == ".." {
		return `is no name of a credential, use up to 255 printable characters other than "/" and ":"`
	}
	return ""
}

// goodMAC reports whether s is the address of one network card, written with
// colons: neither a group's nor all zeros.
func goodMAC(s string) bool {
	mac, err := net.ParseMAC(s)
	return err == nil && len(s) == len("52:54:00:12:01:01") && s[2] == ':' &&
		mac[0]&1 == 0 && s != "00:00:00:00:00:00"
}

// cleanAbsolute reports whether p is an absolute path below / without "..".
func cleanAbsolute(p string) bool {
	return strings.HasPrefix(p, "/") && !climbs(p) && path.Clean(p) != "/"
}

// under reports whether p is dir or lies below it.
func under(p, dir string) bool {
	rest, ok := strings.CutPrefix(path.Clean(p), dir)
	return ok && dir != "" && (rest == "" || rest[0] == '/')
}

// sortedKeys returns the keys of m in order, so that problems have one too.
func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
