package cgroup

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// report is what the helper "own" tells.
type report struct {
	Before, During, After string
	Payload               string
	Left                  []string
	Err                   string
}

// ownAsNixDoes runs as root of a user and cgroup namespace whose root was
// given to it, with a cgroup2 mount of its own.
func ownAsNixDoes() {
	mount, err := os.MkdirTemp("", "nestbox-cgroup-test-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(mount)
	if err := unix.Mount("cgroup", mount, "cgroup2", 0, ""); err != nil {
		fmt.Println("mounting:", err)
		return
	}
	defer unix.Unmount(mount, unix.MNT_DETACH)
	tell(mount)
}

// tell takes over a cgroup, makes a machine, gives all back, and reports.
func tell(mount string) {
	var r report
	where := func() string {
		data, _ := os.ReadFile("/proc/self/cgroup")
		path, err := parseSelf(data)
		return fmt.Sprint(path, err)
	}
	dirs := func() (names []string) {
		entries, _ := os.ReadDir(mount)
		for _, e := range entries {
			if e.IsDir() {
				names = append(names, e.Name())
			}
		}
		return names
	}
	before := dirs()
	r.Err = fmt.Sprint(func() error {
		r.Before = where()
		tree, err := Own(mount)
		if err != nil {
			return err
		}
		r.During = where()
		m, err := tree.Machine("web", Limits{PIDs: 10})
		if err != nil {
			return errors.Join(err, tree.Close())
		}
		r.Payload = m.PayloadPath()
		if err := os.MkdirAll(filepath.Join(mount, r.Payload, "init.scope"), 0o755); err != nil {
			return err
		}
		err = tree.Close()
		r.After = where()
		return err
	}())
	for _, d := range dirs() {
		// Others make cgroups at the root meanwhile, with names of their own.
		if !slices.Contains(before, d) && (!isRoot(mount) || strings.HasPrefix(r.During, "/"+d+"/")) {
			r.Left = append(r.Left, d)
		}
	}
	json.NewEncoder(os.Stdout).Encode(r)
}

// startSandbox runs in the cgroup to be delegated, since a cgroup namespace
// has the cgroup of its maker for root.
func startSandbox() {
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 872415232, Size: 65536}}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVar+"=own")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWCGROUP | syscall.CLONE_NEWPID,
		UidMappings: ids, GidMappings: ids,
		Credential: &syscall.Credential{},
	}
	if err := cmd.Run(); err != nil {
		fmt.Println(err)
	}
}

// In a Nix build the cgroup belongs to the build's root, and its parent, which
// is still in there, isn't visible to it.
func TestOwnInSandbox(t *testing.T) {
	dir := filepath.Join(group(t), "build")
	for _, delegated := range []bool{true, false} {
		t.Run(fmt.Sprintf("delegated=%t", delegated), func(t *testing.T) {
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := rmdir(dir); err != nil {
					t.Error(err)
				}
			}()
			if delegated {
				for _, f := range []string{"", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"} {
					if err := os.Chown(filepath.Join(dir, f), 872415232, 872415232); err != nil {
						t.Fatal(err)
					}
				}
			}
			fd, err := os.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer fd.Close()
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), helperVar+"=sandbox", "TMPDIR=/tmp")
			cmd.Stderr = os.Stderr
			cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(fd.Fd())}
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			var got report
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("%q: %v", out, err)
			}
			if !delegated {
				if !strings.Contains(got.Err, "permission denied") || !strings.Contains(got.Err, "use-cgroups = true") {
					t.Errorf("a cgroup of somebody else: %v", got.Err)
				}
				return
			}
			want := report{Before: "/<nil>", During: "/driver<nil>", After: "/<nil>", Payload: "/m-web/payload", Err: "<nil>"}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

// The root of the hierarchy belongs to nobody.
func TestOwnAtRoot(t *testing.T) {
	mount := filepath.Dir(group(t))
	if !isRoot(mount) {
		t.Skip("this test needs the root of the cgroup hierarchy; this is a container's")
	}
	fd, err := os.Open(mount)
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	first, err := os.ReadFile("/proc/1/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVar+"=own at root")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(fd.Fd())}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	base, ok := strings.CutSuffix(got.During, "/driver<nil>")
	if !ok || !strings.HasPrefix(base, "/nestbox-") {
		t.Errorf("during it was in %q", got.During)
	}
	want := report{Before: "/<nil>", During: got.During, After: "/<nil>", Payload: base + "/m-web/payload", Err: "<nil>"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if now, _ := os.ReadFile("/proc/1/cgroup"); string(now) != string(first) {
		t.Errorf("process 1 was moved from %q to %q", first, now)
	}
}
