package nixenv

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/nestbox/nestbox/driver/python"
)

// AddNestbox puts the binary that `make build` made into the store the way a
// package has it: bin/nestbox, bin/nixos-test-driver and the script's side
// under lib/nestbox/python. It returns the store path.
func AddNestbox(ctx context.Context, e *Env, repo string) (string, error) {
	dir, err := os.MkdirTemp("", "nestbox-package-*")
	if err != nil {
		return "", fmt.Errorf("packing nestbox: %w", err)
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return "", fmt.Errorf("packing nestbox: %w", err)
	}
	if err := copyProgram(filepath.Join(repo, "bin", "nestbox"), filepath.Join(bin, "nestbox")); err != nil {
		return "", fmt.Errorf("packing nestbox (make build makes it): %w", err)
	}
	if err := os.Symlink("nestbox", filepath.Join(bin, "nixos-test-driver")); err != nil {
		return "", fmt.Errorf("packing nestbox: %w", err)
	}
	if err := python.Write(filepath.Join(dir, "lib", "nestbox", "python")); err != nil {
		return "", fmt.Errorf("packing nestbox: %w", err)
	}
	return e.AddPath(ctx, "nestbox", dir)
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
