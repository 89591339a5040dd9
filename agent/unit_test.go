package agent

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

func TestUnitName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"sshd":                     "sshd.service",
		"sshd.service":             "sshd.service",
		"getty@tty1":               "getty@tty1.service",
		"foo.bar":                  "foo.bar.service",
		"multi-user.target":        "multi-user.target",
		"x.socket":                 "x.socket",
		"x.automount":              "x.automount",
		"x.timer":                  "x.timer",
		"x.path":                   "x.path",
		"x.swap":                   "x.swap",
		"x.slice":                  "x.slice",
		"x.scope":                  "x.scope",
		"-.mount":                  "-.mount",
		".service":                 ".service.service",
		"/":                        "-.mount",
		"/mnt/data":                "mnt-data.mount",
		"/mnt/a b":                 `mnt-a\x20b.mount`,
		"/dev/ttyS0":               "dev-ttyS0.device",
		"/dev":                     "dev.mount",
		"/sys/class/net/eth0":      "sys-class-net-eth0.device",
		"dev-disk-by\\x2dx.device": "dev-disk-by\\x2dx.device",
	} {
		if got, err := unitName(name); got != want || err != nil {
			t.Errorf("unitName(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
	if got, err := unitName(""); err == nil {
		t.Errorf("unitName of nothing = %q", got)
	}
}

// escapes are paths and what systemd makes of them.
var escapes = map[string]string{
	"/":                "-",
	"//":               "-",
	"/foo":             "foo",
	"/foo/bar":         "foo-bar",
	"/foo//bar/":       "foo-bar",
	"/foo/./bar":       "foo-bar",
	"/foo-bar":         `foo\x2dbar`,
	"/.hidden/.x":      `\x2ehidden-.x`,
	"/a.b":             "a.b",
	"/a:b_c":           "a:b_c",
	"/a b":             `a\x20b`,
	`/a\b`:             `a\x5cb`,
	"/ä":               `\xc3\xa4`,
	"/a@b~c":           `a\x40b\x7ec`,
	"/home/üser/x.img": `home-\xc3\xbcser-x.img`,
}

func TestEscapePath(t *testing.T) {
	t.Parallel()
	for path, want := range escapes {
		if got := escapePath(path); got != want {
			t.Errorf("escapePath(%q) = %q, want %q", path, got, want)
		}
	}
}

// The table above is systemd's own opinion, where systemd can be asked.
func TestEscapePathAsSystemd(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("systemd-escape")
	if err != nil {
		t.Skip("there is no systemd-escape")
	}
	for path, want := range escapes {
		out, err := exec.Command(program, "--path", "--", path).Output()
		if got := strings.TrimSuffix(string(out), "\n"); err != nil || got != want {
			t.Errorf("systemd-escape --path %q = %q, %v; the table has %q", path, got, err, want)
		}
	}
}

func TestIsJobOf(t *testing.T) {
	t.Parallel()
	body := []any{uint32(1), dbus.ObjectPath("/job/1"), "a.service", "done"}
	for _, test := range []struct {
		signal dbus.Signal
		want   bool
	}{
		{dbus.Signal{Name: managerInterface + ".JobRemoved", Body: body}, true},
		{dbus.Signal{Name: managerInterface + ".JobNew", Body: body}, false},
		{dbus.Signal{Name: managerInterface + ".JobRemoved", Body: body[:2]}, false},
		{dbus.Signal{Name: managerInterface + ".JobRemoved", Body: []any{1, 2, "b.service"}}, false},
		{dbus.Signal{}, false},
	} {
		if got := isJobOf(&test.signal, "a.service"); got != test.want {
			t.Errorf("isJobOf(%+v) = %v", test.signal, got)
		}
	}
}

func TestUserID(t *testing.T) {
	t.Parallel()
	if uid, err := userID(t.Context(), "root"); uid != 0 || err != nil {
		t.Errorf("root is %d, %v", uid, err)
	}
	for _, user := range []string{"nestbox-nobody-of-that-name", "", "--help", "$(id -un)", "a b"} {
		if uid, err := userID(t.Context(), user); err == nil {
			t.Errorf("%q is user %d", user, uid)
		}
	}
}
