// Package python carries the Python side of the driver: what test scripts
// import, as files inside the binary.
//
// The driver writes them to a directory of its own with [Write] and starts
// `python3 -B DIR/nestbox_main.py` with the path of its socket in the
// environment variable NESTBOX_SOCKET. The Python code needs the standard
// library of Python 3.9 or newer and nothing else. Its tests are beside it, in
// tests, and run with this package's.
package python

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Main is the file, relative to the directory given to [Write], that Python
// is started with.
const Main = "nestbox_main.py"

// Patterns, and not the directories: of these embed leaves out files whose
// names begin with an underscore, such as __init__.py.
//
//go:embed nestbox_main.py test_driver/*.py test_driver/machine/*.py
var files embed.FS

// Files returns the Python files as they are to lie in a directory.
func Files() fs.FS { return files }

// Write puts the Python files into dir, which is made if it is missing. Files
// that are there and right are left alone, so that Python's caches of them
// stay valid; others are replaced in one step, so that a process that reads
// them meanwhile sees either version whole. Its errors name the file and wrap
// those of package os.
func Write(dir string) error {
	return fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("reading the embedded %s: %w", name, err)
		}
		target := filepath.Join(dir, filepath.FromSlash(name))
		if entry.IsDir() {
			if err := os.MkdirAll(target, 0o755); err != nil {
				return fmt.Errorf("making the directory of the Python side: %w", err)
			}
			return nil
		}
		content, err := files.ReadFile(name)
		if err != nil {
			return fmt.Errorf("reading the embedded %s: %w", name, err)
		}
		if err := update(target, content); err != nil {
			return fmt.Errorf("writing the Python file %s: %w", target, err)
		}
		return nil
	})
}

// update makes target hold content.
func update(target string, content []byte) error {
	old, err := os.ReadFile(target)
	if err == nil && bytes.Equal(old, content) {
		return nil
	}
	file, err := os.CreateTemp(filepath.Dir(target), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // of no effect once it is renamed
	_, err = file.Write(content)
	if err == nil {
		err = file.Chmod(0o644)
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), target)
}
