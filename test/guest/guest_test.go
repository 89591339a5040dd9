// Package guest_test proves that the guests of this folder are what tests take
// them for, with systemd-nspawn as the container manager and no part of
// Nestbox.
package guest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nestbox/nestbox/internal/testenv"
	"github.com/nestbox/nestbox/test/nixenv"
)

// setUp returns an Env, the store path of the Debian tree and a context that
// bounds the test.
func setUp(t *testing.T) (context.Context, *nixenv.Env, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	env := nixenv.Start(t)
	debian, err := env.AddPath(ctx, "debian", filepath.Join(testenv.Repo(t), ".cache", "debian-guest"))
	if err != nil {
		t.Fatal(err)
	}
	return ctx, env, debian
}

// report is what check_boot.py writes, as far as it is looked at here.
type report struct {
	Machines map[string]struct {
		Ready   float64           `json:"ready_s"`
		Answers map[string]string `json:"answers"`
	} `json:"machines"`
	AllReady float64  `json:"all_ready_s"`
	PowerOff float64  `json:"poweroff_s"`
	Wrong    []string `json:"wrong"`
}

// TestBoot boots two guests that see each other. What is asked of each is
// listed in check_boot.py, which fails the build when an answer is wrong.
func TestBoot(t *testing.T) {
	ctx, env, debian := setUp(t)
	result := env.Build(ctx, "check-boot.nix", "", map[string]string{
		"debian": debian, "count": "2", "nonce": fmt.Sprint(time.Now().UnixNano()),
	})
	if result.Err != nil {
		t.Fatalf("%v\n%s", result.Err, result.Log)
	}
	data, err := os.ReadFile(filepath.Join(result.HostPath, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Machines) != 2 || len(got.Wrong) != 0 {
		t.Errorf("%d machines, wrong: %q", len(got.Machines), got.Wrong)
	}
	for name, machine := range got.Machines {
		if len(machine.Answers) < 20 {
			t.Errorf("%s was asked only %d questions", name, len(machine.Answers))
		}
	}
	t.Logf("both up after %.2f s, off after %.2f s, build %v", got.AllReady, got.PowerOff, result.Duration)
}

// TestRefusedSetuid: a sandbox that refuses setuid bits is noticed, as in NixOS.
func TestRefusedSetuid(t *testing.T) {
	ctx, env, debian := setUp(t)
	result := env.Build(ctx, "check-boot.nix", "", map[string]string{
		"debian": debian, "count": "1", "setuid": "1", "nonce": fmt.Sprint(time.Now().UnixNano()),
	})
	if result.Err == nil {
		t.Fatalf("the build went well:\n%s", result.Log)
	}
	for _, want := range []string{`wrapper setuid failed: su`, `suid-sgid-wrappers\.service: Failed with result`, `degraded`} {
		if !regexp.MustCompile(want).MatchString(result.Log) {
			t.Errorf("no %q in\n%s", want, result.Log)
		}
	}
}

// TestShapes compares what Nestbox parses with what nixpkgs writes.
func TestShapes(t *testing.T) {
	ctx, env, debian := setUp(t)
	driver := t.TempDir()
	if err := os.MkdirAll(filepath.Join(driver, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	nestbox, err := env.AddPath(ctx, "no-driver", driver)
	if err != nil {
		t.Fatal(err)
	}
	build := func(attr string) string {
		t.Helper()
		result := env.Build(ctx, "examples.nix", attr, map[string]string{"debian": debian, "nestbox": nestbox})
		if result.Err != nil {
			t.Fatal(result.Err)
		}
		return result.HostPath
	}
	// Store paths differ with each Debian tree; their names don't.
	hash := regexp.MustCompile(`/nix/store/[0-9a-z]{32}-`)
	read := func(path string) string {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return hash.ReplaceAllString(string(data), "/nix/store/HASH-")
	}

	script := read(filepath.Join(build("startScript"), "bin", "run-example-nspawn"))
	wantScript := `#!/nix/store/HASH-debian/usr/bin/busybox sh
exec /nix/store/HASH-run-nspawn/bin/run-nspawn '--cmdline-json=["systemd.log_level=info"]' '--container-name=example' ` +
		`'--init=/nix/store/HASH-nixos-like-system-example/init' '--interfaces-json=[{"assignIP":true,"name":"eth1","vlan":1}]' ` +
		`'--root-dir=./example-root' --private-network '--machine=example' '--bind-ro=/nix/store:/nix/store' --keep-unit ` +
		`'--register=no' '--notify-ready=yes' "$@"
`
	if script != wantScript {
		t.Errorf("start script:\n%s\nwant:\n%s", script, wantScript)
	}

	config := read(filepath.Join(build("ping.config"), "config.json"))
	wantConfig := `{"containers":{` +
		`"a":{"name":"a","start_script":"/nix/store/HASH-run-a-nspawn/bin/run-a-nspawn"},` +
		`"b":{"name":"b","start_script":"/nix/store/HASH-run-b-nspawn/bin/run-b-nspawn"}},` +
		`"enable_ssh_backdoor":false,"global_timeout":600,` +
		`"test_script":"/nix/store/HASH-nixos-test-config-ping/test-script","vlans":[1],"vms":{}}`
	if config != wantConfig {
		t.Errorf("configuration:\n%s\nwant:\n%s", config, wantConfig)
	}

	object := read(filepath.Join(build("pingObject.config"), "config.json"))
	wantObject := `"b":{"cmdline":[],"env":{"GREETING":"hello"},"init":"/nix/store/HASH-nixos-like-system-b/init",` +
		`"interfaces":[{"name":"eth1","vlan":1}],"name":"b"}`
	if !strings.Contains(object, wantObject) {
		t.Errorf("machine objects:\n%s\nwant in it:\n%s", object, wantObject)
	}

	// A machine's closure: itself, its wrappers and Debian, so that a test of
	// many machines needs few mounts in its sandbox.
	out, err := env.Run(ctx, "nix-store", "--query", "--requisites", strings.TrimPrefix(build("system"), env.HostPath("")))
	if err != nil {
		t.Fatal(err)
	}
	if paths := strings.Fields(out); len(paths) > 3 {
		t.Errorf("the closure of a system has %d paths: %q", len(paths), paths)
	}
}
