package spec

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// compiled returns the schema, or the part of it that fragment names.
func compiled(t testing.TB, fragment string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("urn:nestbox:driver", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("urn:nestbox:driver" + fragment)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// validate returns the schema's verdict on input.
func validate(t testing.TB, s *jsonschema.Schema, input []byte) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(input))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

// The schema and the decoder must agree wherever a schema can tell.
func TestSchemaAgrees(t *testing.T) {
	s := compiled(t, "")
	for name, input := range accepted() {
		if err := validate(t, s, []byte(input)); err != nil {
			t.Errorf("%s: the decoder accepts what the schema does not: %v", name, err)
		}
	}
	for _, r := range rules() {
		err := validate(t, s, []byte(r.input))
		if err == nil && !r.beyondSchema {
			t.Errorf("%s: the schema accepts what the decoder does not", r.name)
		}
		if err != nil && r.beyondSchema {
			t.Errorf("%s: the schema can tell after all: %v", r.name, err)
		}
	}
}

func TestSchemaOfOneMachine(t *testing.T) {
	s := compiled(t, "#/$defs/standalone")
	for input, want := range map[string]bool{
		`{"name": "a", "init": "/nix/store/sys/init"}`:               true,
		`{"name": "a", "start_script": "/nix/store/c/run-c-nspawn"}`: true,
		`{"init": "/nix/store/sys/init"}`:                            false,
		`{"start_script": "/nix/store/c/run-c-nspawn"}`:              false,
		`{"name": "a"}`: false,
		`{"name": "a", "init": "/nix/store/sys/init", "start_script": ""}`: false,
		`{"name": "", "init": "/nix/store/sys/init"}`:                      false,
		`[]`: false,
	} {
		if got := validate(t, s, []byte(input)) == nil; got != want {
			t.Errorf("%s: the schema says %v", input, got)
		}
		if _, err := DecodeMachine([]byte(input), files().options()); (err == nil) != want {
			t.Errorf("%s: the decoder says %v", input, err)
		}
	}
}

// Every key that the decoder knows is in the schema, with a description, and
// the schema has no other.
func TestSchemaKeys(t *testing.T) {
	type object struct {
		Description string
		Ref         string `json:"$ref"`
		Properties  map[string]json.RawMessage
		Defs        map[string]json.RawMessage `json:"$defs"`
	}
	read := func(raw []byte) object {
		var o object
		if err := json.Unmarshal(raw, &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	top := read(Schema())
	for def, known := range map[string][]string{
		"":           testKeys(),
		"machine":    machineKeys(),
		"script":     scriptKeys(),
		"interface":  interfaceKeys(),
		"mount":      mountKeys(),
		"credential": credentialKeys(),
		"limits":     limitsKeys(),
		"root":       rootKeys(),
	} {
		o := top
		if def != "" {
			o = read(top.Defs[def])
		}
		if diff := cmp.Diff(sorted(known), slices.Sorted(maps.Keys(o.Properties))); diff != "" {
			t.Errorf("%q:\n%s", def, diff)
		}
		if o.Description == "" {
			t.Errorf("%q has no description", def)
		}
	}
	for name, raw := range top.Defs {
		if o := read(raw); o.Description == "" && name != "container" {
			t.Errorf("%s has no description", name)
		}
	}
}

func TestSchemaIsACopy(t *testing.T) {
	Schema()[0] = 'x'
	if Schema()[0] != '{' {
		t.Error("a caller changed the schema")
	}
}
