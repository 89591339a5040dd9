package spec

import (
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The keys of Nestbox's own machine object and of the objects within it.
func machineKeys() []string {
	return []string{
		"name", "init", "cmdline", "interfaces", "mounts", "env", "credentials",
		"devices", "limits", "root", "writableStore",
	}
}

func interfaceKeys() []string  { return []string{"name", "vlan", "mac", "addresses"} }
func mountKeys() []string      { return []string{"source", "target", "type", "readOnly", "options"} }
func credentialKeys() []string { return []string{"source", "text"} }
func limitsKeys() []string     { return []string{"memory", "cpus", "pids"} }
func rootKeys() []string       { return []string{"kind", "path", "lower"} }

// scriptKeys are the keys of a container that is given by a start script.
func scriptKeys() []string {
	return []string{"name", "start_script", "display_targets", "display_exporters"}
}

// entry reads a container of either form. It returns nil when there is
// nothing to check.
func (d *decoder) entry(n *node, path, key string) (*Machine, place) {
	if !d.want(n, path, kindObject, "an object") {
		return nil, place{}
	}
	f := fields{&d.collector, path, n}
	named := path
	if key == "" && path == "" {
		named = f.at("name")
	}
	if !f.has("start_script") {
		return d.machine(n, path, key), place{path: path, name: named}
	}
	for _, own := range machineKeys() {
		if own != "name" && f.has(own) {
			d.add(f.at("start_script"), "stands beside %q, give either a start script or a machine object", own)
			n = n.without(machineKeys()...)
			break
		}
	}
	f = d.object(n, path, scriptKeys())
	name := d.name(f, key)
	script := d.path(f, "start_script")
	if !d.usable(f.at("start_script")) {
		return nil, place{}
	}
	m := d.script(script, name, f.at("start_script"))
	if m == nil {
		return nil, place{}
	}
	m.DisplayTargets = f.raw("display_targets")
	m.DisplayExporters = f.raw("display_exporters")
	return m, place{path: f.at("start_script"), script: script, name: named}
}

// machine reads Nestbox's own machine object.
func (d *decoder) machine(n *node, path, key string) *Machine {
	known := machineKeys()
	f := d.object(n, path, append(known, "start_script"))
	if n.hasOnly(scriptKeys()) {
		// Nothing but a name: say both ways to go on.
		d.spoil(f.at("init"), "is missing; give init, or start_script for a script written for systemd-nspawn")
	} else {
		f.require("init")
	}
	return &Machine{
		Name:          d.name(f, key),
		Kind:          KindContainer,
		Init:          f.text("init"),
		Cmdline:       f.texts("cmdline"),
		Interfaces:    d.interfaces(f),
		Mounts:        d.mounts(f),
		Env:           d.env(f),
		Credentials:   d.credentials(f),
		Devices:       f.texts("devices"),
		Limits:        d.limits(f),
		Root:          d.root(f),
		WritableStore: f.truth("writableStore"),
	}
}

// hasOnly reports whether n has no member but those of keys.
func (n *node) hasOnly(keys []string) bool {
	return !slices.ContainsFunc(n.members, func(m member) bool { return !slices.Contains(keys, m.key) })
}

func (d *decoder) interfaces(f fields) []Interface {
	var all []Interface
	for i, n := range f.list("interfaces") {
		all = append(all, d.network(n, index(f.at("interfaces"), i), interfaceKeys()))
	}
	return all
}

// network reads one interface, whose keys are known.
func (d *decoder) network(n *node, path string, known []string) Interface {
	f := d.object(n, path, known)
	f.require("name", "vlan")
	i := Interface{
		Name:      f.text("name"),
		MAC:       strings.ToLower(f.text("mac")),
		Addresses: f.texts("addresses"),
	}
	if f.has("mac") && i.MAC == "" {
		d.add(f.at("mac"), "must not be empty, leave it out for the default")
	}
	if v := f.get("vlan"); v != nil {
		// A number that no int holds stays out of range for the check.
		i.VLAN = int(min(max(d.whole(v, f.at("vlan")), math.MinInt32), math.MaxInt32))
	}
	return i
}

func (d *decoder) mounts(f fields) []Mount {
	var all []Mount
	for i, n := range f.list("mounts") {
		path := index(f.at("mounts"), i)
		f := d.object(n, path, mountKeys())
		f.require("target")
		m := Mount{
			Source:   d.path(f, "source"),
			Target:   cleanTarget(f.text("target")),
			Type:     MountBind,
			ReadOnly: f.truth("readOnly"),
			Options:  f.texts("options"),
		}
		if f.has("type") {
			m.Type = MountType(f.text("type"))
		}
		all = append(all, m)
	}
	return all
}

// cleanTarget drops doubled and final slashes and leaves what is wrong with
// a path for the check to find.
func cleanTarget(target string) string {
	if !strings.HasPrefix(target, "/") || climbs(target) {
		return target
	}
	return path.Clean(target)
}

// climbs reports whether a path has a ".." in it.
func climbs(p string) bool {
	return slices.Contains(strings.Split(p, "/"), "..")
}

func (d *decoder) env(f fields) map[string]string {
	env := map[string]string{}
	for _, m := range f.entries("env") {
		env[m.key] = d.text(m.value, join(f.at("env"), m.key))
	}
	return env
}

func (d *decoder) credentials(f fields) map[string]Credential {
	all := map[string]Credential{}
	for _, m := range f.entries("credentials") {
		path := join(f.at("credentials"), m.key)
		f := d.object(m.value, path, credentialKeys())
		var c Credential
		if f.has("source") == f.has("text") && d.usable(path) {
			d.add(path, "give one of source (a file) and text")
		}
		c.Source = d.path(f, "source")
		// Unlike every other string a credential may hold NUL bytes.
		if t := f.get("text"); t != nil && d.want(t, f.at("text"), kindString, "a string") {
			c.Text = t.text
		}
		all[m.key] = c
	}
	return all
}

func (d *decoder) limits(f fields) Limits {
	n := f.get("limits")
	if n == nil {
		return Limits{}
	}
	f = d.object(n, f.at("limits"), limitsKeys())
	var l Limits
	if n := f.get("memory"); n != nil {
		l.Memory = d.memory(n, f.at("memory"))
	}
	if n := f.get("cpus"); n != nil && d.want(n, f.at("cpus"), kindNumber, "a number of CPUs") {
		var err error
		if l.CPUs, err = strconv.ParseFloat(n.text, 64); err != nil {
			d.spoil(f.at("cpus"), "%s is too large", n.text)
		}
	}
	if n := f.get("pids"); n != nil {
		l.PIDs = d.whole(n, f.at("pids"))
	}
	return l
}

// memory reads a number of bytes or a string with a unit.
func (d *decoder) memory(n *node, path string) int64 {
	if n.kind == kindNumber {
		return d.whole(n, path)
	}
	if !d.want(n, path, kindString, "bytes or a size such as 512M") {
		return 0
	}
	v, err := parseSize(n.text)
	if err != nil {
		d.spoil(path, "%v, found %s", err, n)
	}
	return v
}

func (d *decoder) root(f fields) Root {
	r := Root{Kind: RootDirectory}
	n := f.get("root")
	if n == nil {
		return r
	}
	f = d.object(n, f.at("root"), rootKeys())
	if f.has("kind") {
		r.Kind = RootKind(f.text("kind"))
	}
	r.Path = d.path(f, "path")
	r.Lower = d.path(f, "lower")
	return r
}
