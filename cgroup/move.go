package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ourselves moves this process.
func ourselves(_, to string) error {
	if err := load(to, "").AddProc(uint64(os.Getpid())); err != nil {
		return fmt.Errorf("moving this process: %w", err)
	}
	return nil
}

// everyone moves every process of a cgroup, this one for certain. It begins
// anew until none is left that can be moved, as they may fork meanwhile.
func everyone(from, to string) error {
	target := load(to, "")
	stuck := map[int]bool{}
	for {
		pids, err := members(from)
		if err != nil {
			return err
		}
		moved := 0
		for _, pid := range pids {
			if pid == 0 || stuck[pid] {
				continue
			}
			switch err := target.AddProc(uint64(pid)); {
			case err == nil:
				moved++
			case errors.Is(err, unix.ESRCH):
			case pid == os.Getpid():
				return fmt.Errorf("moving this process: %w", err)
			default:
				stuck[pid] = true
			}
		}
		if moved == 0 {
			return nil
		}
	}
}

// members returns the processes of one cgroup, without those of its children.
func members(dir string) ([]int, error) {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	pids, err := parsePIDs(data)
	if err != nil {
		return nil, fmt.Errorf("reading %s/cgroup.procs: %w", dir, err)
	}
	return pids, nil
}

// rmdir removes a cgroup and those below it, lowest first. Removing the
// directory is all it takes; the files in it can't be removed. What isn't
// there is no error.
func rmdir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := rmdir(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	// Not os.Remove, whose error for a cgroup would be that of unlink(2).
	err = unix.Rmdir(dir)
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("removing cgroup %s: %w: %s", dir, err, inhabitants(dir))
	}
	return fmt.Errorf("removing cgroup %s: %w", dir, err)
}

// inhabitants lists the processes below dir for a message: "12 (sleep)".
func inhabitants(dir string) string {
	var names []string
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil //nolint:nilerr // it goes away while we look
		}
		pids, _ := members(path)
		for _, pid := range pids {
			comm, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
			names = append(names, fmt.Sprintf("%d (%s)", pid, strings.TrimSpace(string(comm))))
		}
		return nil
	})
	if len(names) == 0 {
		return "no process left that we see"
	}
	return "still there: " + strings.Join(names, ", ")
}
