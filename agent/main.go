package agent

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime/debug"
)

// memoryTarget is where the collector starts to work harder. The agent is idle
// most of the time, and there is one in every machine.
const memoryTarget = 6 << 20

// Main serves the listening unix socket f until it is closed, which ends with
// the machine. It returns only with an error. With noSetID the machine can't
// set setuid bits, and what NixOS makes with them is mended.
func Main(f *os.File, noSetID bool) error {
	debug.SetMemoryLimit(memoryTarget)
	if noSetID {
		go mendWrappers(context.Background())
	}
	l, err := net.FileListener(f)
	f.Close()
	if err != nil {
		return fmt.Errorf("listening on the agent's socket: %w", err)
	}
	return NewServer().Serve(l)
}
