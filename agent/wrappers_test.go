package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nestbox/nestbox/internal/testenv"
)

func TestMendWrappers(t *testing.T) {
	t.Parallel()
	testenv.RequireRoot(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVar+"=wrappers")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

// mendForReal runs a mender on a /run of its own and switches to a new set
// of wrappers as NixOS does.
func mendForReal() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), 10*time.Second, errors.New("not mended in time"))
	defer cancel()
	var m mender
	if m.mend() {
		return errors.New("mended wrappers that are not there")
	}
	for generation := range 3 {
		dir := filepath.Join(wrapperDir, fmt.Sprint("wrappers.", generation))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		want := map[string]fs.FileMode{"su": 0o511, "ping": 0o511, "own": 0o700}
		for name, mode := range map[string]fs.FileMode{"su": 0, "ping": 0, "own": 0o700} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				return err
			}
			if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
				return err
			}
		}
		if err := os.Mkdir(filepath.Join(dir, "closed"), 0); err != nil {
			return err
		}
		want["closed"] = fs.ModeDir
		next := filepath.Join(wrapperDir, "next")
		if err := os.Symlink(dir, next); err != nil {
			return err
		}
		if err := os.Rename(next, filepath.Join(wrapperDir, "bin")); err != nil {
			return err
		}
		err := poll(ctx, func() (bool, string, error) {
			m.mend()
			for name, mode := range want {
				st, err := os.Lstat(filepath.Join(dir, name))
				if err != nil || st.Mode() != mode {
					return false, fmt.Sprintf("generation %d: %s: %v, %v", generation, name, st, err), nil
				}
			}
			return true, "", nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
