package nixenv

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
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
	if err := compile(ctx, repo, filepath.Join(dir, "lib", "nestbox", "python")); err != nil {
		return "", err
	}
	return e.AddPath(ctx, "nestbox", dir)
}

// compile leaves bytecode beside the script's side, as a package's build does,
// by the Python that will run it: that of the guests' tree, which brings its
// own loader and libraries.
func compile(ctx context.Context, repo, dir string) error {
	tree := filepath.Join(repo, ".cache", "debian-guest")
	loaders, err := filepath.Glob(filepath.Join(tree, "usr", "lib*", "ld-linux-*.so.*"))
	if err != nil || len(loaders) == 0 {
		return fmt.Errorf("packing nestbox: no loader in %s (make debian-guest makes it)", tree)
	}
	libraries, err := filepath.Glob(filepath.Join(tree, "usr", "lib", "*-linux-gnu"))
	if err != nil || len(libraries) == 0 {
		return fmt.Errorf("packing nestbox: no libraries in %s", tree)
	}
	// No timestamps: in the store all are the same.
	cmd := exec.CommandContext(ctx, loaders[0], "--library-path", libraries[0], filepath.Join(tree, "usr", "bin", "python3"),
		"-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", dir)
	cmd.Env = append(os.Environ(), "PYTHONHOME="+filepath.Join(tree, "usr"), "PYTHONDONTWRITEBYTECODE=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("packing nestbox: compiling Python: %w: %s", err, out)
	}
	return nil
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
