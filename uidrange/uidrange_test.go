package uidrange

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/nestbox/nestbox/internal/testenv"
)

const (
	whole = "         0          0 4294967295\n"
	nix   = "         0  872415232      65536\n"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name       string
		uids, gids string // empty gids: as uids
		euid       int
		want       Range
		err        error
		says       []string
	}{
		{name: "Nix with uid-range", uids: nix, want: Range{Size: 65536, Outside: 872415232}},
		{name: "root of the host", uids: whole, want: Range{Size: 4294967295, Initial: true}},
		{
			name: "two mappings without a gap, as Podman makes them",
			uids: "0 1000 1\n1 100000 65536\n",
			want: Range{Size: 65537, Outside: 1000},
		},
		{
			name: "out of order",
			uids: "1 100000 65536\n0 1000 1\n",
			want: Range{Size: 65537, Outside: 1000},
		},
		{
			name: "the smaller of both counts",
			uids: "0 100000 200000\n", gids: "0 100000 65536\n",
			want: Range{Size: 65536, Outside: 100000},
		},
		{
			name: "Nix silently without user namespace", uids: whole, euid: 872415232, err: ErrNoUserNamespace,
			says: []string{"uid 872415232", "chroot", "pivot_root", "user.max_user_namespaces"},
		},
		{
			name: "the same, a later block", uids: whole, euid: 872415232 + 5*65536, err: ErrNoUserNamespace,
			says: []string{"chroot"},
		},
		{
			name: "a Nix build user", uids: whole, euid: 30001, err: ErrNoUserNamespace,
			says: []string{"uid 30001", "sandbox is off", "auto-allocate-uids = true", `requiredSystemFeatures = [ "uid-range" ]`},
		},
		{
			name: "one past Nix's blocks is somebody else", uids: whole, euid: 872415232 + 8388608, err: ErrNoUserNamespace,
			says: []string{"ordinary user"},
		},
		{
			name: "the usual Nix sandbox", uids: "1000 30001 1\n", gids: "100 30000 1\n", euid: 1000, err: ErrNoUserNamespace,
			says: []string{"does not require", `requiredSystemFeatures = [ "uid-range" ]`, "extra-system-features = uid-range", "1000 (outside 30001)"},
		},
		{name: "not root of a range", uids: nix, euid: 1000, err: ErrNotRoot, says: []string{"uid 1000", "0-65535 (outside 872415232)"}},
		{name: "one id short", uids: "0 100000 65535\n", err: ErrTooFew, says: []string{"0-65534", "65535", "/etc/subuid"}},
		{name: "too few groups", uids: nix, gids: "0 872415232 1000\n", err: ErrTooFew, says: []string{"group ids 0-999"}},
		{name: "a gap", uids: "0 1000 1\n2 100000 65536\n", err: ErrTooFew, says: []string{"without a gap"}},
		{name: "unshare --map-root-user", uids: "0 1000 1\n", err: ErrTooFew, says: []string{"0 (outside 1000)"}},
		{name: "nothing mapped yet", uids: "", euid: 65534, err: ErrNotRoot, says: []string{"user ids none"}},
		{name: "root of the host with few groups", uids: whole, gids: "0 0 100\n", err: ErrTooFew},
	} {
		t.Run(c.name, func(t *testing.T) {
			gids := c.gids
			if gids == "" {
				gids = c.uids
			}
			got, err := Parse([]byte(c.uids), []byte(gids), c.euid)
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			for _, w := range c.says {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error does not say %q:\n%v", w, err)
				}
			}
		})
	}
}

func TestParseNonsense(t *testing.T) {
	for _, bad := range []string{"0 0\n", "0 0 0 0\n", "a b c\n", "-1 0 1\n", "0 0 4294967296\n", "\n"} {
		_, err := Parse([]byte(bad), []byte(nix), 0)
		if err == nil || !strings.Contains(err.Error(), "uid_map") {
			t.Errorf("uid_map %q: %v", bad, err)
		}
		_, err = Parse([]byte(nix), []byte(bad), 0)
		if err == nil || !strings.Contains(err.Error(), "gid_map") {
			t.Errorf("gid_map %q: %v", bad, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole), []byte(nix), 0)
	f.Add([]byte("1000 30001 1\n"), []byte("100 30000 1\n"), 1000)
	f.Fuzz(func(t *testing.T, uids, gids []byte, euid int) {
		r, err := Parse(uids, gids, euid)
		if err == nil && (r.Size < Needed || euid != 0) {
			t.Errorf("accepted %q %q as uid %d: %+v", uids, gids, euid, r)
		}
	})
}

func TestIdentity(t *testing.T) {
	want := []Mapping{{Inside: 0, Outside: 0, Size: 65536}}
	for _, r := range []Range{{Size: 65536, Outside: 872415232}, {Size: 4294967295, Initial: true}} {
		if got := r.Identity(); !reflect.DeepEqual(got, want) {
			t.Errorf("Identity of %+v = %v, want %v", r, got, want)
		}
	}
}

func TestCapabilities(t *testing.T) {
	for _, c := range []struct {
		capEff string
		says   string
	}{
		{"000001ffffffffff", ""},
		{"00000000a80425fb", "CAP_SYS_ADMIN, CAP_NET_ADMIN"}, // a Docker container's default
		{"nonsense", "nonsense"},
	} {
		err := checkCapabilities([]byte("Name:\tx\nCapPrm:\t0\nCapEff:\t" + c.capEff + "\nCapBnd:\t0\n"))
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("CapEff %s: error %v, want one that says %q", c.capEff, err, c.says)
		}
	}
	if err := checkCapabilities([]byte("Name:\tx\n")); err == nil {
		t.Error("a status file without CapEff was accepted")
	}
}

const helperVar = "NESTBOX_UIDRANGE_TEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperVar) == "" {
		os.Exit(m.Run())
	}
	r, err := Detect()
	fmt.Printf("%+v %t", r, errors.Is(err, ErrTooFew))
}

// TestDetect runs Detect in real user namespaces.
func TestDetect(t *testing.T) {
	testenv.RequireRoot(t)
	for _, c := range []struct {
		name          string
		outside, size int
		want          string
	}{
		{"as Nix makes it", 872415232, 65536, "{Size:65536 Outside:872415232 Initial:false} false"},
		{"too small", 872415232, 1000, "{Size:0 Outside:0 Initial:false} true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: c.outside, Size: c.size}}
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), helperVar+"=1")
			cmd.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids,
				Credential: &syscall.Credential{Uid: 0, Gid: 0},
			}
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != c.want {
				t.Errorf("%s, %v; want %s", out, err, c.want)
			}
		})
	}
}
