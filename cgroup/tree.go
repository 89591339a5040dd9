package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/cgroups/v3/cgroup2"
	"golang.org/x/sys/unix"
)

// Tree is the cgroup that was delegated to us, arranged as in the package
// comment. Its methods may be called from several goroutines at once, except
// [Tree.Close].
type Tree struct {
	mount   string   // where cgroup2 is mounted
	base    string   // ours, relative to the mount: "/" or "/a/b"
	home    string   // where our processes came from, relative to the mount
	present []string // controllers that children of base have
	enabled []string // those of them that Own enabled
}

// Own arranges the cgroup of this process. mountpoint is a cgroup2 mount that
// we may write, /sys/fs/cgroup as a rule.
//
// Every process of our cgroup is moved to its leaf "driver", those of others
// too: it was delegated to us, and controllers can't be enabled otherwise. One
// that can't be moved costs the controllers and nothing else. The root of the
// whole hierarchy belongs to nobody, so there Own makes a cgroup for itself
// and moves only this process.
//
// The caller ends it with [Tree.Close].
func Own(mountpoint string) (*Tree, error) {
	t, err := own(mountpoint)
	if err != nil {
		return nil, fmt.Errorf("taking over the cgroup of this process: %w", err)
	}
	return t, nil
}

func own(mountpoint string) (*Tree, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(mountpoint, &st); err != nil {
		return nil, fmt.Errorf("looking at %s: %w", mountpoint, err)
	}
	if st.Type != unix.CGROUP2_SUPER_MAGIC {
		return nil, fmt.Errorf("%s is not a cgroup2 mount", mountpoint)
	}
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	t := &Tree{mount: mountpoint}
	if t.home, err = parseSelf(data); err != nil {
		return nil, fmt.Errorf("reading /proc/self/cgroup: %w", err)
	}
	t.base = t.home
	move := everyone
	if isRoot(t.dir()) {
		made, err := os.MkdirTemp(t.dir(), "nestbox-")
		if err != nil {
			return nil, explain(fmt.Errorf("creating a cgroup: %w", err))
		}
		t.base, move = "/"+filepath.Base(made), ourselves
	}
	if err := t.settle(move); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// settle moves processes into the leaf and enables controllers.
func (t *Tree) settle(move func(from, to string) error) error {
	leaf := filepath.Join(t.dir(), driverLeaf)
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return explain(fmt.Errorf("creating cgroup %q: %w", driverLeaf, err))
	}
	if err := move(filepath.Join(t.mount, t.home), leaf); err != nil {
		return explain(err)
	}
	before, err := readWords(t.dir(), "cgroup.subtree_control")
	if err != nil {
		return err
	}
	if err := enableAll(t.dir(), driverLeaf); err != nil {
		return err
	}
	if t.present, err = readWords(t.dir(), "cgroup.subtree_control"); err != nil {
		return err
	}
	for _, c := range t.present {
		if !slices.Contains(before, c) {
			t.enabled = append(t.enabled, c)
		}
	}
	return nil
}

// Missing returns, sorted, which of cpu, io, memory and pids were not
// delegated to us. Limits and figures that need them are left out.
func (t *Tree) Missing() []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(c string) bool { return slices.Contains(t.present, c) })
}

// Leave moves our processes back to where they came from ahead of [Tree.Close],
// for whoever has something else to wait for meanwhile: the kernel takes
// milliseconds for it. With controllers enabled they must stay until Close.
func (t *Tree) Leave() error {
	leaf := filepath.Join(t.dir(), driverLeaf)
	if len(t.present) > 0 || len(t.enabled) > 0 {
		return nil
	}
	if err := everyone(leaf, filepath.Join(t.mount, t.home)); err != nil {
		return fmt.Errorf("leaving our cgroup: %w", err)
	}
	return nil
}

// Close undoes [Own]: it kills what is left of machines, moves processes back
// to where they came from, and removes every cgroup of ours. It goes as far as
// it can, and returns everything that went wrong.
func (t *Tree) Close() error {
	var problems []error
	entries, err := os.ReadDir(t.dir())
	if err != nil {
		return fmt.Errorf("giving back our cgroup: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), machinePrefix) {
			m := &Machine{tree: t, id: e.Name(), name: e.Name()}
			if err := m.Kill(); err != nil {
				problems = append(problems, err)
				continue
			}
			problems = append(problems, m.Remove())
		}
	}
	// A cgroup that has controllers enabled takes no processes back.
	if len(t.enabled) > 0 {
		problems = append(problems, t.child(driverLeaf).ToggleControllers(t.enabled, cgroup2.Disable))
	}
	leaf := filepath.Join(t.dir(), driverLeaf)
	if _, err := os.Stat(leaf); err == nil {
		problems = append(problems, everyone(leaf, filepath.Join(t.mount, t.home)), rmdir(leaf))
	}
	if t.base != t.home {
		problems = append(problems, rmdir(t.dir()))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("giving back our cgroup: %w", err)
	}
	return nil
}

// dir is our cgroup's directory.
func (t *Tree) dir() string { return filepath.Join(t.mount, t.base) }

// child is the library's view of a cgroup below ours. Its "mountpoint" is our
// directory, so that it never writes to a cgroup above.
func (t *Tree) child(name string) *cgroup2.Manager { return load(t.dir(), name) }

func load(dir, child string) *cgroup2.Manager {
	m, err := cgroup2.Load(path.Join("/", child), cgroup2.WithMountpoint(dir))
	if err != nil { // only for a path that isn't clean, and Join cleans it
		panic(err)
	}
	return m
}

// enableAll enables whatever dir has for its children, of which one must be
// named. One at a time, since a write of several fails as a whole when one of
// them can't be enabled.
func enableAll(dir, child string) error {
	available, err := readWords(dir, "cgroup.controllers")
	if err != nil {
		return err
	}
	m := load(dir, child)
	for _, c := range available {
		// What fails shows in cgroup.subtree_control, which is what counts.
		_ = m.ToggleControllers([]string{c}, cgroup2.Enable)
	}
	return nil
}

// isRoot reports whether dir is the root of the whole hierarchy, not only of
// our cgroup namespace: that one alone has no type.
func isRoot(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "cgroup.type"))
	return errors.Is(err, fs.ErrNotExist)
}

func readWords(dir, file string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(dir, file))
	return strings.Fields(string(data)), err
}

// explain adds the usual cause to a refusal.
func explain(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%w; nobody delegated this cgroup to us. Inside a Nix build: set use-cgroups = true "+
			"(and extra-experimental-features = cgroups) in nix.conf, and have cgroup2 mounted where nix-daemon runs", err)
	}
	return err
}
