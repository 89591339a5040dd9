package agent

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// snapshot describes a tree: by relative name, type and mode, then content or
// link target.
func snapshot(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		what := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += " " + string(data)
		case info.Mode()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			what += " " + link
		}
		all[rel] = what
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// put makes a file, and its mode what it should be whatever the umask is.
func put(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// directions are the two ways to copy; both ends are this machine.
var directions = []struct {
	name string
	copy func(t *testing.T, source, target string) error
}{
	{"Fetch", func(t *testing.T, source, target string) error { return guest.Fetch(t.Context(), source, target) }},
	{"Send", func(t *testing.T, source, target string) error { return guest.Send(t.Context(), source, target) }},
}

// hostile fills a directory with what has tripped others up.
func hostile(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{
		"plain", "-rf", "--help", "with space", "new\nline", `quo"te's`, `back\slash`, "$(touch x)", "*", "~", "...",
		"\xff\xfe not UTF-8", "\x01control\x7f", "ünïcode-😀", ".hidden", strings.Repeat("n", 255), "a:b=c",
		strings.Repeat("d", 200) + "/" + strings.Repeat("e", 200) + "/deep",
	} {
		put(t, filepath.Join(dir, name), "content of "+name, 0o644)
	}
	put(t, dir+"/empty file", "", 0o640)
	put(t, dir+"/no one", "secret", 0)
	put(t, dir+"/program", "#!/bin/sh\n", 0o755)
	put(t, dir+"/large", strings.Repeat("0123456789abcdef", 10000), 0o600)
	put(t, dir+"/limit", strings.Repeat("x", smallFile), 0o600)
	put(t, dir+"/over", strings.Repeat("x", smallFile+1), 0o600)
	put(t, dir+"/read-only/file", "x", 0o444)
	put(t, dir+"/read-only/below/file", "x", 0o400)
	for _, name := range []string{"empty", "empty/below", "closed"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link(t, "plain", dir+"/link")
	link(t, "/etc/passwd", dir+"/absolute link")
	link(t, "nowhere\n", dir+"/broken link")
	link(t, ".", dir+"/loop")
	link(t, "../..", dir+"/link up")
	for name, mode := range map[string]fs.FileMode{"read-only/below": 0o555, "read-only": 0o500, "closed": 0} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { // for those who are not root
		for _, name := range []string{"read-only", "read-only/below", "closed"} {
			_ = os.Chmod(filepath.Join(dir, name), 0o755)
		}
	})
}

func TestCopyHostileTree(t *testing.T) {
	t.Parallel()
	for _, direction := range directions {
		source, target := filepath.Join(t.TempDir(), "tree"), filepath.Join(t.TempDir(), "new", "directories", "copy")
		hostile(t, source)
		want := snapshot(t, source)
		// Sockets and the like are left out.
		if err := syscall.Mkfifo(source+"/fifo", 0o600); err != nil {
			t.Fatal(err)
		}
		if err := direction.copy(t, source, target); err != nil {
			t.Fatalf("%s: %v", direction.name, err)
		}
		if diff := cmp.Diff(want, snapshot(t, target)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", direction.name, diff)
		}
	}
}

func TestCopyManyFiles(t *testing.T) {
	t.Parallel()
	source := t.TempDir()
	for i := range 2000 {
		put(t, fmt.Sprintf("%s/%d/%d", source, i%40, i), fmt.Sprint("content ", i), 0o644)
	}
	want := snapshot(t, source)
	for _, direction := range directions {
		target := filepath.Join(t.TempDir(), "copy")
		if err := direction.copy(t, source, target); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(want, snapshot(t, target)) {
			t.Errorf("%s: the copy differs", direction.name)
		}
	}
}

func TestCopyFile(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, content string
		mode          fs.FileMode
	}{
		{"file", "content\x00\xff", 0o644}, {"empty", "", 0o600}, {"-n", "x", 0o755}, {"new\nline", "x", 0o400},
		{"large", strings.Repeat("large", 1<<20), 0o600},
	} {
		for _, direction := range directions {
			source, dir := filepath.Join(t.TempDir(), test.name), t.TempDir()
			put(t, source, test.content, test.mode)
			for _, target := range []string{filepath.Join(dir, "a", "b"), filepath.Join(dir, "slash") + "/"} {
				if err := direction.copy(t, source, target); err != nil {
					t.Fatalf("%s of %q to %s: %v", direction.name, test.name, target, err)
				}
				want := map[string]string{".": test.mode.String() + " " + test.content}
				if diff := cmp.Diff(want, snapshot(t, filepath.Clean(target))); diff != "" {
					t.Errorf("%s of %q to %s (-want +got):\n%.1000s", direction.name, test.name, target, diff)
				}
			}
		}
	}
}

