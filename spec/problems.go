package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with an input.
type Problem struct {
	// Path is the field, such as containers.web.interfaces[1].vlan. It is ""
	// for what concerns the input as a whole.
	Path string
	// Message says what is wrong and, where known, what to write instead.
	Message string
}

func (p Problem) String() string {
	if p.Path == "" {
		return p.Message
	}
	return p.Path + ": " + p.Message
}

// Problems is the error for an input that was read but can't be used. It
// holds everything that is wrong with it, sorted by path.
type Problems struct {
	// File names the input.
	File string
	// List is never empty.
	List []Problem
}

// Error prints the input's name and every problem, one a line.
func (p *Problems) Error() string {
	var b strings.Builder
	plural := "s"
	if len(p.List) == 1 {
		plural = ""
	}
	fmt.Fprintf(&b, "%s: %d problem%s:", p.File, len(p.List), plural)
	for _, one := range p.List {
		b.WriteString("\n  ")
		b.WriteString(strings.ReplaceAll(one.String(), "\n", `\n`))
	}
	return b.String()
}

// collector gathers problems while an input is read.
type collector struct {
	list []Problem
	// spoiled are the paths whose values could not be read. What stands in
	// their place is a zero value, so no later check may complain about it.
	spoiled map[string]bool
}

// add records a problem that doesn't make the value unusable.
func (c *collector) add(path, format string, args ...any) {
	c.list = append(c.list, Problem{path, fmt.Sprintf(format, args...)})
}

// spoil records a problem that leaves nothing usable at path or below.
func (c *collector) spoil(path, format string, args ...any) {
	c.add(path, format, args...)
	if c.spoiled == nil {
		c.spoiled = map[string]bool{}
	}
	c.spoiled[path] = true
}

// usable reports whether the value at path was read.
func (c *collector) usable(path string) bool {
	for i := range len(path) {
		if (i == 0 || path[i] == '.' || path[i] == '[') && c.spoiled[path[:i]] {
			return false
		}
	}
	return !c.spoiled[path]
}

// anySpoiled reports whether a value at path, below it or around it could not
// be read.
func (c *collector) anySpoiled(path string) bool {
	for bad := range c.spoiled {
		rest, below := strings.CutPrefix(bad, path)
		if below && rest != "" && (rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return !c.usable(path)
}

// err returns what was collected as an error that names file, or nil.
func (c *collector) err(file string) error {
	if len(c.list) == 0 {
		return nil
	}
	slices.SortStableFunc(c.list, func(a, b Problem) int {
		return cmp.Or(compareNatural(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return &Problems{File: file, List: slices.Compact(c.list)}
}

// compareNatural orders strings as people do: interfaces[9] before
// interfaces[10].
func compareNatural(a, b string) int {
	for a != "" && b != "" {
		x, y := digits(a), digits(b)
		if x == "" || y == "" {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		a, b = a[len(x):], b[len(y):]
		x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		if n := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); n != 0 {
			return n
		}
	}
	return cmp.Compare(a, b)
}

// digits returns the decimal digits that s starts with.
func digits(s string) string {
	return s[:len(s)-len(strings.TrimLeft(s, "0123456789"))]
}
