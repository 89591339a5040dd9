package agent

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sendTree writes the file or directory at path to out as a tar stream. A
// symbolic link given as path itself is followed, inside the machine; links
// below it stay links. Its first entry is named ".".
func sendTree(path string, out io.Writer) error {
	root, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("copying from %q: %w", path, err)
	}
	tw := tar.NewWriter(out)
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return sendEntry(tw, root, name, entry)
	})
	if err != nil {
		return fmt.Errorf("copying from %q: %w", path, err)
	}
	return tw.Close()
}

// smallFile is the size up to which a file is read before its header is
// written: files of procfs and sysfs have less or more in them than they say.
const smallFile = 64 << 10

func sendEntry(tw *tar.Writer, root, name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	if info.Mode()&(fs.ModeSocket|fs.ModeNamedPipe|fs.ModeDevice) != 0 {
		if name == root {
			return fmt.Errorf("%s is neither a file nor a directory", name)
		}
		return nil // nothing that could be copied as a file
	}
	var link string
	if info.Mode()&fs.ModeSymlink != 0 {
		if link, err = os.Readlink(name); err != nil {
			return err
		}
	}
	header, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return err
	}
	header.Name, header.Format = rel, tar.FormatPAX
	header.Uname, header.Gname = "", ""
	if !info.Mode().IsRegular() {
		return tw.WriteHeader(header)
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var content io.Reader = f
	if header.Size <= smallFile {
		data, err := io.ReadAll(io.LimitReader(f, maxKept))
		if err != nil {
			return err
		}
		header.Size, content = int64(len(data)), bytes.NewReader(data)
	}
	if err := tw.WriteHeader(header); err != nil {
		return err
	}
	// The file may shrink or grow meanwhile: send just as much as announced.
	n, err := io.Copy(tw, io.LimitReader(content, header.Size))
	if err != nil {
		return err
	}
	if missing := header.Size - n; missing > 0 {
		_, err = io.CopyN(tw, zeros{}, missing)
	}
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// receiveTree unpacks a tar stream of [sendTree] to target, or, if name is
// given and target is a directory, to that name in it. It never writes outside
// target: names that climb are refused, and no symbolic link of the stream is
// followed.
func receiveTree(target, name string, in io.Reader) error {
	target = filepath.Clean(target)
	if st, err := os.Stat(target); err == nil && st.IsDir() && name != "" {
		target = filepath.Join(target, name)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return fmt.Errorf("copying to %q: %w", target, err)
	}
	tr := tar.NewReader(in)
	var root *os.Root
	defer func() {
		if root != nil {
			root.Close()
		}
	}()
	// Directories get their mode at the end: a read-only one must be filled.
	modes := map[string]fs.FileMode{}
	for first := true; ; first = false {
		header, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("copying to %q: %w", target, err)
		}
		if first {
			if root, err = receiveFirst(target, header, tr); err != nil {
				return fmt.Errorf("copying to %q: %w", target, err)
			}
			if root != nil {
				modes["."] = header.FileInfo().Mode().Perm()
			}
			continue
		}
		if root == nil {
			return fmt.Errorf("copying to %q: a file is followed by more entries", target)
		}
		if err := receiveEntry(root, header, tr); err != nil {
			return fmt.Errorf("copying to %q: %w", filepath.Join(target, header.Name), err)
		}
		if header.Typeflag == tar.TypeDir {
			modes[header.Name] = header.FileInfo().Mode().Perm()
		}
	}
	for name, mode := range modes {
		if err := root.Chmod(name, mode); err != nil {
			return fmt.Errorf("setting the mode of %q: %w", filepath.Join(target, name), err)
		}
	}
	return nil
}

// receiveFirst makes target itself; for a directory it returns it opened as
// the root of all that follows. A directory that exists is filled.
func receiveFirst(target string, header *tar.Header, in io.Reader) (*os.Root, error) {
	if header.Typeflag == tar.TypeDir {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return nil, err
		}
		return os.OpenRoot(target)
	}
	parent, err := os.OpenRoot(filepath.Dir(target))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	header.Name = filepath.Base(target)
	return nil, receiveEntry(parent, header, in)
}

func receiveEntry(root *os.Root, header *tar.Header, in io.Reader) error {
	name := header.Name
	if !filepath.IsLocal(name) || strings.ContainsRune(name, 0) {
		return errors.New("the name leads out of the directory")
	}
	switch header.Typeflag {
	case tar.TypeDir:
		if err := root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	case tar.TypeSymlink:
		_ = root.Remove(name)
		return root.Symlink(header.Linkname, name)
	case tar.TypeReg:
		_ = root.Remove(name)
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, in); err != nil {
			f.Close()
			return err
		}
		if err := f.Chmod(header.FileInfo().Mode().Perm()); err != nil {
			f.Close()
			return err
		}
		return f.Close()
	default:
		return nil
	}
}
