package spec

import (
	"testing"
	"time"
)

func TestFromArgs(t *testing.T) {
	fs := files()
	fs["/base/rel/run-web-vm"] = ""
	got, err := FromArgs(Args{
		VMNames:               []string{"b"},
		VMStartScripts:        []string{"/vm/bin/run-v-vm"},
		ContainerStartScripts: []string{"/nix/store/c/run-c-nspawn"},
		StartScripts:          []string{"rel/run-web-vm", "/test.py"},
		VLANs:                 []int{2, 1, 2},
		TestScript:            "/test.py",
	}, fs.options())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range got.Machines() {
		names = append(names, m.Name+" "+string(m.Kind)+" "+m.StartScript)
	}
	wantLines(t, names,
		"b vm /vm/bin/run-v-vm",
		"c container /nix/store/c/run-c-nspawn",
		"machine vm /test.py",
		"web vm /base/rel/run-web-vm")
	if got.GlobalTimeout != DefaultTimeout || len(got.VLANs) != 2 || got.VLANs[0] != 1 || got.TestScript != "/test.py" {
		t.Errorf("got %+v", got)
	}
	if c := got.Containers["c"]; c.Number != 2 || c.Interfaces[0].MAC != "52:54:00:12:01:02" {
		t.Errorf("got %+v", c)
	}

	got, err = FromArgs(Args{
		ContainerNames:        []string{"x", "y"},
		ContainerStartScripts: []string{"/nix/store/c/run-c-nspawn", "/nix/store/d/run-d-nspawn"},
		VLANs:                 []int{1, 2},
		GlobalTimeout:         time.Minute,
		TestScript:            "/test.py",
	}, fs.options())
	if err != nil {
		t.Fatal(err)
	}
	if got.Containers["x"].Name != "x" || got.Containers["y"].Number != 2 || got.GlobalTimeout != time.Minute {
		t.Errorf("got %+v", got)
	}
}

func TestFromArgsProblems(t *testing.T) {
	_, err := FromArgs(Args{
		VMNames:               []string{"a", "b"},
		VMStartScripts:        []string{"/vm/bin/run-v-vm"},
		ContainerNames:        []string{"v", "no good"},
		ContainerStartScripts: []string{"/nix/store/c/run-c-nspawn", "/nix/store/d/run-d-nspawn"},
		StartScripts:          []string{"", "/no"},
		VLANs:                 []int{1, 256},
		GlobalTimeout:         -time.Second,
	}, Options{Dir: "/base", Exists: files().options().Exists, ReadFile: files().options().ReadFile})
	wantLines(t, []string{err.Error()},
		"command line: 10 problems:",
		"  --container-start-scripts[0]: /nix/store/c/run-c-nspawn: interfaces[1].vlan: the test has no VLAN 2, add it to vlans",
		`  --container-start-scripts[1]: "no good" is no machine name, `+nameHelp,
		"  --container-start-scripts[1]: /nix/store/d/run-d-nspawn: interfaces[1].vlan: the test has no VLAN 2, add it to vlans",
		"  --global-timeout: must be from 0.001 to 31622400 seconds, found -1s",
		"  --start-scripts[0]: must not be empty",
		"  --start-scripts[1]: /no does not exist",
		"  --vlans[1]: 256 is out of range, "+use0to255,
		"  --vm-names: has 2 names for the 1 of --vm-start-scripts",
		`  --vm-start-scripts[0]: the name "v" is taken by --container-start-scripts[0]`,
		"  test_script: is missing")
}

func TestFromArgsBrokenScript(t *testing.T) {
	_, err := FromArgs(Args{ContainerStartScripts: []string{"/no"}, TestScript: "/test.py"}, files().options())
	wantLines(t, list(t, err), "--container-start-scripts[0]: /no does not exist")
}

func TestScriptName(t *testing.T) {
	for script, want := range map[string]string{
		"/nix/store/x-run-y/bin/run-web-1-vm": "web-1",
		"run-a-vm":                            "a",
		"/x/run-a-nspawn":                     "machine",
		"/x/run--vm":                          "machine",
		"/x/myrun-a-vm":                       "machine",
	} {
		if got := scriptName(script, "vm"); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
}
