package python_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nestbox/nestbox/driver/python"
	"github.com/nestbox/nestbox/internal/testenv"
)

// pythonFiles lists the .py files under root, slash-separated, without tests.
func pythonFiles(t *testing.T, root fs.FS) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(name, ".py") && !strings.HasPrefix(name, "tests/") {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestFilesAreAllEmbedded(t *testing.T) {
	want := pythonFiles(t, os.DirFS("."))
	if got := pythonFiles(t, python.Files()); !slices.Equal(got, want) {
		t.Errorf("embedded are %q, in the source tree are %q", got, want)
	}
	if !slices.Contains(want, python.Main) {
		t.Errorf("%q is not among %q", python.Main, want)
	}
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "python")
	if err := python.Write(dir); err != nil {
		t.Fatal(err)
	}
	want := pythonFiles(t, python.Files())
	if got := pythonFiles(t, os.DirFS(dir)); !slices.Equal(got, want) {
		t.Fatalf("written were %q, want %q", got, want)
	}

	// One file is spoilt, one is gone, and the others are right and old.
	long := time.Now().Add(-time.Hour).Truncate(time.Second)
	for _, name := range want {
		if err := os.Chtimes(filepath.Join(dir, name), long, long); err != nil {
			t.Fatal(err)
		}
	}
	spoilt, gone := filepath.Join(dir, python.Main), filepath.Join(dir, "test_driver", "rpc.py")
	if err := os.WriteFile(spoilt, []byte("spoilt"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if err := python.Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range want {
		path := filepath.Join(dir, name)
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content, err := fs.ReadFile(python.Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(content) {
			t.Errorf("%s is not what is embedded", name)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o644 {
			t.Errorf("%s has mode %v, want 0644", name, info.Mode().Perm())
		}
		untouched := info.ModTime().Equal(long)
		if rewritten := path == spoilt || path == gone; untouched == rewritten {
			t.Errorf("%s: written again is %t, want %t", name, !untouched, rewritten)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".new-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestWriteError(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := python.Write(filepath.Join(dir, "below"))
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("writing below a file: %v, want an error that names it", err)
	}
}

// TestPythonSide runs the tests that are written in Python.
func TestPythonSide(t *testing.T) {
	python3, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv(testenv.RequireAll) == "1" {
			t.Fatalf("this test needs python3: %v", err)
		}
		t.Skipf("this test needs python3: %v", err)
	}
	command := exec.CommandContext(t.Context(), python3, "-B", "-m", "unittest", "discover", "-s", "tests", "-t", ".")
	output, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %v\n%s", command, err, output)
	}
	if !strings.Contains(string(output), "\nOK") {
		t.Errorf("no tests seem to have run:\n%s", output)
	}
}
