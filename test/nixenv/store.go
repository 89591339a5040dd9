package nixenv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// HostFile returns the path under which a command inside sees a file of the
// host. path must be absolute.
func HostFile(path string) string { return filepath.Join(hostDir, path) }

// HostPath returns the path under which the host sees a store path.
func (e *Env) HostPath(storePath string) string { return filepath.Join(e.root, storePath) }

// AddPath copies a folder of the host into the store under the given name and
// returns its store path.
//
// A folder with a file .stamp, as the scripts in test/nix leave it, is copied
// once for each content of that file: hashing a system tree takes seconds.
func (e *Env) AddPath(ctx context.Context, name, dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("adding %s to the store: %w", dir, err)
	}
	stamp, err := os.ReadFile(filepath.Join(dir, ".stamp"))
	if errors.Is(err, fs.ErrNotExist) {
		return e.add(ctx, name, dir)
	}
	if err != nil {
		return "", fmt.Errorf("adding %s to the store: %w", dir, err)
	}
	// One note a name: what the last stamp gave.
	note := filepath.Join(e.root, "nix", "var", "nestbox-added-"+name)
	if old, err := os.ReadFile(note); err == nil {
		path, seen, _ := strings.Cut(string(old), "\n")
		if _, err := os.Lstat(e.HostPath(path)); err == nil && seen == string(stamp) {
			return path, nil
		}
	}
	path, err := e.add(ctx, name, dir)
	if err != nil {
		return "", err
	}
	temp := fmt.Sprintf("%s.%d", note, os.Getpid())
	if err := os.WriteFile(temp, []byte(path+"\n"+string(stamp)), 0o644); err != nil {
		return "", fmt.Errorf("noting the store path of %s: %w", name, err)
	}
	if err := os.Rename(temp, note); err != nil {
		return "", fmt.Errorf("noting the store path of %s: %w", name, err)
	}
	return path, nil
}

func (e *Env) add(ctx context.Context, name, dir string) (string, error) {
	out, err := e.Run(ctx, "nix", "store", "add", "--name", name, HostFile(dir))
	if err != nil {
		return "", fmt.Errorf("adding %s to the store: %w", dir, err)
	}
	return strings.TrimSpace(out), nil
}
