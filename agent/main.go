package agent

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
)

// collectAt is the growth of the heap, in percent, at which the collector runs:
// with Go's own 100 it waits for 4 MiB at least, and there is an agent in every
// machine.
const collectAt = 25

// Main serves the listening unix socket f until it is closed, which ends with
// the machine. It returns only with an error. With noSetID the machine can't
// set setuid bits, and what NixOS makes with them is mended.
func Main(f *os.File, noSetID bool) error {
	debug.SetGCPercent(collectAt)
	// One processor passes on data while the other starts the next shell. Any
	// more would only look for work each time something happens.
	runtime.GOMAXPROCS(min(2, runtime.NumCPU()))
	l, err := net.FileListener(f)
	f.Close()
	if err != nil {
		return fmt.Errorf("listening on the agent's socket: %w", err)
	}
	s := NewServer()
	if noSetID {
		s.shell.wrappers = &mender{}
		go s.shell.wrappers.atBoot()
	}
	return s.Serve(l)
}
