package spec

import (
	"slices"
	"strings"
)

// checkTest checks t and every machine in it, and what they are together.
func (d *decoder) checkTest(t *Test) {
	d.exists(at("test_script"), "", t.TestScript)
	vlans := append([]int{}, t.VLANs...)
	if d.anySpoiled("vlans") {
		vlans = nil // not all are known
	}
	for _, e := range d.entries {
		if e.machine.Kind == KindContainer {
			d.checkMachine(e.machine, e.at, vlans)
		}
		d.checkMachineName(e.machine.Name, e.at)
	}
	d.checkNames()
}

// checkNames finds machines that would be one and the same to a test script.
func (d *decoder) checkNames() {
	// In order of name, and of path where the names are equal.
	entries := slices.Clone(d.entries)
	slices.SortStableFunc(entries, func(a, b entry) int {
		if n := strings.Compare(a.machine.Name, b.machine.Name); n != 0 {
			return n
		}
		return compareNatural(a.path, b.path)
	})
	if len(entries) > MaxMachines {
		d.add(entries[MaxMachines].path, "is machine number %d, a test holds %d (addresses end in the number)", MaxMachines+1, MaxMachines)
	}
	byIdentifier := map[string]entry{}
	for _, e := range entries {
		id := Identifier(e.machine.Name)
		first, taken := byIdentifier[id]
		switch {
		case !taken:
			byIdentifier[id] = e
		case first.machine.Name == e.machine.Name:
			d.add(e.path, "the name %s is taken by %s", quote(e.machine.Name), first.path)
		default:
			d.add(e.path, "is %s to the test script, as is %s, rename one", id, first.path)
		}
	}
}
