package sandbox

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nestbox/nestbox/spec"
)

// socketDir has a path that leaves room for a socket's name.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "host")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestOpenHost(t *testing.T) {
	t.Parallel()
	dir := socketDir(t)
	secret := filepath.Join(t.TempDir(), "secret")
	check(t, "filling", os.WriteFile(secret, []byte("\x00\xff\n"), 0o600))
	m := &spec.Machine{Name: "web", Credentials: map[string]spec.Credential{
		"text": {Text: "a\x00b"}, "file": {Source: secret}, "empty": {},
	}}
	for round := range 2 { // a machine that starts again finds the sockets of its last boot
		h, err := OpenHost(m, dir)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"text": "a\x00b", "file": "\x00\xff\n", "empty": "", "journal.forward_to_socket": "/run/host/journal",
		}
		for name, text := range want {
			path := filepath.Join(dir, "credentials", name)
			if got := content(t, path); got != text {
				t.Errorf("credential %s is %q", name, got)
			}
			if st, err := os.Stat(path); err == nil && st.Mode() != 0o400 {
				t.Errorf("credential %s has mode %s", name, st.Mode())
			}
		}
		if entries, err := os.ReadDir(filepath.Join(dir, "credentials")); len(entries) != len(want) || err != nil {
			t.Errorf("%d credentials, %v", len(entries), err)
		}
		if round == 0 {
			trySockets(t, h, dir)
		}
		check(t, "Close", h.Close())
		check(t, "second Close", h.Close())
	}
}

func trySockets(t *testing.T, h *Host, dir string) {
	t.Helper()
	notify, err := net.Dial("unixgram", dir+"/notify")
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	if _, err := notify.Write([]byte("READY=1")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if n, err := h.Notify.Read(buf); string(buf[:n]) != "READY=1" {
		t.Errorf("by notify came %q, %v", buf[:n], err)
	}
	journal, err := net.Dial("unix", dir+"/journal")
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	conn, err := h.Journal.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	for _, name := range []string{"notify", "journal"} { // journald is not root
		if st, err := os.Stat(dir + "/" + name); err != nil || st.Mode().Perm() != 0o666 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
}

func TestOpenHostErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		dir         string
		credentials map[string]spec.Credential
		words       []string
	}{
		"missing file": {socketDir(t), map[string]spec.Credential{"key": {Source: "/nowhere/key"}},
			[]string{`preparing /run/host of machine "web": reading credential "key": `, "/nowhere/key"}},
		"slash":         {socketDir(t), map[string]spec.Credential{"../key": {Text: "x"}}, []string{`credential "../key"`, "slash"}},
		"no directory":  {"/dev/null/x", nil, []string{"not a directory"}},
		"long path":     {socketDir(t) + "/" + strings.Repeat("x", 120), nil, []string{"preparing /run/host"}},
		"dots":          {socketDir(t), map[string]spec.Credential{"..": {Text: "x"}}, []string{"preparing /run/host"}},
		"no name":       {socketDir(t), map[string]spec.Credential{"": {Text: "x"}}, []string{"preparing /run/host"}},
		"own directory": {socketDir(t), map[string]spec.Credential{"a": {Source: "/"}}, []string{"is a directory"}},
	} {
		h, err := OpenHost(&spec.Machine{Name: "web", Credentials: test.credentials}, test.dir)
		check(t, name, err, test.words...)
		if h != nil {
			t.Errorf("%s: a host with an error", name)
		}
	}
}

func TestMachineID(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	check(t, "new", writeMachineID(root, "web"))
	want := strings.ReplaceAll(UUID("web"), "-", "") + "\n"
	if got := content(t, root+"/etc/machine-id"); got != want {
		t.Errorf("machine-id %q, want %q", got, want)
	}
	check(t, "again", writeMachineID(root, "other"))
	if got := content(t, root+"/etc/machine-id"); got != want {
		t.Errorf("machine-id became %q", got)
	}
	// A tree whose links lead outside is not followed there.
	outside, evil := t.TempDir(), t.TempDir()
	check(t, "filling", os.Symlink(outside, evil+"/etc"))
	if err := writeMachineID(evil, "web"); err == nil {
		t.Error("a link out of the tree was followed")
	}
	if entries, err := os.ReadDir(outside); len(entries) > 0 || err != nil {
		t.Errorf("outside: %v, %v", entries, err)
	}
}

func TestMakeDirs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := Layout{Root: dir + "/a/root", HostDir: dir + "/b/host", SharedDir: dir + "/c/shared"}
	check(t, "makeDirs", makeDirs(&spec.Machine{Name: "web"}, l))
	for _, path := range []string{l.Root + "/etc/machine-id", l.HostDir, l.SharedDir} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	l.SharedDir = "/dev/null/x"
	check(t, "no place", makeDirs(&spec.Machine{Name: "web"}, l), `making a directory of machine "web"`)
}

func TestCleanup(t *testing.T) {
	t.Parallel()
	var order []int
	var c cleanup
	for i := range 3 {
		c.add(func() { order = append(order, i) })
	}
	c.run()
	if !slices.Equal(order, []int{2, 1, 0}) {
		t.Errorf("order %v", order)
	}
}
