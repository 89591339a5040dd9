package arch_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nestbox/nestbox/internal/arch"
	"github.com/nestbox/nestbox/internal/testenv"
)

// TestProject holds the project's packages against the table.
func TestProject(t *testing.T) {
	packages := listPackages(t)
	for _, problem := range arch.Project().Check(packages) {
		t.Error(problem)
	}
	// A list that misses packages would let everything pass.
	for _, want := range []string{"cmd/nestbox", "driver", "driver/python", "sandbox", "agent/stage", "internal/arch"} {
		if !slices.ContainsFunc(packages, func(p arch.Package) bool { return p.Path == arch.Module+"/"+want }) {
			t.Errorf("go list does not tell of %s", want)
		}
	}
}

// listPackages asks the go command, which knows of build constraints.
func listPackages(t *testing.T) []arch.Package {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = testenv.Repo(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.Bytes())
	}
	var packages []arch.Package
	for in := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("decoding go list's answer: %v", err)
		}
		packages = append(packages, arch.Package{
			Path: p.ImportPath, Imports: p.Imports,
			TestImports: slices.Concat(p.TestImports, p.XTestImports),
		})
	}
}

// TestEveryRoomIsKnown fails for a line of the table that names no folder,
// which is what a renamed room leaves behind.
func TestEveryRoomIsKnown(t *testing.T) {
	// Rooms of the design that have no code yet.
	planned := []string{"devices", "bench"}
	for room, allowed := range arch.Project().Allowed {
		if st, err := os.Stat(filepath.Join(testenv.Repo(t), room)); (err != nil || !st.IsDir()) && !slices.Contains(planned, room) {
			t.Errorf("the table names %s, which is no folder", room)
		}
		for _, other := range allowed {
			if _, ok := arch.Project().Allowed[other]; !ok && other != arch.Any {
				t.Errorf("%s may use %s, which has no line in the table", room, other)
			}
		}
	}
}

// TestCheck gives the checker made-up projects, right and wrong.
func TestCheck(t *testing.T) {
	const m = arch.Module + "/"
	tests := []struct {
		name    string
		of      string
		imports []string
		tests   []string
		want    []string // a part of each problem
	}{
		{name: "the outside is of no interest", of: "spec", imports: []string{"fmt", "golang.org/x/sys/unix", "github.com/nestbox/nestboxes"}},
		{name: "the driver uses rooms", of: "driver", imports: []string{m + "spec", m + "sandbox", m + "driver/python"}},
		{name: "a package below a room is of that room", of: "vlan/wire", imports: []string{m + "vlan"}},
		{name: "the command uses all", of: "cmd/nestbox", imports: []string{m + "driver", m + "agent/stage", m + "internal/testenv"}},
		{name: "the benchmark uses the tests' Nix", of: "bench/peer", imports: []string{m + "test/nixenv"}},
		{name: "tests of a room may use the harness", of: "vlan", tests: []string{m + "internal/testenv", m + "test/nixenv", m + "vlan"}},
		{
			name: "a leaf imports another", of: "vlan", imports: []string{m + "report"},
			want: []string{"vlan imports report, but vlan may use nothing of the project"},
		},
		{
			name: "a part imports the driver", of: "sandbox", imports: []string{m + "driver"},
			want: []string{"sandbox imports driver, but sandbox may use agent, agent/stage,"},
		},
		{
			name: "a sub-room is not its parent", of: "driver/python", imports: []string{m + "driver"},
			want: []string{"driver/python imports driver, but driver/python may use nothing"},
		},
		{
			name: "a parent is not its sub-room", of: "agent", imports: []string{m + "agent/stage"},
			want: []string{"agent imports agent/stage"},
		},
		{
			name: "nobody imports the command", of: "test/e2e", imports: []string{m + "cmd/nestbox"},
			want: []string{"nobody may import cmd"},
		},
		{
			name: "the product imports a test's harness", of: "driver", imports: []string{m + "test/nixenv"},
			want: []string{"driver imports test/nixenv, but nobody may import test"},
		},
		{
			name: "the product imports a test's gate", of: "driver", imports: []string{m + "internal/testenv"},
			want: []string{"driver imports internal/testenv"},
		},
		{
			name: "a test imports upwards", of: "spec", tests: []string{m + "driver"},
			want: []string{"spec imports driver, but spec may use nothing of the project (in a test)"},
		},
		{
			name: "a package of no room", of: "util", imports: []string{m + "spec"},
			want: []string{"util is in no room"},
		},
		{
			name: "an import of no room", of: "cgroup", imports: []string{m + "pkg/strings", m + "specs"},
			want: []string{"cgroup imports pkg/strings, which is in no room", "cgroup imports specs, which is in no room"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := arch.Project().Check([]arch.Package{{Path: m + tt.of, Imports: tt.imports, TestImports: tt.tests}})
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %d problems", got, len(tt.want))
			}
			for i, part := range tt.want {
				if !strings.Contains(got[i], part) {
					t.Errorf("got %q, want something with %q", got[i], part)
				}
			}
		})
	}
}
