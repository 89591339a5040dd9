package spec

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// everything uses every field of the driver's JSON.
const everything = `{
  "vms": {"v": {"name": "v", "start_script": "/vm/bin/run-v-vm"}},
  "containers": {
    "c": {"name": "c", "start_script": "/nix/store/c/run-c-nspawn",
          "display_targets": [{"backend": "x11"}], "display_exporters": {"x11": {"kind": "x11-vnc"}}},
    "a": {
      "name": "a",
      "init": "/nix/store/sys/init",
      "cmdline": ["--unit=rescue.target"],
      "interfaces": [
        {"name": "eth1", "vlan": 1},
        {"name": "eth2", "vlan": 1},
        {"name": "eth3", "vlan": 255, "mac": "52:54:00:AA:BB:CC", "addresses": ["192.168.255.1/24", "2001:db8::1/64"]}
      ],
      "mounts": [
        {"source": "here", "target": "/mnt//here/", "readOnly": true, "options": ["noexec"]},
        {"type": "tmpfs", "target": "/var/cache", "options": ["size=64M"]}
      ],
      "env": {"LANG": "C.UTF-8"},
      "credentials": {"token": {"source": "/secret"}, "motd": {"text": "hi\u0000"}},
      "devices": ["/dev/net/tun"],
      "limits": {"memory": "512M", "cpus": 1.5, "pids": 100},
      "root": {"kind": "overlay", "lower": "/srv/tree", "path": "/srv/upper"},
      "writableStore": true
    }
  },
  "vlans": [255, 2, 1, 1],
  "global_timeout": "PT1M30S",
  "enable_ssh_backdoor": true,
  "test_script": "/test.py",
  "display_viewers": {"vnc": { "kind": "vnc" }}
}`

