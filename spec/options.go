package spec

import (
	"os"
	"path/filepath"
)

// Options say how to read. The zero value reads the real file system.
type Options struct {
	// File names the input in errors. [Load] sets it where it is "".
	File string
	// Dir is what relative paths are relative to, by default the working
	// directory.
	Dir string
	// Exists reports whether there is a file, a directory or a symbolic link
	// at path. By default it asks lstat(2): a link inside a root tree points
	// into that tree, so following it from outside would be wrong.
	Exists func(path string) bool
	// ReadFile returns the content of a file, by default [os.ReadFile].
	ReadFile func(path string) ([]byte, error)
}

func (o Options) withDefaults() Options {
	if o.Dir == "" {
		// Without a working directory relative paths stay relative.
		o.Dir, _ = os.Getwd()
	}
	if o.Exists == nil {
		o.Exists = func(path string) bool {
			_, err := os.Lstat(path)
			return err == nil
		}
	}
	if o.ReadFile == nil {
		o.ReadFile = os.ReadFile
	}
	return o
}

// abs returns path as an absolute one; "" stays "".
func (o Options) abs(path string) string {
	if path == "" {
		return ""
	}
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(o.Dir, path)
}
