package spec

import (
	"fmt"
	"strings"
	"testing"
)

// inTest puts members into an otherwise sound driver configuration.
func inTest(members string) string {
	return `{"test_script": "/test.py", "vlans": [1], ` + members + `}`
}

// inMachine puts members into an otherwise sound container called a.
func inMachine(members string) string {
	return inTest(`"containers": {"a": {"init": "/nix/store/sys/init", ` + members + `}}`)
}

// rule is an input and all that is wrong with it.
type rule struct {
	name  string
	input string
	want  []string
	// beyondSchema marks what a JSON Schema can't say.
	beyondSchema bool
}

const (
	use0to255 = "use 0 to 255 (machines get 192.168.<vlan>.<number>)"
	nameHelp  = `use letters, digits, "_", "-" and "." and start with none of the last two`
	nicHelp   = `use printable characters other than space, "/", ":" and "%"`
	credHelp  = `use up to 255 printable characters other than "/" and ":"`
	macHelp   = "want one such as 52:54:00:12:01:01"
)

func rules() []rule {
	return []rule{
		// The test.
		{"no test script", `{}`, []string{"test_script: is missing"}, false},
		{"test script is not there", `{"test_script": "/no.py"}`, []string{"test_script: /no.py does not exist"}, true},
		{"empty path", `{"test_script": ""}`, []string{"test_script: must not be empty"}, false},
		{"not an object", `[]`, []string{"want an object, found a list"}, false},
		{"unknown field", inTest(`"vlan": []`), []string{`vlan: unknown field, did you mean "vlans"?`}, false},
		{"unknown field, far from any", inTest(`"colour": 1`), []string{"colour: unknown field; known here: containers, display_viewers, enable_ssh_backdoor, global_timeout, test_script, vlans, vms"}, false},
		{"field twice", inTest(`"vlans": [1]`), []string{"vlans: is given twice"}, true},
		{"field twice deep inside", inTest(`"display_viewers": {"a": [{"b": 1, "b": 2}]}`), []string{"display_viewers.a[0].b: is given twice"}, true},
		{"container twice", inTest(`"containers": {"a": {"init": "/nix/store/sys/init"}, "a": {"init": "/nix/store/sys/init"}}`), []string{"containers.a: is given twice"}, true},
		{"vlans no list", `{"test_script": "/test.py", "vlans": {}}`, []string{"vlans: want a list, found an object"}, false},
		{"vlan no number", `{"test_script": "/test.py", "vlans": ["1", null]}`, []string{`vlans[0]: want a whole number, found the string "1"`, "vlans[1]: want a whole number, found null"}, false},
		{"vlan no whole number", `{"test_script": "/test.py", "vlans": [1.5]}`, []string{"vlans[0]: want a whole number, found the number 1.5"}, false},
		{"vlan out of range", `{"test_script": "/test.py", "vlans": [-1, 256, 0, 255, 1e2]}`, []string{"vlans[0]: -1 is out of range, " + use0to255, "vlans[1]: 256 is out of range, " + use0to255}, false},
		{"vlan out of all ranges", `{"test_script": "/test.py", "vlans": [1e30]}`, []string{"vlans[0]: want a whole number, found the number 1e30"}, false},
		{"backdoor no boolean", inTest(`"enable_ssh_backdoor": 1`), []string{"enable_ssh_backdoor: want true or false, found the number 1"}, false},
		{"timeout of no type", inTest(`"global_timeout": true`), []string{`global_timeout: want seconds or an ISO 8601 duration such as "PT1H30M", found true`}, false},
		{"timeout of nothing", inTest(`"global_timeout": 0`), []string{"global_timeout: must be from 0.001 to 31622400 seconds, found the number 0"}, false},
		{"timeout too long", inTest(`"global_timeout": 1e9`), []string{"global_timeout: must be from 0.001 to 31622400 seconds, found the number 1e9"}, false},
		{"timeout no duration", inTest(`"global_timeout": "1h"`), []string{`global_timeout: want seconds or an ISO 8601 duration such as "PT1H30M", found the string "1h"`}, false},

		// Machines together.
		{"machines no object", inTest(`"vms": [], "containers": "x"`), []string{`containers: want an object, found the string "x"`, "vms: want an object, found a list"}, false},
		{"one name for two", inTest(`"containers": {"x": {"init": "/nix/store/sys/init"}}, "vms": {"x": {"start_script": "/vm/bin/run-v-vm"}}`), []string{`vms.x: the name "x" is taken by containers.x`}, true},
		{"one identifier for two", inTest(`"containers": {"a-b": {"init": "/nix/store/sys/init"}, "a_b": {"init": "/nix/store/sys/init"}}`), []string{"containers.a_b: is a_b to the test script, as is containers.a-b, rename one"}, true},
		{"key and name differ", inTest(`"containers": {"x": {"name": "y", "init": "/nix/store/sys/init"}}, "vms": {"v": {"name": "w", "start_script": "/vm/bin/run-v-vm"}}`), []string{
			`containers.x.name: "y" is not the entry's key "x", a machine has one name`,
			`vms.v.name: "w" is not the entry's key "v", a machine has one name`,
		}, true},
		{"name of no type", inTest(`"containers": {"x": {"name": 1, "init": "/nix/store/sys/init"}}`), []string{"containers.x.name: want a string, found the number 1"}, false},
		{"empty name", inTest(`"containers": {"": {"init": "/nix/store/sys/init"}}`), []string{`containers[""]: must not be empty`}, false},
		{"bad names", inTest(`"containers": {".x": {"init": "/nix/store/sys/init"}, "-y": {"init": "/nix/store/sys/init"}}, "vms": {"a/b": {"start_script": "/vm/bin/run-v-vm"}}`), []string{
			`containers.-y: "-y" is no machine name, ` + nameHelp,
			`containers[".x"]: ".x" is no machine name, ` + nameHelp,
			`vms["a/b"]: "a/b" is no machine name, ` + nameHelp,
		}, false},
		{"long name", inTest(`"vms": {"` + strings.Repeat("n", 65) + `": {"start_script": "/vm/bin/run-v-vm"}}`), []string{"vms." + strings.Repeat("n", 65) + `: "` + strings.Repeat("n", 60) + `…" is too long, a host name holds 64 bytes`}, false},
		{"too many machines", inTest(`"vms": {` + manyVMs(254) + `}`), []string{"vms.m253: is machine number 254, a test holds 253 (addresses end in the number)"}, true},

		// VMs.
		{"vm no object", inTest(`"vms": {"v": 1}`), []string{"vms.v: want an object, found the number 1"}, false},
		{"vm without script", inTest(`"vms": {"v": {}}`), []string{"vms.v.start_script: is missing"}, false},
		{"vm script is not there", inTest(`"vms": {"v": {"start_script": "/no"}}`), []string{"vms.v.start_script: /no does not exist"}, true},
		{"vm as machine object", inTest(`"vms": {"v": {"start_script": "/vm/bin/run-v-vm", "limits": {}, "memory": 1}}`), []string{
			"vms.v.limits: machine objects are for containers so far, give a VM name and start_script",
			"vms.v.memory: unknown field; known here: name, start_script",
		}, false},

		// The two forms of a container.
		{"container no object", inTest(`"containers": {"a": []}`), []string{"containers.a: want an object, found a list"}, false},
		{"neither form", inTest(`"containers": {"a": {}}`), []string{"containers.a.init: is missing; give init, or start_script for a script written for systemd-nspawn"}, false},
		{"both forms", inTest(`"containers": {"c": {"start_script": "/nix/store/sys/init", "init": "/x", "env": 1}}`), []string{
			`containers.c.start_script: /nix/store/sys/init: line 1: the script ends without an exec`,
			`containers.c.start_script: stands beside "init", give either a start script or a machine object`,
		}, false},
		{"script with an unknown field", inTest(`"containers": {"c": {"start_script": "/nix/store/sys/init", "display_target": []}}`), []string{
			`containers.c.display_target: unknown field, did you mean "display_targets"?`,
			`containers.c.start_script: /nix/store/sys/init: line 1: the script ends without an exec`,
		}, false},
		{"script of no type", inTest(`"containers": {"c": {"start_script": 1}}`), []string{"containers.c.start_script: want a string, found the number 1"}, false},
		{"script with an empty path", inTest(`"containers": {"c": {"start_script": ""}}`), []string{"containers.c.start_script: must not be empty"}, false},
		{"script is not there", inTest(`"containers": {"c": {"start_script": "/no"}}`), []string{"containers.c.start_script: /no does not exist"}, true},
		{"script can't be read", inTest(`"containers": {"c": {"start_script": "/locked"}}`), []string{"containers.c.start_script: reading the start script: open /locked: permission denied"}, true},
		{"script uses an undeclared VLAN", inTest(`"containers": {"c": {"start_script": "/nix/store/c/run-c-nspawn"}}`), []string{"containers.c.start_script: /nix/store/c/run-c-nspawn: interfaces[1].vlan: the test has no VLAN 2, add it to vlans"}, true},
		{"script whose interfaces can't be read", inTest(`"containers": {"c": {"start_script": "/nix/store/f/bad-nspawn"}}`), []string{"containers.c.start_script: /nix/store/f/bad-nspawn: --interfaces-json[0].name: want a string, found the number 1"}, true},
		{"display settings without a script", inMachine(`"display_targets": []`), []string{"containers.a.display_targets: unknown field; known here: cmdline, credentials, devices, env, init, interfaces, limits, mounts, name, root, start_script, writableStore"}, false},

		// Init.
		{"no init", inTest(`"containers": {"a": {"env": {}}}`), []string{"containers.a.init: is missing"}, false},
		{"init of no type", inTest(`"containers": {"a": {"init": {}}}`), []string{"containers.a.init: want a string, found an object"}, false},
		{"init relative", inTest(`"containers": {"a": {"init": "init"}}`), []string{`containers.a.init: "init" is no absolute path inside the machine`}, false},
		{"init is not in the store", inTest(`"containers": {"a": {"init": "/nix/store/no/init"}}`), []string{"containers.a.init: /nix/store/no/init does not exist"}, true},
		{"init in an empty root", inTest(`"containers": {"a": {"init": "/sbin/init"}}`), []string{"containers.a.init: /sbin/init can't exist, an empty root holds nothing but /nix/store and the mounts"}, true},
		{"init is not in the lower tree", inTest(`"containers": {"a": {"init": "/init", "root": {"kind": "overlay", "lower": "/srv/tree"}}}`), []string{"containers.a.init: /init does not exist in root.lower, /srv/tree"}, true},
		{"init is not in the root", inTest(`"containers": {"a": {"init": "/init", "root": {"path": "/srv/tree"}}}`), []string{"containers.a.init: /init does not exist in root.path, /srv/tree"}, true},
		{"init hides behind other problems", inTest(`"containers": {"a": {"init": "/init", "root": 1}, "b": {"init": "/init", "root": {"lower": 1}}, "c": {"init": "/init", "mounts": [1]}}`), []string{
			"containers.a.root: want an object, found the number 1",
			"containers.b.root.lower: want a string, found the number 1",
			"containers.c.mounts[0]: want an object, found the number 1",
		}, false},

		// Strings.
		{"cmdline no list", inMachine(`"cmdline": "x"`), []string{`containers.a.cmdline: want a list, found the string "x"`}, false},
		{"argument no string", inMachine(`"cmdline": ["x", 1]`), []string{"containers.a.cmdline[1]: want a string, found the number 1"}, false},
		{"NUL byte", inMachine(`"cmdline": ["x\u0000"]`), []string{"containers.a.cmdline[0]: holds a NUL byte"}, false},
		{"long string in a message", inMachine(`"cmdline": "` + strings.Repeat("é", 61) + `"`), []string{`containers.a.cmdline: want a list, found the string "` + strings.Repeat("é", 60) + `…"`}, false},

		// Interfaces.
		{"interface no object", inMachine(`"interfaces": ["eth1"]`), []string{`containers.a.interfaces[0]: want an object, found the string "eth1"`}, false},
		{"interface without fields", inMachine(`"interfaces": [{}]`), []string{"containers.a.interfaces[0].name: is missing", "containers.a.interfaces[0].vlan: is missing"}, false},
		{"interface with assignIP", inMachine(`"interfaces": [{"name": "eth1", "vlan": 1, "assignIP": true}]`), []string{"containers.a.interfaces[0].assignIP: unknown field; known here: addresses, mac, name, vlan"}, false},
		{"interface names", inMachine(`"interfaces": [{"name": "", "vlan": 1}, {"name": "abcdefghijklmnop", "vlan": 1}, {"name": "a/b", "vlan": 1}, {"name": "lo", "vlan": 1}, {"name": "é", "vlan": 1}, {"name": "a b", "vlan": 1}, {"name": "abcdefghijklmno", "vlan": 1}]`), []string{
			`containers.a.interfaces[0].name: "" is no interface name, ` + nicHelp,
			`containers.a.interfaces[1].name: "abcdefghijklmnop" is too long, an interface name holds 15 bytes`,
			`containers.a.interfaces[2].name: "a/b" is no interface name, ` + nicHelp,
			`containers.a.interfaces[3].name: "lo" is reserved, use another name`,
			`containers.a.interfaces[4].name: "é" is no interface name, ` + nicHelp,
			`containers.a.interfaces[5].name: "a b" is no interface name, ` + nicHelp,
		}, false},
		{"interface name twice", inMachine(`"interfaces": [{"name": "eth1", "vlan": 1}, {"name": "eth1", "vlan": 1}]`), []string{`containers.a.interfaces[1].name: "eth1" is already the name of interfaces[0]`}, true},
		{"interface VLAN out of range", inMachine(`"interfaces": [{"name": "eth1", "vlan": 300}, {"name": "eth2", "vlan": 99999999999}]`), []string{
			"containers.a.interfaces[0].vlan: 300 is out of range, " + use0to255,
			"containers.a.interfaces[1].vlan: 2147483647 is out of range, " + use0to255,
		}, false},
		{"interface VLAN undeclared", inMachine(`"interfaces": [{"name": "eth1", "vlan": 2}]`), []string{"containers.a.interfaces[0].vlan: the test has no VLAN 2, add it to vlans"}, true},
		{"interface VLAN without vlans", `{"test_script": "/test.py", "containers": {"a": {"init": "/nix/store/sys/init", "interfaces": [{"name": "eth1", "vlan": 0}]}}}`, []string{"containers.a.interfaces[0].vlan: the test has no VLAN 0, add it to vlans"}, true},
		{"interface VLAN beside broken vlans", `{"test_script": "/test.py", "vlans": ["2"], "containers": {"a": {"init": "/nix/store/sys/init", "interfaces": [{"name": "eth1", "vlan": 2}]}}}`, []string{`vlans[0]: want a whole number, found the string "2"`}, false},
		{"interface VLAN of no type", inMachine(`"interfaces": [{"name": "eth1", "vlan": "1"}]`), []string{`containers.a.interfaces[0].vlan: want a whole number, found the string "1"`}, false},
		{"MAC", inMachine(`"interfaces": [{"name": "a", "vlan": 1, "mac": "52:54:00:12:01"}, {"name": "b", "vlan": 1, "mac": "53:54:00:12:01:01"}, {"name": "c", "vlan": 1, "mac": "00:00:00:00:00:00"}, {"name": "d", "vlan": 1, "mac": "52-54-00-12-01-01"}, {"name": "e", "vlan": 1, "mac": "02:00:5e:10:00:00:00:01"}]`), []string{
			`containers.a.interfaces[0].mac: "52:54:00:12:01" is no address of a network card, ` + macHelp,
			`containers.a.interfaces[1].mac: "53:54:00:12:01:01" is no address of a network card, ` + macHelp,
			`containers.a.interfaces[2].mac: "00:00:00:00:00:00" is no address of a network card, ` + macHelp,
			`containers.a.interfaces[3].mac: "52-54-00-12-01-01" is no address of a network card, ` + macHelp,
			`containers.a.interfaces[4].mac: "02:00:5e:10:00:00:00:01" is no address of a network card, ` + macHelp,
		}, false},
		{"MAC empty", inMachine(`"interfaces": [{"name": "a", "vlan": 1, "mac": ""}]`), []string{"containers.a.interfaces[0].mac: must not be empty, leave it out for the default"}, false},
		{"addresses", inMachine(`"interfaces": [{"name": "a", "vlan": 1, "addresses": ["10.0.0.1", "10.0.0.1/24"]}]`), []string{`containers.a.interfaces[0].addresses[0]: "10.0.0.1" is no address with a prefix length, want one such as 192.168.1.1/24`}, false},
		{"address out of range", inMachine(`"interfaces": [{"name": "a", "vlan": 1, "addresses": ["10.0.0.1/33"]}]`), []string{`containers.a.interfaces[0].addresses[0]: "10.0.0.1/33" is no address with a prefix length, want one such as 192.168.1.1/24`}, true},

		// Mounts.
		{"mount no object", inMachine(`"mounts": ["/etc/hosts"]`), []string{`containers.a.mounts[0]: want an object, found the string "/etc/hosts"`}, false},
		{"mount without target", inMachine(`"mounts": [{"source": "/etc/hosts"}]`), []string{"containers.a.mounts[0].target: is missing"}, false},
		{"mount without source", inMachine(`"mounts": [{"target": "/x"}]`), []string{"containers.a.mounts[0].source: is missing, a bind mount shows an existing file or directory"}, false},
		{"mount source is not there", inMachine(`"mounts": [{"source": "/no", "target": "/x"}]`), []string{"containers.a.mounts[0].source: /no does not exist"}, true},
		{"mount source empty", inMachine(`"mounts": [{"source": "", "target": "/x"}]`), []string{"containers.a.mounts[0].source: must not be empty"}, false},
		{"tmpfs with source", inMachine(`"mounts": [{"type": "tmpfs", "source": "/etc/hosts", "target": "/x"}]`), []string{"containers.a.mounts[0].source: a tmpfs has no source"}, false},
		{"mount type", inMachine(`"mounts": [{"type": "ext4", "source": "/etc/hosts", "target": "/x"}]`), []string{`containers.a.mounts[0].type: "ext4" is no type of mount, use bind or tmpfs`}, false},
		{"mount targets", inMachine(`"mounts": [{"type": "tmpfs", "target": "x"}, {"type": "tmpfs", "target": "/"}, {"type": "tmpfs", "target": "/x/../y"}]`), []string{
			`containers.a.mounts[0].target: "x" must be an absolute path below / without ".."`,
			`containers.a.mounts[1].target: "/" must be an absolute path below / without ".."`,
			`containers.a.mounts[2].target: "/x/../y" must be an absolute path below / without ".."`,
		}, false},
		{"mount options", inMachine(`"mounts": [{"type": "tmpfs", "target": "/x", "options": ["size=1M,mode=0755", ""]}]`), []string{
			`containers.a.mounts[0].options[0]: "size=1M,mode=0755" must be one mount option, give each as an item`,
			`containers.a.mounts[0].options[1]: "" must be one mount option, give each as an item`,
		}, false},

		// The rest of a machine.
		{"env no object", inMachine(`"env": ["A=B"]`), []string{"containers.a.env: want an object, found a list"}, false},
		{"env value no string", inMachine(`"env": {"A": 1}`), []string{"containers.a.env.A: want a string, found the number 1"}, false},
		{"env names", inMachine(`"env": {"A-B": "", "1A": "", "": ""}`), []string{
			`containers.a.env.1A: "1A" is no variable name, use letters, digits and _`,
			`containers.a.env.A-B: "A-B" is no variable name, use letters, digits and _`,
			`containers.a.env[""]: "" is no variable name, use letters, digits and _`,
		}, false},
		{"credential no object", inMachine(`"credentials": {"x": "text"}`), []string{`containers.a.credentials.x: want an object, found the string "text"`}, false},
		{"credential of nothing", inMachine(`"credentials": {"x": {}}`), []string{"containers.a.credentials.x: give one of source (a file) and text"}, false},
		{"credential of both", inMachine(`"credentials": {"x": {"source": "/secret", "text": ""}}`), []string{"containers.a.credentials.x: give one of source (a file) and text"}, false},
		{"credential source is not there", inMachine(`"credentials": {"x": {"source": "/no"}}`), []string{"containers.a.credentials.x.source: /no does not exist"}, true},
		{"credential text of no type", inMachine(`"credentials": {"x": {"text": 1}}`), []string{"containers.a.credentials.x.text: want a string, found the number 1"}, false},
		{"credential names", inMachine(`"credentials": {"a/b": {"text": ""}, "..": {"text": ""}}`), []string{
			`containers.a.credentials[".."]: ".." is no name of a credential, ` + credHelp,
			`containers.a.credentials["a/b"]: "a/b" is no name of a credential, ` + credHelp,
		}, false},
		{"device relative", inMachine(`"devices": ["gpu"]`), []string{`containers.a.devices[0]: "gpu" is no absolute path, give a device node such as /dev/net/tun`}, false},
		{"limits no object", inMachine(`"limits": 1`), []string{"containers.a.limits: want an object, found the number 1"}, false},
		{"limits unknown", inMachine(`"limits": {"cpu": 1}`), []string{`containers.a.limits.cpu: unknown field, did you mean "cpus"?`}, false},
		{"limits negative", inMachine(`"limits": {"memory": -1, "cpus": -0.5, "pids": -2}`), []string{
			"containers.a.limits.cpus: -0.5 is negative, leave it out for no limit",
			"containers.a.limits.memory: -1 is negative, leave it out for no limit",
			"containers.a.limits.pids: -2 is negative, leave it out for no limit",
		}, false},
		{"memory of no type", inMachine(`"limits": {"memory": true}`), []string{"containers.a.limits.memory: want bytes or a size such as 512M, found true"}, false},
		{"memory no size", inMachine(`"limits": {"memory": "lots"}`), []string{`containers.a.limits.memory: want a size such as 512M or 1.5GiB, found the string "lots"`}, false},
		{"memory beyond all", inMachine(`"limits": {"memory": "9000000000G"}`), []string{`containers.a.limits.memory: is more than 8 EiB, found the string "9000000000G"`}, true},
		{"cpus of no type", inMachine(`"limits": {"cpus": "1"}`), []string{`containers.a.limits.cpus: want a number of CPUs, found the string "1"`}, false},
		{"cpus beyond all", inMachine(`"limits": {"cpus": 1e999}`), []string{"containers.a.limits.cpus: 1e999 is too large"}, true},
		{"pids of no type", inMachine(`"limits": {"pids": 1.5}`), []string{"containers.a.limits.pids: want a whole number, found the number 1.5"}, false},
		{"root unknown", inMachine(`"root": {"typ": "overlay"}`), []string{"containers.a.root.typ: unknown field; known here: kind, lower, path"}, false},
		{"root kind", inMachine(`"root": {"kind": "btrfs"}`), []string{`containers.a.root.kind: "btrfs" is no kind of root, use directory or overlay`}, false},
		{"overlay without lower", inMachine(`"root": {"kind": "overlay"}`), []string{"containers.a.root.lower: is missing, an overlay lies over an existing tree"}, false},
		{"overlay lower is not there", inTest(`"containers": {"a": {"init": "/sbin/init", "root": {"kind": "overlay", "lower": "/no"}}}`), []string{"containers.a.root.lower: /no does not exist"}, true},
		{"directory with lower", inMachine(`"root": {"lower": "/srv/tree"}`), []string{"containers.a.root.lower: is for root.kind overlay only"}, false},
		{"root path empty", inMachine(`"root": {"path": ""}`), []string{"containers.a.root.path: must not be empty"}, false},
		{"store of no type", inMachine(`"writableStore": "yes"`), []string{`containers.a.writableStore: want true or false, found the string "yes"`}, false},
	}
}

