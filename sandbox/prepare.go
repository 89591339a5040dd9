package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// CgroupMount is where [Prepare] sees to a cgroup2 file system.
const CgroupMount = "/sys/fs/cgroup"

// Prepare adds to the file system what test scripts and machines count on and
// a bare Nix build lacks: a cgroup2 mount, /run, /var/run, /etc/os-release and
// /etc/machine-id. What is there is left as it is. All problems are returned
// together. Call it after [Enter], so that the mounts are only our own.
func Prepare() error {
	return errors.Join(
		prepareCgroup(CgroupMount),
		prepareRun("/run"),
		prepareLink("/var/run", "/run"),
		prepareFile("/etc/os-release", "ID=nestbox\nNAME=\"Nestbox build sandbox\"\n"),
		prepareFile("/etc/machine-id", hexOnly(UUID("driver"))+"\n"),
	)
}

// PrepareCgroup is the part of [Prepare] that no machine can do without, and
// the only one that leaves nothing on a disk.
func PrepareCgroup() error { return prepareCgroup(CgroupMount) }

func prepareCgroup(path string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
		return nil
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("%w: making a place for cgroup2: %w", ErrUnfit, err)
	}
	if err := unix.Mount("cgroup2", path, "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("%w: mounting cgroup2 on %s: %w; in nix.conf, set: extra-experimental-features = cgroups, and: use-cgroups = true", ErrUnfit, path, err)
	}
	return nil
}

func prepareRun(path string) error {
	if unix.Access(path, unix.W_OK) == nil {
		return nil
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	if unix.Access(path, unix.W_OK) == nil {
		return nil
	}
	if err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mounting a tmpfs on %s: %w", path, err)
	}
	return nil
}

func prepareLink(path, target string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making %s: %w", filepath.Dir(path), err)
	}
	if err := os.Symlink(target, path); err != nil {
		return fmt.Errorf("linking %s to %s: %w", path, target, err)
	}
	return nil
}

func prepareFile(path, content string) error {
	if st, err := os.Stat(path); err == nil && st.Size() > 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making %s: %w", filepath.Dir(path), err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// hexOnly drops what is not a digit from a UUID: machine-id(5)'s form.
func hexOnly(uuid string) string {
	out := make([]byte, 0, 32)
	for i := range len(uuid) {
		if uuid[i] != '-' {
			out = append(out, uuid[i])
		}
	}
	return string(out)
}

// refusesSetID reports whether a chmod that sets a setuid bit fails in dir, as
// it does behind Nix's seccomp filter.
func refusesSetID(dir string) (bool, error) {
	f, err := os.CreateTemp(dir, "setid-*")
	if err != nil {
		return false, fmt.Errorf("probing chmod: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	return unix.Fchmod(int(f.Fd()), 0o4755) != nil, nil
}
