// Command floor boots the containers of a test's configuration and does
// nothing with them: what remains of a driver's time when the driver is taken
// away. It is the lower bound that the benchmark holds Nestbox against.
//
//	floor CONFIG.json
//
// The containers are those of package sandbox, made by the same libcontainer
// with the same namespaces, mounts and cgroups, and boot the same systems from
// the same directories ($TMPDIR/vm-state-NAME). There is no agent, no script, no console,
// no journal, no VLAN: an interface that a system waits for is one end of a
// veth pair whose other end lies idle in the same machine. When all systemds
// have said that they are up, all are killed.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/opencontainers/runc/libcontainer"
	"golang.org/x/sys/unix"

	_ "github.com/opencontainers/cgroups/devices"           // libcontainer refuses to start without it
	_ "github.com/opencontainers/runc/libcontainer/nsenter" // must see the start of "init"

	"github.com/nestbox/nestbox/cgroup"
	"github.com/nestbox/nestbox/sandbox"
	"github.com/nestbox/nestbox/spec"
)

// init is where libcontainer, which executes this program again to set a
// container up, branches off.
func init() {
	if len(os.Args) > 1 && os.Args[1] == "init" && os.Getenv("_LIBCONTAINER_INITPIPE") != "" {
		libcontainer.Init()
	}
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: floor CONFIG.json")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "floor: %v\n", err)
		os.Exit(1)
	}
}

func run(config string) (err error) {
	test, err := spec.Load(config, spec.Options{})
	if err != nil {
		return err
	}
	tmp := os.TempDir()
	dir, err := os.MkdirTemp(tmp, ".floor-")
	if err != nil {
		return err
	}
	tree, err := cgroup.Own(sandbox.CgroupMount)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tree.Close()) }()

	specs := test.Machines()
	machines := make([]*machine, len(specs))
	err = each(len(specs), func(i int) (err error) {
		machines[i], err = boot(specs[i], tree, dir, filepath.Join(tmp, "vm-state-"+specs[i].Name))
		return err
	})
	// All are up at the same time, as a test would have them.
	if err == nil {
		err = tell(machines)
	}
	return errors.Join(err, each(len(machines), func(i int) error { return machines[i].end() }))
}

// tell writes when, in seconds after our start, what had happened, if the
// benchmark asks for it.
func tell(machines []*machine) error {
	start, err := strconv.ParseFloat(os.Getenv("BENCH_START"), 64)
	if err != nil {
		return nil //nolint:nilerr // nobody asks
	}
	phases := map[string]float64{}
	for _, m := range machines {
		for name, at := range map[string]float64{"init begins": m.begun - start, "is up": m.up - start} {
			first, last := "first "+name, "last "+name
			if old, ok := phases[first]; !ok || at < old {
				phases[first] = at
			}
			phases[last] = max(phases[last], at)
		}
	}
	data, err := json.Marshal(map[string]any{"phases": phases})
	if err != nil {
		return err
	}
	return os.WriteFile(os.Getenv("BENCH_RESULT"), data, 0o644)
}

// now is CLOCK_MONOTONIC in seconds, the clock that the benchmark goes by.
func now() float64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // it has no reason to fail
	return float64(ts.Nano()) / 1e9
}

// each calls f with 0 to n-1, all at once.
func each(n int, f func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}