// A link given as the source itself is followed.
func TestCopyLink(t *testing.T) {
	t.Parallel()
	for _, direction := range directions {
		dir := t.TempDir()
		put(t, dir+"/tree/file", "x", 0o644)
		link(t, "tree", dir+"/to tree")
		link(t, "tree/file", dir+"/to file")
		link(t, "nowhere", dir+"/broken")
		for _, name := range []string{"tree", "file"} {
			if err := direction.copy(t, dir+"/to "+name, dir+"/copy of "+name); err != nil {
				t.Errorf("%s: %v", direction.name, err)
			}
		}
		if st, err := os.Lstat(dir + "/copy of file"); err != nil || !st.Mode().IsRegular() {
			t.Errorf("%s: file: %v, %v", direction.name, st, err)
		}
		if st, err := os.Lstat(dir + "/copy of tree/file"); err != nil || !st.Mode().IsRegular() {
			t.Errorf("%s: tree: %v, %v", direction.name, st, err)
		}
		if err := direction.copy(t, dir+"/broken", dir+"/copy of broken"); err == nil || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("%s of a broken link: %v", direction.name, err)
		}
	}
}

// What exists at the target is filled or replaced, as cp -r does.
func TestCopyOntoExisting(t *testing.T) {
	t.Parallel()
	for _, direction := range directions {
		dir := t.TempDir()
		put(t, dir+"/tree/a/file", "new", 0o600)
		put(t, dir+"/tree/link", "a file now", 0o644)
		put(t, dir+"/old/a/file", "old", 0o644)
		put(t, dir+"/old/a/other", "stays", 0o644)
		put(t, dir+"/outside", "untouched", 0o644)
		link(t, "../outside", dir+"/old/link")
		target := dir + "/old"
		if direction.name == "Send" { // into a directory that exists
			target = dir + "/into"
			put(t, target+"/x", "stays", 0o644)
			if err := os.Rename(dir+"/old", target+"/tree"); err != nil {
				t.Fatal(err)
			}
		}
		if err := direction.copy(t, dir+"/tree", target); err != nil {
			t.Fatal(err)
		}
		if direction.name == "Send" {
			target += "/tree"
		}
		want := map[string]string{
			".": "drwxr-xr-x", "a": "drwxr-xr-x", "a/file": "-rw------- new", "a/other": "-rw-r--r-- stays", "link": "-rw-r--r-- a file now",
		}
		if diff := cmp.Diff(want, snapshot(t, target)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", direction.name, diff)
		}
		if data, _ := os.ReadFile(dir + "/outside"); string(data) != "untouched" {
			t.Errorf("%s wrote through a link: %q", direction.name, data)
		}
	}
}

func TestSendFileIntoDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir+"/-f\n", "x", 0o644)
	put(t, dir+"/into/y", "y", 0o644)
	if err := guest.Send(t.Context(), dir+"/-f\n", dir+"/into/"); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{".": "drwxr-xr-x", "-f\n": "-rw-r--r-- x", "y": "-rw-r--r-- y"}
	if diff := cmp.Diff(want, snapshot(t, dir+"/into")); diff != "" {
		t.Error(diff)
	}
}

func TestCopyErrors(t *testing.T) {
	t.Parallel()
	for _, direction := range directions {
		dir := t.TempDir()
		put(t, dir+"/file", "x", 0o644)
		put(t, dir+"/tree/file", "x", 0o644)
		put(t, dir+"/full/file/other", "x", 0o644)
		if err := syscall.Mkfifo(dir+"/fifo", 0o600); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct{ source, target, mentions string }{
			{"nothing", "copy", "nothing: no such file or directory"},
			{"fifo", "copy", "neither a file nor a directory"},
			{"tree", "file/copy", "not a directory"},
			{"tree", "full/file/other", "other"},
			{"file", "/proc/copy", "/proc/copy"},
		} {
			target := test.target
			if !filepath.IsAbs(target) {
				target = filepath.Join(dir, target)
			}
			err := direction.copy(t, filepath.Join(dir, test.source), target)
			if err == nil || !strings.Contains(err.Error(), test.mentions) || !strings.Contains(err.Error(), "copying") {
				t.Errorf("%s of %s to %s: %v, want it to mention %q", direction.name, test.source, test.target, err, test.mentions)
			}
		}
		if _, err := os.Lstat(dir + "/copy"); err == nil {
			t.Errorf("%s left something behind", direction.name)
		}
	}
}