// manyVMs returns the members of "vms" for n of them.
func manyVMs(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"m%03d": {"start_script": "/vm/bin/run-v-vm"}`, i))
	}
	return strings.Join(all, ", ")
}

func TestRules(t *testing.T) {
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			got, err := Decode([]byte(r.input), files().options())
			if got != nil {
				t.Error("got a test beside an error")
			}
			wantLines(t, list(t, err), r.want...)
		})
	}
}

// Inputs at the edge of a rule that must pass.
func TestNoRule(t *testing.T) {
	for name, input := range accepted() {
		t.Run(name, func(t *testing.T) {
			if _, err := Decode([]byte(input), files().options()); err != nil {
				t.Error(err)
			}
		})
	}
}

func accepted() map[string]string {
	return map[string]string{
		"everything":              everything,
		"nothing":                 `{"test_script": "/test.py"}`,
		"vlan bounds":             `{"test_script": "/test.py", "vlans": [0, 255, 1.0, 1e1]}`,
		"timeout bounds":          `{"test_script": "/test.py", "global_timeout": 0.001}`,
		"timeout string":          `{"test_script": "/test.py", "global_timeout": "P1DT2H"}`,
		"253 machines":            inTest(`"vms": {` + manyVMs(253) + `}`),
		"name of 64":              inTest(`"vms": {"` + strings.Repeat("n", 64) + `": {"start_script": "/vm/bin/run-v-vm"}}`),
		"name with dot":           inTest(`"vms": {"a.b-c_d": {"start_script": "/vm/bin/run-v-vm"}}`),
		"init in lower tree":      inTest(`"containers": {"a": {"init": "/sbin/init", "root": {"kind": "overlay", "lower": "/srv/tree"}}}`),
		"init in root":            inTest(`"containers": {"a": {"init": "/sbin/init", "root": {"path": "/srv/tree"}}}`),
		"init in a mount":         inTest(`"containers": {"a": {"init": "/sys2/init", "mounts": [{"source": "/srv/tree", "target": "/sys2"}]}}`),
		"init in a store mount":   inTest(`"containers": {"a": {"init": "/nix/store/own/init", "mounts": [{"source": "/srv/tree", "target": "/nix/store/own"}]}}`),
		"root path to be made":    inMachine(`"root": {"kind": "directory", "path": "fresh"}`),
		"zero limits":             inMachine(`"limits": {"memory": 0, "cpus": 0, "pids": 0}`),
		"sizes":                   inMachine(`"limits": {"memory": "1.5 GiB"}`),
		"credential empty text":   inMachine(`"credentials": {"x": {"text": ""}}`),
		"mac upper case":          inMachine(`"interfaces": [{"name": "eth1", "vlan": 1, "mac": "52:54:00:AB:CD:EF"}]`),
		"explicit bind":           inMachine(`"mounts": [{"type": "bind", "source": "/etc/hosts", "target": "/x..y", "readOnly": false}]`),
		"container by script":     `{"test_script": "/test.py", "vlans": [1, 2], "containers": {"c": {"start_script": "/nix/store/c/run-c-nspawn"}, "d": {"start_script": "/nix/store/d/run-d-nspawn"}}}`,
		"interface named oddly":   inMachine(`"interfaces": [{"name": "a-b.c_d@e", "vlan": 1}]`),
		"displays are not read":   inTest(`"display_viewers": [null, 1.5e3, {"a": "b"}]`),
		"same interface in two":   inTest(`"containers": {"a": {"init": "/nix/store/sys/init", "interfaces": [{"name": "eth1", "vlan": 1}]}, "b": {"init": "/nix/store/sys/init", "interfaces": [{"name": "eth1", "vlan": 1}]}}`),
		"backdoor off":            inTest(`"enable_ssh_backdoor": false`),
		"addresses of both kinds": inMachine(`"interfaces": [{"name": "eth1", "vlan": 1, "addresses": ["10.0.0.1/0", "::ffff:10.0.0.1/128"]}]`),
	}
}
