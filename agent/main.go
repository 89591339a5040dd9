package agent

import (
	"fmt"
	"net"
	"os"
	"runtime/debug"
)

// memoryTarget is where the collector starts to work harder. The agent is idle
// most of the time, and there is one in every machine.
const memoryTarget = 6 << 20

// Main serves the listening unix socket f until it is closed, which ends with
// the machine. It returns only with an error.
func Main(f *os.File) error {
	debug.SetMemoryLimit(memoryTarget)
	l, err := net.FileListener(f)
	f.Close()
	if err != nil {
		return fmt.Errorf("listening on the agent's socket: %w", err)
	}
	return NewServer().Serve(l)
}
