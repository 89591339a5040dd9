package nixenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockTree takes a shared lock on the root tree for the life of an Env. Who
// finds nobody else there first sweeps what killed daemons left.
func lockTree(root string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(root, "nix", "var", "nestbox.lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the Nix tree: %w; make it with: make nix-root", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		err := sweep(root)
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_SH); err != nil {
		return nil, errors.Join(fmt.Errorf("locking the Nix tree: %w", err), file.Close())
	}
	return file, nil
}

// sweep removes the build folders and build roots of daemons that were killed.
// The store itself needs nothing: Nix keeps it in a journaled database and
// makes an unfinished path anew.
func sweep(root string) error {
	var errs []error
	for _, pattern := range []string{"nix/var/nix/builds/*", "nix/store/*.drv.chroot"} {
		left, err := filepath.Glob(filepath.Join(root, pattern))
		errs = append(errs, err)
		for _, dir := range left {
			if err := os.RemoveAll(dir); err != nil {
				errs = append(errs, fmt.Errorf("sweeping the Nix tree: %w", err))
			}
		}
	}
	return errors.Join(errs...)
}
