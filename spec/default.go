package spec

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Machines returns all machines of the test, ascending by number.
func (t *Test) Machines() []*Machine {
	all := slices.AppendSeq(slices.Collect(maps.Values(t.VMs)), maps.Values(t.Containers))
	slices.SortFunc(all, func(a, b *Machine) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// number gives machines, which are in order of name, their numbers, and
// their network cards the addresses that follow from them.
func number(machines []*Machine) {
	for i, m := range machines {
		m.Number = i + 1
		cards := map[int]int{} // so far, by VLAN
		for j := range m.Interfaces {
			nic := &m.Interfaces[j]
			if nic.MAC == "" {
				nic.MAC = defaultMAC(nic.VLAN, m.Number, cards[nic.VLAN])
			}
			cards[nic.VLAN]++
		}
	}
}

// defaultMAC is upstream's 52:54:00:12:<vlan>:<number>. Upstream gives the
// same address to a machine's second card on one VLAN, and then neither
// works; here the fourth byte counts such cards.
func defaultMAC(vlan, number, nth int) string {
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", byte(0x12+nth), byte(vlan), byte(number))
}
