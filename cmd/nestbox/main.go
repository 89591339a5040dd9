// Command nestbox runs NixOS integration tests on containers.
//
// The one program has three lives: the command line, libcontainer's "init" (it
// executes itself to set up a container), and the agent in every machine.
package main

import (
	"fmt"
	"os"

	"github.com/opencontainers/runc/libcontainer"

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
