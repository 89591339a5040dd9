// Package docs_test holds the project's pages to what they promise: links lead
// somewhere, and examples are what the program accepts.
//
// What is checked of a fenced example is said by its first line: "json config"
// is a driver's configuration, "json machine" a machine on its own, "json" any
// JSON, "python" a script.
package docs_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/nestbox/nestbox/internal/testenv"
	"github.com/nestbox/nestbox/spec"
)

// pages returns the text of every page, by its path in the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	repo := testenv.Repo(t)
	found := map[string]string{}
	add := func(path string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(repo, path)
		if err != nil {
			t.Fatal(err)
		}
		found[name] = string(text)
	}
	add(filepath.Join(repo, "README.md"))
	add(filepath.Join(repo, "CHANGELOG.md"))
	err := filepath.WalkDir(filepath.Join(repo, "docs"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			add(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// example is the content of a fenced block.
type example struct {
	page, kind, text string
}

func examples(t *testing.T, kind string) []example {
	t.Helper()
	var found []example
	fence := regexp.MustCompile("(?ms)^```([a-z ]*)\n(.*?)^```$")
	for page, text := range pages(t) {
		for _, m := range fence.FindAllStringSubmatch(text, -1) {
			if m[1] == kind {
				found = append(found, example{page, kind, m[2]})
			}
		}
	}
	if len(found) == 0 {
		t.Errorf("no page has an example of %q", kind)
	}
	return found
}

// anyFile is a file system in which every start script is a good one.
func anyFile() spec.Options {
	const script = `exec /run-nspawn --container-name=web --root-dir=/root ` +
		`--interfaces-json='[{"name":"eth1","vlan":1}]' --init=/nix/store/x/init --cmdline-json='[]' "$@"` + "\n"
	return spec.Options{
		Dir:      "/build",
		Exists:   func(string) bool { return true },
		ReadFile: func(string) ([]byte, error) { return []byte(script), nil },
	}
}

func TestConfigurations(t *testing.T) {
	for _, e := range examples(t, "json config") {
		// A start script names its container, here always "web".
		text := strings.ReplaceAll(e.text, `"client"`, `"web"`)
		if _, err := spec.Decode([]byte(text), anyFile()); err != nil {
			t.Errorf("%s: %v\n%s", e.page, err, e.text)
		}
		fits(t, e, "")
	}
}

func TestMachines(t *testing.T) {
	for _, e := range examples(t, "json machine") {
		if _, err := spec.DecodeMachine([]byte(e.text), anyFile()); err != nil {
			t.Errorf("%s: %v\n%s", e.page, err, e.text)
		}
		fits(t, e, "#/$defs/standalone")
	}
}

// fits holds an example against the schema, or a part of it.
func fits(t *testing.T, e example, part string) {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(spec.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("urn:nestbox:driver", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("urn:nestbox:driver" + part)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(e.text))
	if err != nil {
		t.Fatalf("%s: %v\n%s", e.page, err, e.text)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%s: %v\n%s", e.page, err, e.text)
	}
}

func TestJSON(t *testing.T) {
	for _, e := range examples(t, "json") {
		if !json.Valid([]byte(e.text)) {
			t.Errorf("%s: this is no JSON:\n%s", e.page, e.text)
		}
	}
}

func TestScripts(t *testing.T) {
	python3, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv(testenv.RequireAll) == "1" {
			t.Fatalf("this test needs python3: %v", err)
		}
		t.Skipf("this test needs python3: %v", err)
	}
	for _, e := range examples(t, "python") {
		cmd := exec.CommandContext(t.Context(), python3, "-c", "import ast, sys; ast.parse(sys.stdin.read())")
		cmd.Stdin = strings.NewReader(e.text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s\n%s", e.page, err, out, e.text)
		}
	}
}

// TestLinks follows links within the repository, to headings too.
func TestLinks(t *testing.T) {
	repo := testenv.Repo(t)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for page, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			u, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s links to %q: %v", page, m[1], err)
				continue
			}
			if u.Scheme != "" {
				continue // the outside may be out of reach
			}
			target := filepath.Join(repo, page)
			if u.Path != "" {
				target = filepath.Join(filepath.Dir(target), u.Path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
				continue
			}
			if u.Fragment != "" && !hasHeading(t, target, u.Fragment) {
				t.Errorf("%s links to %s, but there is no such heading", page, m[1])
			}
		}
	}
}

// hasHeading reports whether a page has the heading that GitHub gives that
// anchor.
func hasHeading(t *testing.T, page, anchor string) bool {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	drop := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for line := range strings.Lines(string(text)) {
		title := strings.TrimLeft(line, "#")
		if title == line {
			continue
		}
		title = strings.ToLower(drop.ReplaceAllString(strings.TrimSpace(title), ""))
		if strings.ReplaceAll(title, " ", "-") == anchor {
			return true
		}
	}
	return false
}
