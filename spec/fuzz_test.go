package spec

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzDecode holds that no input makes the decoder panic, that it returns
// either a test or problems, and that the schema accepts what it accepts.
func FuzzDecode(f *testing.F) {
	for _, r := range rules() {
		f.Add([]byte(r.input))
	}
	for _, input := range accepted() {
		f.Add([]byte(input))
	}
	inputs, err := filepath.Glob("testdata/problems/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, input := range inputs {
		data, err := os.ReadFile(input)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	schema := compiled(f, "")
	f.Fuzz(func(t *testing.T, data []byte) {
		opts := files().options()
		got, err := Decode(data, opts)
		if err != nil {
			var p *Problems
			if got != nil || !errors.As(err, &p) || len(p.List) == 0 {
				t.Fatalf("got %v and %v", got, err)
			}
			if lines := strings.Count(err.Error(), "\n"); lines != len(p.List) {
				t.Fatalf("%d lines for %d problems:\n%v", lines, len(p.List), err)
			}
			return
		}
		for i, m := range got.Machines() {
			if m.Number != i+1 || nameProblem(m.Name) != "" {
				t.Fatalf("machine %d is %+v", i, m)
			}
			for _, nic := range m.Interfaces {
				if !goodMAC(nic.MAC) {
					t.Fatalf("MAC of %+v", m)
				}
			}
		}
		if err := validate(t, schema, data); err != nil {
			t.Fatalf("the schema does not accept it: %v", err)
		}
	})
}

// FuzzStartScript holds that no script makes the translation panic, and that
// it returns a machine that can be checked or problems.
func FuzzStartScript(f *testing.F) {
	f.Add(upstreamScript)
	for _, options := range []string{
		"", "--bind=/a:/b:norbind --tmpfs /t:size=1", "-bqM c -E A=b", "--set-credential='id:\\x00'", "-u", "--", "-é",
	} {
		f.Add(launch(options))
	}
	for _, script := range []string{
		"A='b c' B=\"$A\"\nexport C=$B\nexec \"$C\" ${D:-e} \"$@\"", "exec a\\", "exec 'a", "exec \"a\\", "exec ${", "exec $", "#!/bin/sh\n\\\n",
		"exec run-nspawn --interfaces-json=[{\\\"vlan\\\":1e99}] --cmdline-json=[null]", "set -o pipefail; unset A; exec `x`",
	} {
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, problems := translated(text)
		if m == nil && len(problems) == 0 {
			t.Fatal("neither a machine nor a problem")
		}
		if m == nil {
			return
		}
		opts := Options{
			Dir:      "/base",
			Exists:   func(string) bool { return true },
			ReadFile: func(string) ([]byte, error) { return []byte(text), nil },
		}
		if _, err := DecodeMachine([]byte(`{"name": "c", "start_script": "/s"}`), opts); err == nil && len(problems) > 0 {
			t.Fatalf("accepted in spite of %q", problems)
		}
	})
}
