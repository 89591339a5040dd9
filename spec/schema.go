package spec

import (
	_ "embed"
	"slices"
)

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of the driver's JSON. The
// machine object is $defs/machine in it, and what `nestbox run` takes is
// $defs/standalone.
//
// What [Decode] accepts, the schema accepts. The reverse does not hold: a
// schema can't say that files exist, that names are unique or that a VLAN is
// declared.
func Schema() []byte { return slices.Clone(schema) }
