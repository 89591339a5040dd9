package cgroup

import (
	"testing"

	"github.com/containerd/cgroups/v3/cgroup2"
)

func TestLeave(t *testing.T) {
	group(t)
	home := self(t)
	tree := newTree(t)
	if len(tree.enabled) > 0 {
		if err := tree.Leave(); err != nil {
			t.Fatal(err)
		}
		if got, want := self(t), home+"/driver"; got != want {
			t.Errorf("with %v enabled this process went to %q, want %q", tree.enabled, got, want)
		}
		// From here on as in a Nix build, which delegates none.
		if err := tree.child(driverLeaf).ToggleControllers(tree.enabled, cgroup2.Disable); err != nil {
			t.Fatal(err)
		}
		tree.present, tree.enabled = nil, nil
	}
	for range 2 {
		if err := tree.Leave(); err != nil {
			t.Fatal(err)
		}
		if got := self(t); got != home {
			t.Errorf("after Leave this process is in %q, want %q", got, home)
		}
	}
	if err := tree.Close(); err != nil {
		t.Error(err)
	}
}
