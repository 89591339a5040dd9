package spec

import (
	"path"
	"regexp"
	"slices"
	"time"
)

// Args are the flags that upstream's driver took until it had --config.
type Args struct {
	// VMNames and VMStartScripts belong together by position. Without names,
	// the scripts' file names tell: run-<name>-vm.
	VMNames, VMStartScripts []string
	// ContainerNames and ContainerStartScripts likewise: run-<name>-nspawn.
	ContainerNames, ContainerStartScripts []string
	// StartScripts is the older spelling of VMStartScripts, without names.
	StartScripts []string
	// VLANs are the test's networks.
	VLANs []int
	// GlobalTimeout limits the run; 0 means [DefaultTimeout].
	GlobalTimeout time.Duration
	// TestScript is the path of the Python test script.
	TestScript string
}

// FromArgs makes a test of upstream's old flags and checks it as [Decode]
// does. The error is always [*Problems], with the flags as paths.
func FromArgs(args Args, opts Options) (*Test, error) {
	d := newDecoder(opts, "command line")
	t := &Test{
		VMs:           map[string]*Machine{},
		Containers:    map[string]*Machine{},
		VLANs:         slices.Compact(slices.Sorted(slices.Values(args.VLANs))),
		GlobalTimeout: args.GlobalTimeout,
		TestScript:    d.opts.abs(args.TestScript),
	}
	if args.TestScript == "" {
		d.spoil("test_script", "is missing")
	}
	if args.GlobalTimeout == 0 {
		t.GlobalTimeout = DefaultTimeout
	} else if _, err := secondsToDuration(args.GlobalTimeout.Seconds()); err != nil {
		d.add("--global-timeout", "%v, found %s", err, args.GlobalTimeout)
	}
	for i, v := range args.VLANs {
		d.checkVLAN(int64(v), at(index("--vlans", i)), "")
	}
	vm := func(name, script, path string) {
		m := &Machine{Name: name, Kind: KindVM, StartScript: d.opts.abs(script)}
		d.exists(at(path), "", m.StartScript)
		t.VMs[name] = m
		d.entries = append(d.entries, entry{m, path, place{path: path, name: path}})
	}
	container := func(name, script, path string) {
		script = d.opts.abs(script)
		m := d.script(script, name, path)
		if m == nil {
			return
		}
		t.Containers[name] = m
		d.entries = append(d.entries, entry{m, path, place{path: path, script: script, name: path}})
	}
	d.pair("--vm-names", args.VMNames, "--vm-start-scripts", args.VMStartScripts, "vm", vm)
	d.pair("", nil, "--start-scripts", args.StartScripts, "vm", vm)
	d.pair("--container-names", args.ContainerNames, "--container-start-scripts", args.ContainerStartScripts, "nspawn", container)
	return d.finish(t)
}

// pair calls add for each script with its name.
func (d *decoder) pair(namesFlag string, names []string, flag string, scripts []string, kind string, add func(name, script, path string)) {
	if len(names) > 0 && len(names) != len(scripts) {
		d.add(namesFlag, "has %d names for the %d of %s", len(names), len(scripts), flag)
		names = nil
	}
	for i, script := range scripts {
		path := index(flag, i)
		if script == "" {
			d.add(path, "must not be empty")
			continue
		}
		name := scriptName(script, kind)
		if len(names) > 0 {
			name = names[i]
		}
		add(name, script, path)
	}
}

// scriptName returns the machine's name in the file name run-<name>-<kind>.
// As upstream has it, anything else is a machine called "machine".
func scriptName(script, kind string) string {
	found := regexp.MustCompile(`^run-(.+)-` + kind + `$`).FindStringSubmatch(path.Base(script))
	if found == nil {
		return "machine"
	}
	return found[1]
}
