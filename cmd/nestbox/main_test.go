package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestMain is the program itself when it is called by one of its names.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "nestbox", upstreamName:
		main()
	}
	os.Exit(m.Run())
}

// inputs are files that the command lines below name.
var inputs = map[string]string{
	"empty.json": "",
	"cut.json":   `{"containers": {`,
	"script.py":  "",
	"good.json": `{
		"containers": {"web": {"name": "web", "init": "/bin/sh", "mounts": [{"source": "/bin", "target": "/bin"}]}},
		"vlans": [1], "global_timeout": 60, "test_script": "script.py"
	}`,
	"several.json": `{
		"containers": {
			"web": {"name": "web", "init": "relative", "colour": "red"},
			"db": {"name": "db", "init": "/init", "interfaces": [{"name": "eth1", "vlan": 4}], "limits": {"memory": "much"}}
		},
		"vlans": [1, 300], "surprise": true, "test_script": "nowhere.py"
	}`,
	"machine.json": `{"name": "web", "init": "relative", "colour": "red"}`,
}

// command returns the program, called with args (its name first) in a
// directory with the inputs.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	for name, text := range inputs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args, cmd.Dir = args, dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "XDG_RUNTIME_DIR=")
	return cmd
}

// What a user may type, as far as it touches nothing of the machine that the
// test runs on.
func TestCommandLines(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args   string
		code   int
		stdout []string // regular expressions, by line
		stderr []string
	}{
		// What prints something and ends.
		{"nestbox", exitPassed, []string{"^Usage:"}, nil},
		{"nestbox version", exitPassed, []string{`^nestbox [^ ]+$`}, nil},
		{"nestbox schema", exitPassed, []string{`"\$schema"`}, nil},
		{"nestbox --help", exitPassed, []string{"^Exit codes: 0 passed, 1 the test failed, 2 bad input or usage,$", "^Examples:$"}, nil},
		{"nestbox test --help", exitPassed, []string{"^  nestbox test --config FILE", "^Examples:$"}, nil},
		{"nestbox help run", exitPassed, []string{"^Examples:$"}, nil},
		{"nixos-test-driver --help", exitPassed, []string{"^  nixos-test-driver --config FILE", "^Examples:$"}, nil},

		// What is wrong with the command line.
		{"nestbox frobnicate", exitUsage, nil, []string{`^nestbox: unknown command "frobnicate"`, `^Try: nestbox --help$`}},
		{"nestbox --frobnicate", exitUsage, nil, []string{`^nestbox: unknown flag: --frobnicate$`, `^Try: nestbox --help$`}},
		{"nestbox test --frobnicate", exitUsage, nil, []string{`^nestbox: unknown flag: --frobnicate$`, `^Try: nestbox test --help$`}},
		{"nestbox test --config", exitUsage, nil, []string{`flag needs an argument: --config$`}},
		{"nestbox test", exitUsage, nil, []string{`^nestbox: --config FILE is missing$`, `^Try: nestbox test --help$`}},
		{"nixos-test-driver", exitUsage, nil, []string{`^nixos-test-driver: --config FILE is missing$`, `^Try: nixos-test-driver --help$`}},
		{"nixos-test-driver --keep", exitUsage, nil, []string{`unknown flag: --keep$`}}, // of two flags
		{"nixos-test-driver --keep-vm --no-inter --log error", exitUsage, nil, []string{`--config FILE is missing`}},
		{"nestbox test --log-level loud", exitUsage, nil, []string{`--log-level "loud": use debug, info, warning or error$`}},
		{"nestbox test --log-level DEBUG", exitUsage, nil, []string{`--config FILE is missing`}},
		{"nestbox test script.py", exitUsage, nil, []string{`"script\.py"`, `^Try: nestbox test --help$`}},
		{"nixos-test-driver script.py", exitUsage, nil, []string{`"script\.py"`, `^Try: nixos-test-driver --help$`}},
		{"nestbox version now", exitUsage, nil, []string{`"now"`, `^Try: nestbox version --help$`}},
		{"nestbox schema now", exitUsage, nil, []string{`"now"`, `^Try: nestbox schema --help$`}},
		{"nestbox run", exitUsage, nil, []string{`accepts 1 arg`, `^Try: nestbox run --help$`}},
		{"nestbox run a b", exitUsage, nil, []string{`accepts 1 arg`}},
		{"nestbox run --log-level loud machine.json", exitUsage, nil, []string{`--log-level "loud"`}},

		// What is wrong with the input is told, all of it.
		{"nestbox test --config nowhere.json", exitUsage, nil, []string{`nowhere\.json: no such file or directory$`}},
		{"nestbox test --config .", exitUsage, nil, []string{`is a directory$`}},
		{"nestbox test --config empty.json", exitUsage, nil, []string{`empty\.json: 1 problem:$`}},
		{"nestbox test --config cut.json", exitUsage, nil, []string{`cut\.json: 1 problem:$`}},
		{"nestbox test --config several.json", exitUsage, nil, []string{
			`several\.json: 8 problems:$`,
			`^  containers\.db\.interfaces\[0\]\.vlan: `, `^  containers\.db\.limits\.memory: `, `^  containers\.web\.colour: `,
			`^  containers\.web\.init: `, `^  surprise: `, `^  test_script: `, `^  vlans\[1\]: `,
		}},
		{"nestbox run nowhere.json", exitUsage, nil, []string{`nowhere\.json: no such file or directory$`}},
		{"nestbox run machine.json", exitUsage, nil, []string{`machine\.json: 2 problems:$`, `^  colour: `, `^  init: `}},

		// The place for copies comes after the test itself.
		{"nestbox test --config good.json -o nowhere", exitUsage, nil, []string{`--output_directory: .*nowhere: no such file or directory$`}},
		{"nestbox test --config good.json --out=good.json", exitUsage, nil, []string{`--output_directory: .*good\.json is not a directory$`}},
		{"nestbox test --config several.json -o nowhere", exitUsage, nil, []string{`several\.json: 8 problems:$`}},
	} {
		t.Run(strings.ReplaceAll(test.args, "/", "_"), func(t *testing.T) {
			t.Parallel()
			cmd := command(t, strings.Fields(test.args)...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != test.code {
				t.Errorf("%v, want exit status %d", err, test.code)
			}
			matches(t, "standard output", stdout.String(), test.stdout)
			matches(t, "standard error", stderr.String(), test.stderr)
		})
	}
}