// The kernel makes the content of such files up; their sizes say nothing.
func TestCopyMadeUpFiles(t *testing.T) {
	t.Parallel()
	target := filepath.Join(t.TempDir(), "copy")
	for _, source := range []string{"/proc/version", "/sys/kernel/mm/transparent_hugepage/enabled", "/proc/cpuinfo"} {
		want, err := os.ReadFile(source)
		if err != nil {
			t.Log(err)
			continue
		}
		if err := guest.Fetch(t.Context(), source, target); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(target)
		if err != nil || len(got) == 0 || (len(got) != len(want) && source != "/proc/cpuinfo") {
			t.Errorf("%s: %d bytes arrive, %v, want %d", source, len(got), err, len(want))
		}
	}
}

// archive makes a tar stream of headers; those of files have content "evil".
func archive(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = 4
		}
		h.Mode |= 0o755
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := tw.Write([]byte("evil")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// climbers are archives that reach for what is beside their target, which is
// called "target".
func climbers(t testing.TB) map[string][]byte {
	root := tar.Header{Name: ".", Typeflag: tar.TypeDir}
	file := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg} }
	dir := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeDir} }
	link := func(name, target string) tar.Header {
		return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink}
	}
	return map[string][]byte{
		"up":                       archive(t, root, file("../victim")),
		"up by detour":             archive(t, root, dir("a"), file("a/../../victim")),
		"directory up":             archive(t, root, dir("../new")),
		"link up":                  archive(t, root, link("../new", "/etc")),
		"absolute":                 archive(t, root, file("/victim")),
		"through a link":           archive(t, root, link("l", ".."), file("l/victim")),
		"through an absolute link": archive(t, root, link("l", "/tmp"), file("l/nestbox-climbed")),
		"through two links":        archive(t, root, dir("a"), link("a/l", ".."), link("m", "a/l/.."), file("m/victim")),
		"directory below a link":   archive(t, root, link("l", ".."), dir("l/new")),
		"mode through a link":      archive(t, root, dir("l"), link("l", "../victim")),
		"nothing at all":           archive(t, root, file("")),
		"file, then more":          archive(t, file("."), file("more")),
		"link as the whole":        archive(t, link(".", "victim"), file("x")),
	}
}

func TestClimbersAreRefused(t *testing.T) {
	t.Parallel()
	for name, stream := range climbers(t) {
		dir := t.TempDir()
		put(t, dir+"/victim", "untouched", 0o600)
		if err := receiveTree(filepath.Join(dir, "target"), "", bytes.NewReader(stream)); err == nil {
			t.Errorf("%s: it was taken", name)
		}
		checkOutside(t, name, dir)
	}
	if _, err := os.Lstat("/tmp/nestbox-climbed"); err == nil {
		t.Error("a file landed in /tmp")
		os.Remove("/tmp/nestbox-climbed")
	}
}

// checkOutside looks at what lies beside the target.
func checkOutside(t *testing.T, name, dir string) {
	t.Helper()
	got := map[string]string{}
	for path, what := range snapshot(t, dir) {
		if path != "target" && !strings.HasPrefix(path, "target/") {
			got[path] = what
		}
	}
	if diff := cmp.Diff(map[string]string{".": "drwxr-xr-x", "victim": "-rw------- untouched"}, got); diff != "" {
		t.Errorf("%s: outside of the target (-want +got):\n%s", name, diff)
	}
}

// A stream that breaks off is an error, not a smaller tree.
func TestTruncatedArchive(t *testing.T) {
	t.Parallel()
	stream := archive(t, tar.Header{Name: ".", Typeflag: tar.TypeDir}, tar.Header{Name: "f", Typeflag: tar.TypeReg})
	for _, n := range []int{100, 512, 700, 1024, 1026} {
		if err := receiveTree(filepath.Join(t.TempDir(), "target"), "", bytes.NewReader(stream[:n])); err == nil && n != 512 && n != 1024 {
			t.Errorf("the first %d bytes were taken for the whole", n)
		}
	}
}

func FuzzReceiveTree(f *testing.F) {
	for _, stream := range climbers(f) {
		f.Add(stream)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		dir := t.TempDir()
		put(t, dir+"/victim", "untouched", 0o600)
		_ = receiveTree(filepath.Join(dir, "target"), "", bytes.NewReader(stream))
		checkOutside(t, "fuzz", dir)
	})
}
