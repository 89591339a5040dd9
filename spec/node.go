package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// kind is the type of a JSON value.
type kind int

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindList
	kindObject
)

// node is a JSON value that still knows what it looked like. The standard
// decoder into structs can't be used: it stops at the first wrong type, keeps
// the last of duplicate keys and matches keys regardless of case.
type node struct {
	kind    kind
	text    string // of a string; of a number as it was written
	truth   bool
	items   []*node
	members []member
	raw     []byte
}

// member is a key of an object and its value.
type member struct {
	key   string
	value *node
}

// parse reads data, which holds one JSON value. Duplicate keys are reported
// and the first is kept. With broken syntax it reports where and returns nil.
func parse(c *collector, data []byte) *node {
	// This pass finds every syntax error, so that the walk below, whose
	// tokenizer is more lenient, only ever sees sound JSON no deeper than
	// 10000 levels.
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		syntax := &json.SyntaxError{Offset: int64(len(data))}
		errors.As(err, &syntax)
		c.spoil("", "%s: %v", position(data, syntax.Offset), err)
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	w := walker{c: c, data: data, dec: dec}
	return w.value("")
}

// position names the place of a syntax error in data: offset is how many
// bytes were read when it was noticed.
func position(data []byte, offset int64) string {
	at := min(max(int(offset)-1, 0), len(data))
	line := 1 + bytes.Count(data[:at], []byte("\n"))
	column := at - bytes.LastIndexByte(data[:at], '\n')
	return fmt.Sprintf("line %d, column %d (byte %d)", line, column, at)
}

type walker struct {
	c    *collector
	data []byte
	dec  *json.Decoder
}

// token returns the next token. [parse] has made sure that there is one.
func (w walker) token() json.Token {
	t, _ := w.dec.Token()
	return t
}

func (w walker) value(path string) *node {
	start := int(w.dec.InputOffset())
	n := &node{}
	switch t := w.token().(type) {
	case bool:
		n.kind, n.truth = kindBool, t
	case json.Number:
		n.kind, n.text = kindNumber, t.String()
	case string:
		n.kind, n.text = kindString, t
	case json.Delim:
		if t == '[' {
			w.list(n, path)
		} else {
			w.object(n, path)
		}
	}
	n.raw = bytes.TrimLeft(w.data[start:w.dec.InputOffset()], " \t\r\n:,")
	return n
}

func (w walker) list(n *node, path string) {
	n.kind = kindList
	for w.dec.More() {
		n.items = append(n.items, w.value(index(path, len(n.items))))
	}
	w.token()
}

func (w walker) object(n *node, path string) {
	n.kind = kindObject
	seen := map[string]bool{}
	for w.dec.More() {
		key, _ := w.token().(string)
		at := join(path, key)
		v := w.value(at)
		if seen[key] {
			w.c.add(at, "is given twice")
			continue
		}
		seen[key] = true
		n.members = append(n.members, member{key, v})
	}
	w.token()
}

// join returns the path of a key below path.
func join(path, key string) string {
	if !plainKey(key) {
		return path + "[" + strconv.Quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// plainKey reports whether key can stand in a path without quotes.
func plainKey(key string) bool {
	return key != "" && strings.Trim(key, nameBytes) == ""
}

// index returns the path of an item of the list at path.
func index(path string, i int) string {
	return path + "[" + strconv.Itoa(i) + "]"
}

// String says what n is, for messages of the form "found …".
func (n *node) String() string {
	switch n.kind {
	case kindNull:
		return "null"
	case kindBool:
		return strconv.FormatBool(n.truth)
	case kindNumber:
		return "the number " + n.text
	case kindString:
		return "the string " + quote(n.text)
	case kindList:
		return "a list"
	default:
		return "an object"
	}
}

// quote quotes s for a message, shortened so that a line stays readable.
func quote(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}
