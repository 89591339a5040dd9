package spec

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// translated is what a start script becomes: a machine, or problems.
func translated(text string) (*Machine, []string) {
	d := newDecoder(Options{
		Dir:      "/base",
		Exists:   func(string) bool { return true },
		ReadFile: func(string) ([]byte, error) { return []byte(text), nil },
	}, "test")
	m := d.script("/run-c-nspawn", "c", "script")
	var problems []string
	for _, p := range d.list {
		problems = append(problems, strings.TrimPrefix(p.Message, "/run-c-nspawn: "))
	}
	return m, problems
}

// launch is a start script with options for systemd-nspawn.
func launch(options string) string {
	return `exec /x/run-nspawn --container-name=c --root-dir=./c-root --interfaces-json='[]' --init=/init ` + options + ` "$@"`
}

// plainMachine is what launch("") becomes.
func plainMachine() *Machine {
	return &Machine{
		Name: "c", Kind: KindContainer, StartScript: "/run-c-nspawn", Init: "/init",
		Env: map[string]string{}, Credentials: map[string]Credential{},
		Root:  Root{Kind: RootDirectory},
		Notes: []string{"--root-dir=./c-root: the driver's state directory is used"},
	}
}

func TestNspawnOptions(t *testing.T) {
	bind := func(source, target string, readOnly bool, options ...string) Mount {
		return Mount{Source: source, Target: target, Type: MountBind, ReadOnly: readOnly, Options: options}
	}
	mounts := func(all ...Mount) func(*Machine) {
		return func(m *Machine) { m.Mounts = append(m.Mounts, all...) }
	}
	note := func(all ...string) func(*Machine) {
		return func(m *Machine) { m.Notes = append(m.Notes, all...) }
	}
	env := func(name, value string) func(*Machine) {
		return func(m *Machine) { m.Env[name] = value }
	}
	credential := func(id string, c Credential) func(*Machine) {
		return func(m *Machine) { m.Credentials[id] = c }
	}
	nothing := func(*Machine) {}
	for _, test := range []struct {
		options string
		change  func(m *Machine)
	}{
		{"", nothing},
		{"--bind=/a", mounts(bind("/a", "/a", false))},
		{"--bind /a:/b", mounts(bind("/a", "/b", false))},
		{"--bind-ro=/a:/b/", mounts(bind("/a", "/b", true))},
		{`'--bind-ro=/a b:/c'`, mounts(bind("/a b", "/c", true))},
		{`'--bind=/a\:b:/c\\d'`, mounts(bind("/a:b", `/c\d`, false))},
		{"--bind=a:/b", mounts(bind("/base/a", "/b", false))},
		{"--bind=/a:/b:norbind", mounts(bind("/a", "/b", false, "bind"))},
		{"--bind=/a:/b:rbind,noidmap", mounts(bind("/a", "/b", false))},
		{"--bind=/a:/b:idmap", func(m *Machine) {
			mounts(bind("/a", "/b", false))(m)
			note("--bind=/a:/b:idmap: ids are the same on both sides of the mount")(m)
		}},
		{"--bind-ro=/nix/store", nothing},
		{"--bind-ro=/nix/store:/nix/store", nothing},
		{"--bind=/nix/store", note("--bind=/nix/store: the store is there already, read-only")},
		{"--bind-ro=/nix/store/x:/etc/x", mounts(bind("/nix/store/x", "/etc/x", true))},
		{"--bind-ro=/x:/nix/store", mounts(bind("/x", "/nix/store", true))},
		{"--bind=/proc:/run/host/proc --bind=/sys:/run/host/sys", note(
			"--bind=/proc:/run/host/proc: every machine has its own /proc and /sys",
			"--bind=/sys:/run/host/sys: every machine has its own /proc and /sys")},
		{"--tmpfs=/t", mounts(Mount{Target: "/t", Type: MountTmpfs, Options: []string{"mode=0755"}})},
		{"--tmpfs=/t:size=1M,mode=1777", mounts(Mount{Target: "/t", Type: MountTmpfs, Options: []string{"size=1M", "mode=1777"}})},
		{"--setenv=A=b=c", env("A", "b=c")},
		{"-E A=", env("A", "")},
		{"-EA=b", env("A", "b")},
		{"--setenv=A", note("--setenv=A: the script gives it no value, so the machine gets none")},
		{"--load-credential=id:/f:g", credential("id", Credential{Source: "/f:g"})},
		{"--load-credential=id:f", credential("id", Credential{Source: "/base/f"})},
		{`--set-credential='id:a:b\nc\x00'`, credential("id", Credential{Text: "a:b\nc\x00"})},
		{"--machine=c -M c --hostname=c", nothing},
		{"--machine=d", note("--machine=d: the machine is called c")},
		{"-Md", note("--machine=d: the machine is called c")},
		{"-D /d", note("--directory=/d: the driver's state directory is used")},
		{"-bq", note("--boot: --init is what boots", "--quiet: nothing to do here")},
		{"-bM c", note("--boot: --init is what boots")},
		{"-j", note("--link-journal-try-guest: the journal is streamed to the log")},
		{"-U", note("--private-users-pick: ids are mapped by what the build owns")},
		{"--volatile=no", note("--volatile=no: is off")},
		{"--no-new-privileges=off", note("--no-new-privileges=off: is off")},
		{"--user", note("--user: no systemd of the host is involved")},
		{"--console=pipe", note("--console=pipe: the console is a terminal whose output is logged")},
		{"--property MemoryMax=1G", note("--property=MemoryMax=1G: no systemd of the host is involved")},
	} {
		t.Run(test.options, func(t *testing.T) {
			want := plainMachine()
			test.change(want)
			got, problems := translated(launch(test.options))
			wantLines(t, problems)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Every option without meaning here is accepted and leaves a note.
func TestNspawnNotes(t *testing.T) {
	for _, option := range []string{
		"--private-network", "--boot", "--notify-ready=yes", "--private-users=pick", "--private-users-ownership=chown",
		"--private-users-chown", "--private-users-delegate=1", "--capability=all", "--drop-capability=CAP_SYS_TIME",
		"--system-call-filter=@keyring", "--console=passive", "--background=41", "--pipe", "-P", "--machine=x", "--hostname=x",
		"--directory=/x", "--register=no", "--property=A=b", "--slice=x", "-S x", "--keep-unit", "--system", "--user",
		"--link-journal=no", "--settings=no", "--quiet", "--no-pager", "--no-ask-password", "--kill-signal=TERM",
		"--uuid=00000000000000000000000000000001", "--resolv-conf=off", "--timezone=off", "--suppress-sync=yes",
		"--oom-score-adjust=0", "--image-policy=x", "--selinux-context=x", "-Z x", "--selinux-apifs-context=x", "-L x",
	} {
		m, problems := translated(launch(option))
		wantLines(t, problems)
		if m != nil && len(m.Notes) != 2 {
			t.Errorf("%s: want one note beside that on the root, got %q", option, m.Notes)
		}
	}
}

func TestNspawnRefusals(t *testing.T) {
	const vlans = "is not supported, VLANs come from --interfaces-json"
	const root = "is not supported, the root is a directory and a store"
	const user = "is not supported, --init runs as root in /"
	for options, want := range map[string]string{
		"--frobnicate":                "--frobnicate: unknown option",
		"--frobnicate=1":              "--frobnicate: unknown option",
		"-k":                          "-k: unknown option",
		"-bé":                         "-é: unknown option",
		"--boot=yes":                  `--boot: takes no value, found "yes"`,
		"--bind=":                     "--bind: a temporary directory as source is not supported, use --tmpfs",
		"--bind=+/a":                  "--bind=+/a: a source inside the root is not supported, the root is empty",
		"--bind=/a:/b:ro":             `--bind=/a:/b:ro: "ro" is no option of a bind mount`,
		"--setenv==x":                 `--setenv==x: "" is no variable name, use letters, digits and _`,
		"--load-credential=x":         "--load-credential=x: names no file, give ID:PATH",
		"--set-credential=x":          "--set-credential=x: has no value, give ID:VALUE",
		`--set-credential='x:\q'`:     `--set-credential=x:\q: has a backslash that starts no escape`,
		"--volatile":                  "--volatile: a volatile root is not supported",
		"--volatile=overlay":          "--volatile=overlay: a volatile root is not supported",
		"--no-new-privileges=yes":     "--no-new-privileges=yes: machines need to gain privileges",
		"--overlay=/a:/b:/c":          "--overlay=/a:/b:/c: overlays within a machine are not supported, use a bind mount or a tmpfs",
		"--overlay-ro=/a:/b":          "--overlay-ro=/a:/b: overlays within a machine are not supported, use a bind mount or a tmpfs",
		"--inaccessible=/a":           "--inaccessible=/a: is not supported, use a bind mount or a tmpfs",
		"--bind-user=u":               "--bind-user=u: is not supported, use a bind mount or a tmpfs",
		"--image=x":                   "--image=x: " + root,
		"-i x":                        "--image=x: " + root,
		"--template=x":                "--template=x: " + root,
		"--read-only":                 "--read-only: is not supported, the root is a fresh directory",
		"-x":                          "--ephemeral: is not supported, the root is a fresh directory",
		"-a":                          "--as-pid2: is not supported, --init has to be an init",
		"-u bob":                      "--uid=bob: " + user,
		"--user=bob":                  "--user=bob: " + user,
		"--chdir=/":                   "--chdir=/: " + user,
		"--rlimit=RLIMIT_NOFILE=1":    "--rlimit=RLIMIT_NOFILE=1: is not supported, set limits in a machine object or in the machine's own units",
		"-n":                          "--network-veth: " + vlans,
		"--network-bridge=br0":        "--network-bridge=br0: " + vlans,
		"--network-namespace-path=/x": "--network-namespace-path=/x: " + vlans,
		"-p 80":                       "--port=80: " + vlans,
		"--import-credential=x":       "--import-credential=x: is not supported, use --load-credential",
		"--version":                   "--version: starts no machine",
		"-h":                          "--help: starts no machine",
		"/bin/sh":                     `"/bin/sh": is no option, the program to run is given by --init`,
		"--":                          `"--": is no option, the program to run is given by --init`,
		"-":                           `"-": is no option, the program to run is given by --init`,
	} {
		_, problems := translated(launch(options))
		wantLines(t, problems, want)
	}
	for options, want := range map[string]string{
		"--bind": "--bind: needs a value",
		"-M":     "-M: needs a value",
	} {
		_, problems := translated(strings.TrimSuffix(launch(options), ` "$@"`))
		wantLines(t, problems, want)
	}
}

func TestRunNspawnFlags(t *testing.T) {
	const ok = `--container-name=c --root-dir=r --interfaces-json=[] --init=/init`
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"nothing given", `exec run-nspawn`, []string{
			"--container-name: is missing", "--root-dir: is missing", "--interfaces-json: is missing", "--init: is missing",
		}},
		{"another program", "\n\nexec /x/systemd-nspawn -b", []string{`line 3: exec of "/x/systemd-nspawn", want run-nspawn`}},
		{"interfaces no JSON", `exec run-nspawn ` + ok + ` --interfaces-json='[{]'`, []string{
			"--interfaces-json: line 1, column 3 (byte 2): invalid character ']' looking for beginning of object key string",
		}},
		{"interfaces no list", `exec run-nspawn ` + ok + ` --interfaces-json={}`, []string{"--interfaces-json: want a list, found an object"}},
		{"interface of the wrong form", `exec run-nspawn ` + ok + ` --interfaces-json='[{"name":1}]'`, []string{
			"--interfaces-json[0].name: want a string, found the number 1",
			"--interfaces-json[0].vlan: is missing",
		}},
		{"cmdline of the wrong form", `exec run-nspawn ` + ok + ` --cmdline-json '["a",2]'`, []string{"--cmdline-json[1]: want a string, found the number 2"}},
		{"several at once", `exec run-nspawn --init=/init --frob --cmdline-json=1`, []string{
			"--container-name: is missing", "--root-dir: is missing", "--interfaces-json: is missing",
			"--cmdline-json: want a list, found the number 1", "--frob: unknown option",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, problems := translated(test.text)
			got := append([]string{}, problems...)
			if diff := cmp.Diff(sorted(test.want), sorted(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Flags and values may stand apart, the last of a flag counts, and keys of
// interfaces that mean nothing here are noted.
func TestRunNspawnForms(t *testing.T) {
	m, problems := translated(`#!/bin/sh
# a comment
LATER=2; export LATER
export SECRET='it'\''s' OTHER
HERE=/nix/store/x
export SYSTEMD_LOG_LEVEL=debug
FROM_EXEC=1 exec /x/run-nspawn \
  --container-name other --container-name c \
  --root-dir "$HERE/root" --init "${HERE}/init" \
  --interfaces-json "[{\"name\":\"eth1\",\"vlan\":3,\"assignIP\":true,\"mtu\":9000}]" \
  --setenv=SECRET -E LATER -E OTHER -E HERE --setenv=FROM_EXEC "$@"
never reached (
`)
	wantLines(t, problems)
	want := plainMachine()
	want.Init = "/nix/store/x/init"
	want.Interfaces = []Interface{{Name: "eth1", VLAN: 3}}
	want.Env = map[string]string{"SECRET": "it's", "FROM_EXEC": "1", "LATER": "2"}
	want.Notes = []string{
		"--root-dir=/nix/store/x/root: the driver's state directory is used",
		"--interfaces-json[0].mtu: has no meaning here",
		"--setenv=OTHER: the script gives it no value, so the machine gets none",
		"--setenv=HERE: the script gives it no value, so the machine gets none",
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
}
