package spec

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// The keys of the driver's JSON, as upstream writes it.
func testKeys() []string {
	return []string{
		"vms", "containers", "vlans", "global_timeout", "enable_ssh_backdoor",
		"test_script", "display_viewers",
	}
}

// Load reads the driver's JSON from the file at path.
//
// The error is [*Problems] when the content can't be used, and otherwise
// tells why the file can't be read.
func Load(path string, opts Options) (*Test, error) {
	if opts.File == "" {
		opts.File = path
	}
	opts = opts.withDefaults()
	data, err := opts.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return Decode(data, opts)
}

// Decode reads the driver's JSON: it decodes, translates start scripts,
// fills in defaults and checks. The error is always [*Problems].
func Decode(data []byte, opts Options) (*Test, error) {
	d := newDecoder(opts, "configuration")
	t := d.test(parse(&d.collector, data))
	return d.finish(t)
}

// DecodeMachine reads one machine, either Nestbox's own machine object (with
// a name) or an object of name and start_script. Its number is 1, and its
// interfaces may use any VLAN. The error is always [*Problems].
func DecodeMachine(data []byte, opts Options) (*Machine, error) {
	d := newDecoder(opts, "machine")
	n := parse(&d.collector, data)
	if n == nil {
		return nil, d.err(d.opts.File)
	}
	m, at := d.entry(n, "", "")
	if m != nil {
		d.checkMachine(m, at, nil)
		d.checkMachineName(m.Name, at)
		number([]*Machine{m})
	}
	if err := d.err(d.opts.File); err != nil {
		return nil, err
	}
	return m, nil
}

// decoder turns nodes into the package's types and collects what is wrong.
type decoder struct {
	collector
	opts Options
	// entries are the machines read so far, with where they came from.
	entries []entry
}

// entry is a machine and the place that defined it.
type entry struct {
	machine *Machine
	// path is the entry's own path, such as containers.web.
	path string
	// at is where the machine's fields are.
	at place
}

func newDecoder(opts Options, file string) *decoder {
	opts = opts.withDefaults()
	if opts.File == "" {
		opts.File = file
	}
	return &decoder{opts: opts}
}

// finish checks and completes t, which is nil when nothing could be read.
func (d *decoder) finish(t *Test) (*Test, error) {
	if t != nil {
		d.checkTest(t)
	}
	if err := d.err(d.opts.File); err != nil {
		return nil, err
	}
	number(t.Machines())
	return t, nil
}

func (d *decoder) test(n *node) *Test {
	if n == nil {
		return nil
	}
	f := d.object(n, "", testKeys())
	f.require("test_script")
	t := &Test{
		VMs:               map[string]*Machine{},
		Containers:        map[string]*Machine{},
		VLANs:             d.vlans(f),
		GlobalTimeout:     d.timeout(f),
		EnableSSHBackdoor: f.truth("enable_ssh_backdoor"),
		TestScript:        d.path(f, "test_script"),
		DisplayViewers:    f.raw("display_viewers"),
	}
	for _, m := range f.entries("containers") {
		d.container(t, m.key, m.value, join("containers", m.key))
	}
	for _, m := range f.entries("vms") {
		d.vm(t, m.key, m.value, join("vms", m.key))
	}
	return t
}

// vlans reads the test's VLANs. As upstream has it, the order means nothing
// and neither does naming one twice.
func (d *decoder) vlans(f fields) []int {
	var all []int
	for i, n := range f.list("vlans") {
		path := index(f.at("vlans"), i)
		v := d.whole(n, path)
		d.checkVLAN(v, at(path), "")
		all = append(all, int(v))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (d *decoder) timeout(f fields) time.Duration {
	n := f.get("global_timeout")
	if n == nil {
		return DefaultTimeout
	}
	var v time.Duration
	var err error
	switch n.kind {
	case kindNumber:
		seconds, _ := strconv.ParseFloat(n.text, 64)
		v, err = secondsToDuration(seconds)
	case kindString:
		v, err = parseDuration(n.text)
	default:
		err = errors.New(`want seconds or an ISO 8601 duration such as "PT1H30M"`)
	}
	if err != nil {
		d.spoil(f.at("global_timeout"), "%v, found %s", err, n)
	}
	return v
}

// path reads the path of a file outside the machines and makes it absolute.
func (d *decoder) path(f fields, key string) string {
	p := f.text(key)
	if p == "" && f.has(key) && d.usable(f.at(key)) {
		d.spoil(f.at(key), "must not be empty")
	}
	return d.opts.abs(p)
}

// container reads an entry of "containers" into t.
func (d *decoder) container(t *Test, key string, n *node, path string) {
	m, at := d.entry(n, path, key)
	if m == nil {
		return
	}
	t.Containers[key] = m
	d.entries = append(d.entries, entry{m, path, at})
}

// vm reads an entry of "vms" into t.
func (d *decoder) vm(t *Test, key string, n *node, path string) {
	// Say what is known to be coming before calling its fields unknown.
	for _, m := range n.members {
		if slices.Contains(machineKeys(), m.key) && m.key != "name" {
			d.add(join(path, m.key), "machine objects are for containers so far, give a VM name and start_script")
		}
	}
	f := d.object(n.without(machineKeys()...), path, []string{"name", "start_script"})
	f.require("start_script")
	m := &Machine{
		Name:        d.name(f, key),
		Kind:        KindVM,
		StartScript: d.path(f, "start_script"),
	}
	d.exists(at(path), "start_script", m.StartScript)
	t.VMs[key] = m
	d.entries = append(d.entries, entry{m, path, place{path: path, name: path}})
}

// without returns n less the members of these keys, "name" excepted.
func (n *node) without(keys ...string) *node {
	less := *n
	less.members = slices.DeleteFunc(slices.Clone(n.members), func(m member) bool {
		return m.key != "name" && slices.Contains(keys, m.key)
	})
	return &less
}

// name reads a machine's name. In a test it is the entry's key, which a
// "name" may repeat; on its own, where key is "", the machine must say it.
func (d *decoder) name(f fields, key string) string {
	if key == "" && f.path == "" {
		f.require("name")
		return f.text("name")
	}
	if name := f.text("name"); f.has("name") && d.usable(f.at("name")) && name != key {
		d.add(f.at("name"), "%s is not the entry's key %s, a machine has one name", quote(name), quote(key))
	}
	return key
}