// matches looks for lines in text, which is to be empty if there are none.
func matches(t *testing.T, where, text string, lines []string) {
	t.Helper()
	if lines == nil && text != "" {
		t.Errorf("on %s: %s", where, text)
	}
	for _, line := range lines {
		if !regexp.MustCompile("(?m)" + line).MatchString(text) {
			t.Errorf("no line of %s matches %s:\n%s", where, line, text)
		}
	}
}

func TestSchemaIsJSON(t *testing.T) {
	t.Parallel()
	out, err := command(t, "nestbox", "schema").Output()
	if err != nil || !json.Valid(out) {
		t.Errorf("%v, %.200s", err, out)
	}
}

func TestBadTmpDir(t *testing.T) {
	t.Parallel()
	for _, variable := range []string{"TMPDIR", "XDG_RUNTIME_DIR"} {
		cmd := command(t, "nestbox", "test", "--config", "good.json")
		cmd.Env = append(cmd.Env, variable+"="+cmd.Dir+"/good.json")
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != exitUsage {
			t.Errorf("%v, want exit status %d", err, exitUsage)
		}
		matches(t, "output", string(out), []string{`^nestbox: XDG_RUNTIME_DIR or TMPDIR: .*good\.json`})
	}
}

func TestInterruptible(t *testing.T) {
	ctx, stop := interruptible()
	defer stop()
	if ctx.Err() != nil {
		t.Fatal("it ended by itself")
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if code := exitCode(context.Cause(ctx)); code != 129 {
		t.Errorf("after SIGHUP: %v, exit status %d", context.Cause(ctx), code)
	}
}
