// Command nestbox runs NixOS integration tests on containers.
//
// The one program has three lives: the command line, libcontainer's "init" (it
// executes itself to set up a container), and the agent in every machine.
package main

import (
	"fmt"
	"os"

	"github.com/opencontainers/runc/libcontainer"
	"golang.org/x/sys/unix"

	_ "github.com/opencontainers/runc/libcontainer/nsenter" // must see the start of "init"

	"github.com/nestbox/nestbox/agent"
	"github.com/nestbox/nestbox/agent/stage"
)

// init is where libcontainer and the agent branch off: both have nothing to do
// with the command line, and libcontainer wants the main thread.
func init() {
	if stage.IsAgent() {
		fmt.Fprintln(os.Stderr, runAgent())
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == "init" && os.Getenv("_LIBCONTAINER_INITPIPE") != "" {
		// libcontainer's own request to die with the driver was lost in its
		// forks, and a machine that is not booted yet may wait here for long.
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
			fmt.Fprintln(os.Stderr, "nestbox: asking to die with the driver:", err)
		}
		libcontainer.Init()
	}
}

func runAgent() error {
	f, err := stage.Listener()
	if err != nil {
		return err
	}
	return agent.Main(f, stage.IgnoresSetID())
}

func main() {
	os.Exit(run(os.Args))
}
