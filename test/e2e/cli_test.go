package e2e_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// TestBadInput: exit status 2, and all that is wrong with its place.
func TestBadInput(t *testing.T) {
	t.Parallel()
	got := outcomes(t, passes(t, "badInput").HostPath)
	for name, want := range map[string][]string{
		"config": {
			"12 problems:",
			"containers.db.start_script: /missing/run-db-nspawn does not exist",
			"containers.web.init: /nix/store/not-there/init does not exist",
			`containers.web.interface: unknown field, did you mean "interfaces"?`,
			"containers.web.interfaces[0].vlan: 300 is out of range",
			"containers.web.limits.pids: -1 is negative",
			"containers.web.mounts[0].source: /missing does not exist",
			`containers.web.mounts[0].target: "relative" must be an absolute path`,
			"global_timeout: want seconds or an ISO 8601 duration",
			"test_script: /missing/script.py does not exist",
			"vlans[0]: 4094 is out of range",
			`vms.web: the name "web" is taken by containers.web`,
			"vms.web.start_script: /missing/run-web-vm does not exist",
		},
		"cut":     {"line 1, column 23", "unexpected end"},
		"missing": {"missing.json: no such file or directory"},
		"none":    {"--config FILE is missing", "Try: nixos-test-driver --help"},
		"flag":    {"unknown flag: --no-such-flag"},
		"level":   {`--log-level "loud"`},
		"output":  {"--output_directory: ", "/missing"},
		"command": {`unknown command "tset"`, "test"},
		"run":     {"accepts 1 arg(s), received 0"},
		"spec":    {"init: is missing", "name: is missing", "test_script: unknown field"},
	} {
		t.Run(name, func(t *testing.T) {
			if got[name].status != 2 {
				t.Errorf("exit status %d, want 2", got[name].status)
			}
			mustHave(t, got[name].log, want...)
		})
	}
	for _, name := range []string{"prefixes", "subcommand"} {
		if got[name].status != 0 {
			t.Errorf("%s: exit status %d; log:\n%s", name, got[name].status, got[name].log)
		}
		mustHave(t, got[name].log, "it ran\n")
	}
}

// TestWithoutUIDRange: Nix says nothing when a derivation lacks the feature;
// Nestbox says what to do.
func TestWithoutUIDRange(t *testing.T) {
	t.Parallel()
	result := passes(t, "unfit")
	if status := strings.TrimSpace(read(t, result.HostPath, "status")); status != "3" {
		t.Errorf("exit status %s, want 3", status)
	}
	mustHave(t, read(t, result.HostPath, "log"),
		"this environment can't run containers",
		"does not require the feature uid-range",
		`requiredSystemFeatures = [ "uid-range" ];`,
		"auto-allocate-uids = true",
	)
}

// TestCommandLine: nestbox run, schema and version, and the example in each
// --help.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	result := passes(t, "run")
	got := outcomes(t, result.HostPath)
	for name, want := range map[string]struct {
		status int
		log    string // a regular expression for all of it
	}{
		"running":         {0, `running\n`},
		"status":          {1, `out\n`},
		"state":           {0, `web\nstate\n`},
		"poweroff":        {0, `(?s).*`},
		"again":           {0, ``},
		"order":           {0, `(?s).*\nbye\n.*\nweb # Powering off\.\n(?:.*\n)?web: container powered off\n.*`},
		"empty":           {0, ``},
		"script":          {0, `web\n`},
		"version":         {0, `nestbox \S+\n`},
		"example-run":     {0, `(?s)\+ .*\nrunning\n`},
		"example-schema":  {0, `\+ nestbox schema\n`},
		"example-version": {0, `\+ nestbox version\nnestbox \S+\n`},
		"example-test":    {0, `(?s).*\nit ran\n.*\+ nestbox test .*\n>>> 3333\n.*`},
		"help":            {0, `(?s).*Exit codes: 0 passed.*\n  run .*\n  schema .*\n  test .*\n  version .*`},
	} {
		t.Run(name, func(t *testing.T) {
			had := got[name]
			if had.status != want.status || !regexp.MustCompile(`^(?:`+want.log+`)$`).MatchString(had.log) {
				t.Errorf("exit status %d, want %d; output, which should match %q:\n%s", had.status, want.status, want.log, had.log)
			}
		})
	}
	var schema map[string]any
	if err := json.Unmarshal([]byte(got["schema"].log), &schema); err != nil || schema["$schema"] == nil {
		t.Errorf("the schema: %v, %v", schema["$schema"], err)
	}
	for name, had := range got {
		if strings.HasPrefix(name, "help-") && !strings.Contains(had.log, "Examples:\n") {
			t.Errorf("%s shows no example", name)
		}
	}
	for _, name := range strings.Fields(read(t, result.HostPath, "left")) {
		// Nix's own files begin with .attr.
		if !strings.HasPrefix(name, ".attr") {
			t.Errorf("nestbox run left %s in $TMPDIR", name)
		}
	}
}
