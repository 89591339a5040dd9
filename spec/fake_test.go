package spec

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

// fakeFiles is a file system of files with content.
type fakeFiles map[string]string

// options make a decoder read f with /base as the working directory.
func (f fakeFiles) options() Options {
	return Options{
		File: "driver.json",
		Dir:  "/base",
		Exists: func(path string) bool {
			if _, ok := f[path]; ok {
				return true
			}
			for name := range f {
				if strings.HasPrefix(name, path+"/") {
					return true
				}
			}
			return false
		},
		ReadFile: func(path string) ([]byte, error) {
			content, ok := f[path]
			if !ok {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
			}
			if content == unreadable {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
			}
			return []byte(content), nil
		},
	}
}

const unreadable = "(unreadable)"

// files are what the samples of this package's tests refer to.
func files() fakeFiles {
	return fakeFiles{
		"/test.py":                   "",
		"/vm/bin/run-v-vm":           "",
		"/nix/store/sys/init":        "",
		"/srv/tree/sbin/init":        "",
		"/etc/hosts":                 "",
		"/base/here":                 "",
		"/secret":                    "",
		"/locked":                    unreadable,
		"/nix/store/c/run-c-nspawn":  upstreamScript,
		"/nix/store/d/run-d-nspawn":  strings.ReplaceAll(upstreamScript, "'--container-name=c'", "--container-name=d"),
		"/nix/store/f/bad-nspawn":    launch("--interfaces-json='[{\"name\":1,\"vlan\":9}]' --init=/nix/store/sys/init"),
		"/nix/store/e/broken-nspawn": "#!/bin/sh\nmkdir /x\n",
	}
}

// upstreamScript has the form of what nixpkgs generates.
const upstreamScript = `#!/nix/store/dash/bin/dash
exec /nix/store/run-nspawn/bin/run-nspawn '--cmdline-json=["systemd.log_level=debug","a b"]' '--container-name=c' --init=/nix/store/sys/init '--interfaces-json=[{"assignIP":true,"name":"eth1","vlan":1},{"assignIP":false,"name":"enp9s0","vlan":2}]' --root-dir=./c-root --private-network --machine=c --bind-ro=/nix/store:/nix/store --keep-unit --register=no --notify-ready=yes '--bind-ro=/etc/hosts:/etc/up stream' --load-credential=token:/secret "$@"
`

// list returns the problems of err as lines.
func list(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var p *Problems
	if !errors.As(err, &p) {
		t.Fatalf("want *Problems, got %T: %v", err, err)
	}
	lines := []string{}
	for _, one := range p.List {
		lines = append(lines, one.String())
	}
	return lines
}

// wantLines fails unless got is want, line by line.
func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got:\n%s\nwant:\n%s", g, w)
	}
}
