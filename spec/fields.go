package spec

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
)

// fields reads the members of one object. A getter returns the zero value
// for a member that is absent, and for one that it reported.
type fields struct {
	c    *collector
	path string
	n    *node
}

// object returns n's members. Anything but an object is reported and has
// none; a member that known doesn't list is reported too.
func (c *collector) object(n *node, path string, known []string) fields {
	c.want(n, path, kindObject, "an object")
	for _, m := range n.members {
		if !slices.Contains(known, m.key) {
			c.add(join(path, m.key), "unknown field%s", suggestion(m.key, known))
		}
	}
	return fields{c, path, n}
}

// want reports whether n is of kind k and records a problem otherwise.
func (c *collector) want(n *node, path string, k kind, what string) bool {
	if n.kind != k {
		c.spoil(path, "want %s, found %s", what, n)
		return false
	}
	return true
}

func (f fields) at(key string) string { return join(f.path, key) }

func (f fields) get(key string) *node {
	for _, m := range f.n.members {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

func (f fields) has(key string) bool { return f.get(key) != nil }

// require records a problem for each key that is absent.
func (f fields) require(keys ...string) {
	for _, key := range keys {
		if !f.has(key) && f.c.usable(f.path) {
			f.c.spoil(f.at(key), "is missing")
		}
	}
}

// text reads a string.
func (f fields) text(key string) string {
	n := f.get(key)
	if n == nil {
		return ""
	}
	return f.c.text(n, f.at(key))
}

// text returns the string n. Paths, arguments and variables end at a NUL
// byte for the kernel, so none of them may hold one.
func (c *collector) text(n *node, path string) string {
	if !c.want(n, path, kindString, "a string") {
		return ""
	}
	if strings.ContainsRune(n.text, 0) {
		c.spoil(path, "holds a NUL byte")
		return ""
	}
	return n.text
}

// texts reads a list of strings.
func (f fields) texts(key string) []string {
	var all []string
	for i, n := range f.list(key) {
		all = append(all, f.c.text(n, index(f.at(key), i)))
	}
	return all
}

// list reads the items of a list.
func (f fields) list(key string) []*node {
	n := f.get(key)
	if n == nil || !f.c.want(n, f.at(key), kindList, "a list") {
		return nil
	}
	return n.items
}

// entries reads the members of an object whose keys are free.
func (f fields) entries(key string) []member {
	n := f.get(key)
	if n == nil || !f.c.want(n, f.at(key), kindObject, "an object") {
		return nil
	}
	return n.members
}

// truth reads a boolean.
func (f fields) truth(key string) bool {
	n := f.get(key)
	return n != nil && f.c.want(n, f.at(key), kindBool, "true or false") && n.truth
}

// raw returns a value as it was written, nil when absent.
func (f fields) raw(key string) json.RawMessage {
	n := f.get(key)
	if n == nil {
		return nil
	}
	return json.RawMessage(n.raw)
}

// whole returns the whole number n, 0 when it isn't one. As in JSON Schema,
// 1.0 and 1e2 are whole numbers.
func (c *collector) whole(n *node, path string) int64 {
	const what = "a whole number"
	if !c.want(n, path, kindNumber, what) {
		return 0
	}
	if v, err := strconv.ParseInt(n.text, 10, 64); err == nil {
		return v
	}
	v, err := strconv.ParseFloat(n.text, 64)
	if err != nil || v != math.Trunc(v) || math.Abs(v) > 1<<53 {
		c.spoil(path, "want %s, found %s", what, n)
		return 0
	}
	return int64(v)
}