func TestDecodeEverything(t *testing.T) {
	got, err := Decode([]byte(everything), files().options())
	if err != nil {
		t.Fatal(err)
	}
	want := &Test{
		VMs: map[string]*Machine{
			"v": {Name: "v", Kind: KindVM, Number: 3, StartScript: "/vm/bin/run-v-vm"},
		},
		Containers: map[string]*Machine{
			"a": {
				Name: "a", Kind: KindContainer, Number: 1,
				Init: "/nix/store/sys/init", Cmdline: []string{"--unit=rescue.target"},
				Interfaces: []Interface{
					{Name: "eth1", VLAN: 1, MAC: "52:54:00:12:01:01"},
					{Name: "eth2", VLAN: 1, MAC: "52:54:00:13:01:01"},
					{Name: "eth3", VLAN: 255, MAC: "52:54:00:aa:bb:cc", Addresses: []string{"192.168.255.1/24", "2001:db8::1/64"}},
				},
				Mounts: []Mount{
					{Source: "/base/here", Target: "/mnt/here", Type: MountBind, ReadOnly: true, Options: []string{"noexec"}},
					{Target: "/var/cache", Type: MountTmpfs, Options: []string{"size=64M"}},
				},
				Env:           map[string]string{"LANG": "C.UTF-8"},
				Credentials:   map[string]Credential{"token": {Source: "/secret"}, "motd": {Text: "hi\x00"}},
				Devices:       []string{"/dev/net/tun"},
				Limits:        Limits{Memory: 512 << 20, CPUs: 1.5, PIDs: 100},
				Root:          Root{Kind: RootOverlay, Lower: "/srv/tree", Path: "/srv/upper"},
				WritableStore: true,
			},
			"c": {
				Name: "c", Kind: KindContainer, Number: 2, StartScript: "/nix/store/c/run-c-nspawn",
				Init: "/nix/store/sys/init", Cmdline: []string{"systemd.log_level=debug", "a b"},
				Interfaces: []Interface{
					{Name: "eth1", VLAN: 1, MAC: "52:54:00:12:01:02"},
					{Name: "enp9s0", VLAN: 2, MAC: "52:54:00:12:02:02"},
				},
				Mounts:      []Mount{{Source: "/etc/hosts", Target: "/etc/up stream", Type: MountBind, ReadOnly: true}},
				Env:         map[string]string{},
				Credentials: map[string]Credential{"token": {Source: "/secret"}},
				Root:        Root{Kind: RootDirectory},
				Notes: []string{
					"--root-dir=./c-root: the driver's state directory is used",
					"--private-network: every machine has its own network",
					"--keep-unit: no systemd of the host is involved",
					"--register=no: no systemd of the host is involved",
					"--notify-ready=yes: readiness is always awaited",
				},
				DisplayTargets:   json.RawMessage(`[{"backend": "x11"}]`),
				DisplayExporters: json.RawMessage(`{"x11": {"kind": "x11-vnc"}}`),
			},
		},
		VLANs:             []int{1, 2, 255},
		GlobalTimeout:     90 * time.Second,
		EnableSSHBackdoor: true,
		TestScript:        "/test.py",
		DisplayViewers:    json.RawMessage(`{"vnc": { "kind": "vnc" }}`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var order []string
	for _, m := range got.Machines() {
		order = append(order, m.Name)
	}
	wantLines(t, order, "a", "c", "v")
}

func TestDecodeDefaults(t *testing.T) {
	got, err := Decode([]byte(`{"test_script": "/test.py", "containers": {"a": {"init": "/nix/store/sys/init"}}}`), files().options())
	if err != nil {
		t.Fatal(err)
	}
	want := &Test{
		VMs: map[string]*Machine{},
		Containers: map[string]*Machine{"a": {
			Name: "a", Kind: KindContainer, Number: 1, Init: "/nix/store/sys/init",
			Env: map[string]string{}, Credentials: map[string]Credential{}, Root: Root{Kind: RootDirectory},
		}},
		GlobalTimeout: time.Hour,
		TestScript:    "/test.py",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeMachine(t *testing.T) {
	got, err := DecodeMachine([]byte(`{"name": "solo", "init": "/nix/store/sys/init", "interfaces": [{"name": "eth1", "vlan": 7}]}`), files().options())
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "solo" || got.Number != 1 || got.Interfaces[0].MAC != "52:54:00:12:07:01" {
		t.Errorf("got %+v", got)
	}
	got, err = DecodeMachine([]byte(`{"name": "solo", "start_script": "/nix/store/c/run-c-nspawn"}`), files().options())
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "solo" || got.Init != "/nix/store/sys/init" || got.Notes[0] != "--container-name=c: the machine is called solo" {
		t.Errorf("got %+v", got)
	}
	for input, want := range map[string][]string{
		`{"name": "so lo", "init": "x", "interfaces": [{"name": "eth1", "vlan": 256}]}`: {
			`init: "x" is no absolute path inside the machine`,
			`interfaces[0].vlan: 256 is out of range, use 0 to 255 (machines get 192.168.<vlan>.<number>)`,
			`name: "so lo" is no machine name, use letters, digits, "_", "-" and "." and start with none of the last two`,
		},
		`{"init": "/nix/store/sys/init"}`: {`name: is missing`},
		`[]`:                              {`want an object, found a list`},
		``:                                {`line 1, column 1 (byte 0): unexpected end of JSON input`},
	} {
		m, err := DecodeMachine([]byte(input), files().options())
		if m != nil {
			t.Errorf("%s: got a machine beside an error", input)
		}
		wantLines(t, list(t, err), want...)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "test.py")
	config := filepath.Join(dir, "driver.json")
	missing := filepath.Join(dir, "missing")
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(script, "")
	write(config, `{"test_script": "`+script+`"}`)
	got, err := Load(config, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got.TestScript != script {
		t.Errorf("test script %q", got.TestScript)
	}

	write(config, `{"test_script": "`+missing+`"}`)
	_, err = Load(config, Options{})
	wantLines(t, []string{err.Error()}, config+": 1 problem:", "  test_script: "+missing+" does not exist")

	_, err = Load(config, Options{File: "name"})
	wantLines(t, []string{err.Error()}, "name: 1 problem:", "  test_script: "+missing+" does not exist")

	_, err = Load(missing, Options{})
	var p *Problems
	if !errors.Is(err, fs.ErrNotExist) || errors.As(err, &p) {
		t.Errorf("a missing file: got %T %v", err, err)
	}

	// A relative path starts at the working directory.
	t.Chdir(dir)
	write(config, `{"test_script": "test.py"}`)
	got, err = Load(config, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(got.TestScript) || filepath.Base(got.TestScript) != "test.py" {
		t.Errorf("test script %q", got.TestScript)
	}
}

func TestSyntaxErrors(t *testing.T) {
	for input, want := range map[string]string{
		"":                  "line 1, column 1 (byte 0): unexpected end of JSON input",
		"{\n  \"a\": 1,\n}": "line 3, column 1 (byte 12): invalid character '}' looking for beginning of object key string",
		"{} x":              "line 1, column 4 (byte 3): invalid character 'x' after top-level value",
		"{\"a\":\n  tru }":  "line 2, column 6 (byte 11): invalid character ' ' in literal true (expecting 'e')",
	} {
		_, err := Decode([]byte(input), files().options())
		wantLines(t, list(t, err), want)
	}
	_, err := Decode([]byte(strings.Repeat("[", 20000)+strings.Repeat("]", 20000)), files().options())
	if got := list(t, err); len(got) != 1 || !strings.Contains(got[0], "depth") {
		t.Errorf("deep nesting: got %q", got)
	}
}

func TestOrderOfProblems(t *testing.T) {
	paths := []string{"a", "a.b", "a[2]", "a[10]", "a[010]x", "b"}
	for i, a := range paths {
		for j, b := range paths {
			if got := compareNatural(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%q and %q: got %d", a, b, got)
			}
		}
	}
}

func TestProblemsAreOneLineEach(t *testing.T) {
	_, err := Decode([]byte(`{"a\nb": 1, "test_script": "/no\nsuch"}`), files().options())
	if n := strings.Count(err.Error(), "\n"); n != 2 {
		t.Errorf("got %d line breaks in:\n%v", n, err)
	}
}

func TestIdentifier(t *testing.T) {
	for name, want := range map[string]string{
		"web": "web", "web-1.example": "web_1_example", "1st": "_st", "_x9": "_x9", "é": "_", "": "",
	} {
		if got := Identifier(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestSuggestions(t *testing.T) {
	known := []string{"start_script", "vlan", "name"}
	for word, want := range map[string]string{
		"startScript": `, did you mean "start_script"?`,
		"vlans":       `, did you mean "vlan"?`,
		"vlna":        `, did you mean "vlan"?`,
		"no":          `; known here: name, start_script, vlan`,
		"Name":        `, did you mean "name"?`,
		"zzz":         `; known here: name, start_script, vlan`,
	} {
		if got := suggestion(word, known); got != want {
			t.Errorf("%s: got %s, want %s", word, got, want)
		}
	}
}

// Every string and list of a machine must survive: a field that the decoder
// forgot would be empty in the sample that uses all of them.
func TestEverythingIsEverything(t *testing.T) {
	got, err := Decode([]byte(everything), files().options())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{*got, *got.Containers["a"], *got.Containers["c"]} {
		s := reflect.ValueOf(v)
		for i := range s.NumField() {
			name := s.Type().Field(i).Name
			onlyScripts := name == "StartScript" || name == "Notes" || strings.HasPrefix(name, "DisplayT") || strings.HasPrefix(name, "DisplayE")
			isScript := s.Type() == reflect.TypeFor[Machine]() && s.FieldByName("StartScript").String() != ""
			if s.Type() == reflect.TypeFor[Machine]() && onlyScripts != isScript {
				continue
			}
			if s.Field(i).IsZero() {
				t.Errorf("%s of %s is not in the sample", name, s.Type())
			}
		}
	}
}
