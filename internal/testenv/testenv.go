// Package testenv holds the gates of tests that need more than a Go tool
// chain: root, a real Nix, and so on.
//
// On a laptop a test whose need is not met is skipped. Where [RequireAll] is
// set in the environment, as in CI, the same test fails, so that nothing is
// left out silently.
package testenv

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// RequireAll names the environment variable that turns "skipped for lack of
// X" into failure when it is set to 1.
const RequireAll = "NESTBOX_REQUIRE_ALL"

// RequireRoot skips (or fails, see [RequireAll]) t unless it runs as uid 0.
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		lack(t, "root; run it as root or through make test")
	}
}

// RequireNix skips (or fails, see [RequireAll]) t unless it runs as root and
// the Nix root tree that `make nix-root` makes is there. It returns the
// absolute path of that tree.
func RequireNix(t testing.TB) string {
	t.Helper()
	RequireRoot(t)
	root := filepath.Join(Repo(t), ".cache", "nix-root")
	if _, err := os.Stat(filepath.Join(root, "usr", "bin", "nix-daemon")); err != nil {
		lack(t, "a Nix root tree; make it with: make nix-root")
	}
	return root
}

// Repo returns the absolute path of the repository's root.
func Repo(t testing.TB) string {
	t.Helper()
	_, self, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("finding the repository: no caller information")
	}
	return filepath.Dir(filepath.Dir(filepath.Dir(self)))
}

func lack(t testing.TB, what string) {
	t.Helper()
	if os.Getenv(RequireAll) == "1" {
		t.Fatalf("this test needs %s", what)
	}
	t.Skipf("this test needs %s", what)
}
