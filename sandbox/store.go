package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/moby/sys/mountinfo"

	"golang.org/x/sys/unix"
)

// BindReadOnly binds source, with what is mounted below it, read-only on
// target, which it makes, in our own mount namespace. A machine is given
// target: what is read-only before the machine's user namespace comes to be
// stays so, whatever its root does (mount_namespaces(7), "locked"). release
// undoes the mount.
func BindReadOnly(source, target string) (release func() error, err error) {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return nil, fmt.Errorf("binding %s: %w", source, err)
	}
	if err := bindReadOnly(source, target); err != nil {
		return nil, err
	}
	return unmounter(target), nil
}

func bindReadOnly(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("binding %s on %s: %w", source, target, err)
	}
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, attr); err != nil {
		return errors.Join(fmt.Errorf("making the bind of %s read-only: %w", source, err), unmounter(target)())
	}
	return nil
}

func unmounter(target string) func() error {
	return func() error {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting %s: %w", target, err)
		}
		return nil
	}
}

// WritableStore makes on target a store to which a machine can add paths. What
// is in the store already can't be changed there, as in any Nix store: each
// path of it is bound read-only on a tmpfs. (An overlay would not do. In a Nix
// build every path of the store is a mount of its own, and overlayfs does not
// look into mounts of its lower layer.)
func WritableStore(store, target string) (release func() error, err error) {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return nil, fmt.Errorf("making a writable store: %w", err)
	}
	if err := unix.Mount("tmpfs", target, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "mode=1775"); err != nil {
		return nil, fmt.Errorf("making a writable store: %w", err)
	}
	release = unmounter(target)
	entries, err := os.ReadDir(store)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making a writable store: %w", err), release())
	}
	for _, entry := range entries {
		if err := bindEntry(entry, filepath.Join(store, entry.Name()), filepath.Join(target, entry.Name())); err != nil {
			return nil, errors.Join(fmt.Errorf("making a writable store: %w", err), release())
		}
	}
	return release, nil
}

func bindEntry(entry fs.DirEntry, source, target string) error {
	switch {
	case entry.Type()&fs.ModeSymlink != 0:
		link, err := os.Readlink(source)
		if err != nil {
			return err
		}
		return os.Symlink(link, target)
	case entry.IsDir():
		if err := os.Mkdir(target, 0o755); err != nil {
			return err
		}
	case entry.Type().IsRegular():
		if err := os.WriteFile(target, nil, 0o444); err != nil {
			return err
		}
	default:
		return nil
	}
	return bindReadOnly(source, target)
}

// NothingMounted returns an error that names the mounts at and below dir, if
// there are any.
func NothingMounted(dir string) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return fmt.Errorf("looking for mounts below %s: %w", dir, err)
	}
	var errs []error
	for _, m := range mounts {
		errs = append(errs, fmt.Errorf("%s is still mounted", m.Mountpoint))
	}
	return errors.Join(errs...)
}
