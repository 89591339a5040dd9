package sandbox

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nestbox/nestbox/spec"
)

// write makes a file and its directories.
func write(t *testing.T, path, text string) {
	t.Helper()
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '/' {
			check(t, "filling", os.MkdirAll(path[:i], 0o755))
			break
		}
	}
	check(t, "filling", os.WriteFile(path, []byte(text), 0o644))
}

func TestPrepareRoot(t *testing.T) {
	t.Parallel()
	dir, inside := private(t)
	if !inside {
		return
	}
	state, mountpoint := dir+"/state", dir+"/mnt"
	for _, test := range []struct {
		root spec.Root
		want string
	}{
		{spec.Root{Kind: spec.RootDirectory}, state},
		{spec.Root{Kind: spec.RootDirectory, Path: dir + "/own"}, dir + "/own"},
	} {
		root, release, err := PrepareRoot(&spec.Machine{Name: "web", Root: test.root}, state, mountpoint)
		if root != test.want || err != nil {
			t.Errorf("%+v: %q, %v, want %q", test.root, root, err, test.want)
			continue
		}
		check(t, "release", release())
	}
	write(t, dir+"/lower/etc/passwd", "lower")
	write(t, dir+"/lower/etc/group", "lower")
	for _, own := range []string{"", dir + "/upper"} {
		m := &spec.Machine{Name: "web", Root: spec.Root{Kind: spec.RootOverlay, Lower: dir + "/lower", Path: own}}
		for round := range 2 {
			root, release, err := PrepareRoot(m, state, mountpoint)
			if err != nil || root != mountpoint {
				t.Fatalf("overlay: %q, %v", root, err)
			}
			want := "lower"
			if round == 1 {
				want = "changed" // the machine's state of the run before
			}
			if got := content(t, root+"/etc/passwd"); got != want {
				t.Errorf("round %d: passwd is %q, want %q", round, got, want)
			}
			write(t, root+"/etc/passwd", "changed")
			write(t, root+"/new", "new")
			check(t, "still mounted", NothingMounted(mountpoint), mountpoint+" is still mounted")
			check(t, "release", release())
			check(t, "released", NothingMounted(mountpoint))
			check(t, "second release", release(), `unmounting the root of machine "web"`)
		}
		if got := content(t, dir+"/lower/etc/passwd"); got != "lower" {
			t.Errorf("the lower tree was written: %q", got)
		}
		upper := state
		if own != "" {
			upper = own
		}
		if got := content(t, upper+"/upper/new"); got != "new" {
			t.Errorf("in %s: %q", upper, got)
		}
	}
	m := &spec.Machine{Name: "web", Root: spec.Root{Kind: spec.RootOverlay, Lower: dir + "/nowhere"}}
	_, _, err := PrepareRoot(m, state, mountpoint)
	check(t, "without a lower tree", err, `mounting the root of machine "web"`, dir+"/nowhere", "no such file")
	m.Root.Path = dir + "/lower/etc/passwd"
	_, _, err = PrepareRoot(m, state, mountpoint)
	check(t, "with a file for a directory", err, `preparing the root of machine "web"`, "not a directory")
}

func TestBindReadOnly(t *testing.T) {
	t.Parallel()
	dir, inside := private(t)
	if !inside {
		return
	}
	source, target := dir+"/source", dir+"/deep/target"
	write(t, source+"/file", "x")
	check(t, "filling", os.Mkdir(source+"/below", 0o755))
	check(t, "filling", unix.Mount("tmpfs", source+"/below", "tmpfs", 0, ""))
	release, err := BindReadOnly(source, target)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/new", "/file", "/below/new"} {
		if err := os.WriteFile(target+path, nil, 0o600); !errors.Is(err, unix.EROFS) {
			t.Errorf("writing %s: %v", path, err)
		}
	}
	check(t, "writing the source", os.WriteFile(source+"/below/new", nil, 0o600))
	if _, err := os.Stat(target + "/below/new"); err != nil {
		t.Error("what is mounted below did not come along")
	}
	check(t, "release", release())
	check(t, "released", NothingMounted(target))
	if _, err := os.Stat(source + "/below/new"); err != nil {
		t.Error("release took the source's mounts too")
	}
	_, err = BindReadOnly(dir+"/nowhere", target)
	check(t, "of nothing", err, "binding "+dir+"/nowhere on "+target, "no such file")
}

func TestWritableStore(t *testing.T) {
	t.Parallel()
	dir, inside := private(t)
	if !inside {
		return
	}
	store, target := dir+"/store", dir+"/target"
	write(t, store+"/aaa-tree/bin/sh", "sh")
	write(t, store+"/bbb-file", "file")
	check(t, "filling", os.Symlink("aaa-tree", store+"/ccc-link"))
	check(t, "filling", unix.Mkfifo(store+"/ddd-fifo", 0o600))
	// In a Nix build each path of the store is a mount of its own.
	check(t, "filling", os.Mkdir(store+"/eee-mount", 0o755))
	check(t, "filling", unix.Mount(store+"/aaa-tree", store+"/eee-mount", "", unix.MS_BIND, ""))
	release, err := WritableStore(store, target)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"aaa-tree/bin/sh": "sh", "bbb-file": "file", "ccc-link/bin/sh": "sh", "eee-mount/bin/sh": "sh"} {
		if got := content(t, target+"/"+path); got != want {
			t.Errorf("%s holds %q", path, got)
		}
		if err := os.WriteFile(target+"/"+path, nil, 0o600); !errors.Is(err, unix.EROFS) {
			t.Errorf("writing %s: %v", path, err)
		}
	}
	write(t, target+"/fff-new/file", "new")
	if _, err := os.Lstat(store + "/fff-new"); err == nil {
		t.Error("the new path landed in the store below")
	}
	if st, err := os.Stat(target); err != nil || st.Mode().Perm() != 0o775 || st.Mode()&os.ModeSticky == 0 {
		t.Errorf("mode of the store: %v, %v", st.Mode(), err)
	}
	check(t, "release", release())
	check(t, "released", NothingMounted(target))
	_, err = WritableStore(dir+"/nowhere", target)
	check(t, "of nothing", err, "making a writable store: ", "no such file")
	check(t, "after that", NothingMounted(target))
}

func TestNothingMounted(t *testing.T) {
	t.Parallel()
	check(t, "/proc", NothingMounted("/proc"), "/proc is still mounted")
	check(t, "a directory", NothingMounted(t.TempDir()))
}
