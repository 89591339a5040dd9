// Package spec holds the types of a test and of a machine, and the one way
// to get them: reading what a Nix build wrote.
//
// A test arrives in one of three shapes, and all of them end as a [Test]:
//
//   - the JSON file that `nixos-test-driver --config` takes ([Load], [Decode]);
//   - the flags that the driver took before that file existed ([FromArgs]);
//   - one machine on its own, for `nestbox run` ([DecodeMachine]).
//
// A container in it is either Nestbox's own machine object or the path of a
// start script written for systemd-nspawn. A script is never run: its words
// are read and translated, so the rest of the program sees only [Machine].
//
// Reading happens in this order, each step in files of its own:
//
//	bytes -> node (node.go) -> types (decode.go, machine.go, nspawn.go)
//	      -> checks (check.go, checktest.go) -> numbers and MACs (default.go)
//
// No step stops at the first mistake. Everything that is wrong is collected
// with the path of its field and returned together as [*Problems]. After a
// successful return nothing needs to be checked or defaulted again.
//
// The package does no work beyond reading: it looks whether files exist and
// reads start scripts, both through [Options], and imports nothing of the
// project.
package spec
