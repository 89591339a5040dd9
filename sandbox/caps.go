package sandbox

import (
	"slices"

	"github.com/opencontainers/runc/libcontainer/capabilities"
)

// allCapabilities are all that the kernel knows: a machine is root in its own
// user namespace, and only there.
func allCapabilities() []string {
	list := capabilities.KnownCapabilities()
	slices.Sort(list)
	return list
}
