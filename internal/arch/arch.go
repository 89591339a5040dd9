// Package arch holds the import directions of the project: which room may use
// which. Its test reads the imports of every package and fails on one that
// goes the wrong way.
//
// The rooms are the top-level folders, and those below them that have a rule
// of their own. [Rules] is the table; docs/architecture.md says what each room
// is for. Nothing flows back up: the parts know nothing of the driver, and
// nobody knows the command.
package arch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Module is the project's import path; rooms are named relative to it.
const Module = "github.com/nestbox/nestbox"

// Any as a room that may be used stands for all but the closed ones.
const Any = "*"

// Rules says for each room which others its packages may import. A package
// belongs to the room with the longest name that contains it, so
// "driver/python" is not part of "driver". A room may always use itself.
type Rules struct {
	Allowed map[string][]string
	// Closed are the rooms that [Any] does not stand for.
	Closed []string
}

// Project returns the rules of this project.
func Project() Rules {
	return Rules{
		Allowed: map[string][]string{
			"spec":          {},
			"uidrange":      {},
			"vlan":          {},
			"report":        {},
			"agent":         {},
			"agent/stage":   {},
			"driver/python": {},
			"cgroup":        {"spec"},
			"devices":       {"spec"},
			"sandbox":       {"spec", "agent", "agent/stage", "uidrange", "cgroup", "devices"},
			"driver": {
				"spec", "uidrange", "cgroup", "devices", "vlan", "sandbox", "agent", "report", "driver/python",
			},
			"cmd":      {Any},
			"test":     {Any},
			"bench":    {Any, "test"}, // it measures in the tests' Nix
			"internal": {"spec"},
		},
		Closed: []string{"cmd", "test", "bench"},
	}
}

// Package is a package of the module and what it imports.
type Package struct {
	// Path is its import path, Imports those of what it imports; imports from
	// elsewhere are of no interest here.
	Path    string
	Imports []string
	// TestImports are what only its tests import. They may use package
	// internal/testenv and what lies below test, too.
	TestImports []string
}

// Check returns every import that breaks r, sorted, each as a sentence, and a
// sentence for each package that is in no room.
func (r Rules) Check(packages []Package) []string {
	var broken []string
	for _, p := range packages {
		room, ok := r.room(p.Path)
		if !ok {
			broken = append(broken, fmt.Sprintf("%s is in no room of the table; give it a line in internal/arch", short(p.Path)))
			continue
		}
		for _, imported := range p.Imports {
			if problem := r.judge(room, p.Path, imported); problem != "" {
				broken = append(broken, problem)
			}
		}
		for _, imported := range p.TestImports {
			if forTests(short(imported)) {
				continue
			}
			if problem := r.judge(room, p.Path, imported); problem != "" {
				broken = append(broken, problem+" (in a test)")
			}
		}
	}
	slices.Sort(broken)
	return slices.Compact(broken)
}

// forTests reports whether tests of every room may use a package.
func forTests(path string) bool {
	return path == "internal/testenv" || contains("test", path)
}

// judge returns what is wrong with an import, or "".
func (r Rules) judge(room, path, imported string) string {
	if !contains(Module, imported) {
		return ""
	}
	target, ok := r.room(imported)
	if !ok {
		return fmt.Sprintf("%s imports %s, which is in no room of the table", short(path), short(imported))
	}
	if target == room {
		return ""
	}
	allowed := r.Allowed[room]
	if slices.Contains(allowed, target) {
		return ""
	}
	if slices.Contains(r.Closed, target) {
		return fmt.Sprintf("%s imports %s, but nobody may import %s", short(path), short(imported), target)
	}
	if slices.Contains(allowed, Any) {
		return ""
	}
	may := "nothing of the project"
	if len(allowed) > 0 {
		may = strings.Join(slices.Sorted(slices.Values(allowed)), ", ")
	}
	return fmt.Sprintf("%s imports %s, but %s may use %s", short(path), short(imported), room, may)
}

// room returns the room of a package.
func (r Rules) room(path string) (string, bool) {
	best := ""
	for name := range maps.Keys(r.Allowed) {
		if contains(name, short(path)) && len(name) > len(best) {
			best = name
		}
	}
	return best, best != ""
}

// contains reports whether path is folder or lies below it.
func contains(folder, path string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

func short(path string) string { return strings.TrimPrefix(path, Module+"/") }
