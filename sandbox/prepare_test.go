package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bareRoot makes an empty file system in dir, with /proc and nothing else, and
// enters it. It is for use in a private mount namespace.
func bareRoot(t *testing.T, dir string, fill func()) {
	t.Helper()
	for _, err := range []error{
		unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"),
		os.Mkdir(dir+"/proc", 0o755),
		unix.Mount("proc", dir+"/proc", "proc", 0, ""),
		unix.Chroot(dir),
		os.Chdir("/"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	fill()
}

func fileType(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Type
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

func mountCount(t *testing.T) int {
	t.Helper()
	return strings.Count(content(t, "/proc/self/mountinfo"), "\n")
}

func TestPrepareBareRoot(t *testing.T) {
	t.Parallel()
	dir, inside := private(t)
	if !inside {
		return
	}
	bareRoot(t, dir, func() {})
	for round := range 2 {
		before := mountCount(t)
		check(t, "Prepare", Prepare())
		if got, want := mountCount(t)-before, 1-round; got != want {
			t.Errorf("round %d: %d new mounts, want %d", round, got, want)
		}
		if fileType(t, CgroupMount) != unix.CGROUP2_SUPER_MAGIC {
			t.Error("there is no cgroup2")
		}
		check(t, "writing to /run", os.WriteFile("/run/file", nil, 0o600))
		if link, err := os.Readlink("/var/run"); link != "/run" {
			t.Errorf("/var/run leads to %q, %v", link, err)
		}
		if got := content(t, "/etc/os-release"); !strings.HasPrefix(got, "ID=nestbox\n") {
			t.Errorf("os-release: %q", got)
		}
		if got := content(t, "/etc/machine-id"); !regexp.MustCompile(`^[0-9a-f]{32}\n$`).MatchString(got) {
			t.Errorf("machine-id: %q", got)
		}
	}
}

// What is there is left as it is.
func TestPrepareFullRoot(t *testing.T) {
	t.Parallel()
	dir, inside := private(t)
	if !inside {
		return
	}
	bareRoot(t, dir, func() {
		for _, dir := range []string{"/run/kept", "/var/run/kept", "/etc", CgroupMount} {
			check(t, "filling", os.MkdirAll(dir, 0o755))
		}
		check(t, "filling", unix.Mount("cgroup2", CgroupMount, "cgroup2", 0, ""))
		check(t, "filling", os.WriteFile("/etc/os-release", []byte("ID=other\n"), 0o644))
		check(t, "filling", os.WriteFile("/etc/machine-id", nil, 0o444)) // "uninitialised", no id
	})
	before := mountCount(t)
	check(t, "Prepare", Prepare())
	if got := mountCount(t); got != before {
		t.Errorf("%d mounts became %d", before, got)
	}
	for _, kept := range []string{"/run/kept", "/var/run/kept"} {
		if _, err := os.Lstat(kept); err != nil {
			t.Error(err)
		}
	}
	if got := content(t, "/etc/os-release"); got != "ID=other\n" {
		t.Errorf("os-release: %q", got)
	}
	if got := content(t, "/etc/machine-id"); len(got) != 33 {
		t.Errorf("an empty machine-id became %q", got)
	}
}

func TestPrepareReadOnlyRun(t *testing.T) {
	t.Parallel()
	dir, inside := private(t)
	if !inside {
		return
	}
	bareRoot(t, dir, func() {
		check(t, "filling", os.Mkdir("/run", 0o755))
		check(t, "filling", unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_RDONLY, ""))
	})
	check(t, "Prepare", prepareRun("/run"))
	check(t, "writing to /run", os.WriteFile("/run/file", nil, 0o600))
}

// All problems come together, and what can't be had makes the place unfit.
func TestPrepareReadOnlyRoot(t *testing.T) {
	t.Parallel()
	dir, inside := private(t)
	if !inside {
		return
	}
	bareRoot(t, dir, func() {
		check(t, "filling", unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	})
	err := Prepare()
	check(t, "Prepare", err, "making a place for cgroup2: ", "making /run: ", "making /var: ", "making /etc: ", "read-only file system")
	if !errors.Is(err, ErrUnfit) {
		t.Errorf("%v is not ErrUnfit", err)
	}
}

func TestRefusesSetID(t *testing.T) {
	t.Parallel()
	dir, inside := private(t)
	if !inside {
		return
	}
	if refuses, err := refusesSetID(dir); refuses || err != nil {
		t.Errorf("by itself: %v, %v", refuses, err)
	}
	if err := refuseSetID(); err != nil {
		t.Fatal(err)
	}
	if refuses, err := refusesSetID(dir); !refuses || err != nil {
		t.Errorf("with a filter as Nix's: %v, %v", refuses, err)
	}
	if left, err := filepath.Glob(dir + "/*"); len(left) > 0 || err != nil {
		t.Errorf("left behind: %q, %v", left, err)
	}
	_, err := refusesSetID(dir + "/nowhere")
	check(t, "in no directory", err, "probing chmod: ")
}

// refuseSetID answers fchmod with setuid bits with EPERM for the whole
// process, as Nix's sandbox does.
func refuseSetID() error {
	jump := func(code uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | code | unix.BPF_K, Jt: yes, Jf: no, K: k}
	}
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	answer := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	code := []unix.SockFilter{
		load(0), jump(unix.BPF_JEQ, unix.SYS_FCHMOD, 0, 3), // the number
		load(16 + 8), jump(unix.BPF_JSET, unix.S_ISUID, 0, 1), // the second argument
		answer(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)), answer(unix.SECCOMP_RET_ALLOW),
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return errno
	}
	return nil
}
