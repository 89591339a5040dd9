package agent

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// later calls do after a moment in which a wait has surely begun.
func later(t *testing.T, do func() error) (at func() time.Time) {
	t.Helper()
	done := make(chan time.Time, 1)
	time.AfterFunc(200*time.Millisecond, func() {
		if err := do(); err != nil {
			t.Error(err)
		}
		done <- time.Now()
	})
	return func() time.Time { return <-done }
}

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "probe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestWaitFile(t *testing.T) {
	t.Parallel()
	write := func(path string) error { return os.WriteFile(path, nil, 0o600) }
	for _, test := range []struct {
		name, path string
		prepare    func(dir string) error // before the wait
		make       func(dir string) error // during the wait
	}{
		{"there", "f", func(dir string) error { return write(dir + "/f") }, nil},
		{"a directory", ".", nil, nil},
		{"created", "f", nil, func(dir string) error { return write(dir + "/f") }},
		{"renamed", "f", func(dir string) error { return write(dir + "/g") },
			func(dir string) error { return os.Rename(dir+"/g", dir+"/f") }},
		{"in new directories", "a/b/c/f", nil, func(dir string) error {
			return errors.Join(os.MkdirAll(dir+"/a/b/c", 0o755), write(dir+"/a/b/c/f"))
		}},
		{"in a directory that is replaced", "a/f", func(dir string) error { return os.Mkdir(dir+"/a", 0o755) },
			func(dir string) error {
				return errors.Join(os.Rename(dir+"/a", dir+"/b"), os.Mkdir(dir+"/a", 0o755), write(dir+"/a/f"))
			}},
		{"where a file was", "a/f", func(dir string) error { return write(dir + "/a") },
			func(dir string) error {
				return errors.Join(os.Remove(dir+"/a"), os.Mkdir(dir+"/a", 0o755), write(dir+"/a/f"))
			}},
		{"socket", "s", nil, func(dir string) error {
			l, err := net.Listen("unix", dir+"/s")
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		}},
		{"behind a link", "l", func(dir string) error { return os.Symlink("target", dir+"/l") },
			func(dir string) error { return write(dir + "/target") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := shortDir(t)
			if test.prepare != nil {
				if err := test.prepare(dir); err != nil {
					t.Fatal(err)
				}
			}
			if test.make == nil {
				if err := guest.WaitFile(t.Context(), filepath.Join(dir, test.path), time.Minute); err != nil {
					t.Error(err)
				}
				return
			}
			made := later(t, func() error { return test.make(dir) })
			err := guest.WaitFile(t.Context(), filepath.Join(dir, test.path), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if late := time.Since(made()); late > soon {
				t.Errorf("%s too late", late)
			}
		})
	}
}

// The wait ends by an event, not by the look that is taken now and then.
func TestWaitFileIsQuick(t *testing.T) {
	t.Parallel()
	best := time.Hour
	for range 5 {
		dir := shortDir(t)
		made := later(t, func() error {
			return errors.Join(os.Mkdir(dir+"/a", 0o755), os.WriteFile(dir+"/a/f", nil, 0o600))
		})
		if err := guest.WaitFile(t.Context(), dir+"/a/f", time.Minute); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(made()))
	}
	if best > recheck/5 {
		t.Errorf("at best %s after the file was made", best)
	}
}

func TestWaitFileTimeout(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "never", "made")
	err := guest.WaitFile(t.Context(), path, 200*time.Millisecond)
	timedOut(t, err, "last seen: stat "+path+": no such file or directory")
	err = guest.WaitFile(t.Context(), "/dev/null/x", 200*time.Millisecond)
	timedOut(t, err, "not a directory")
}

func TestWaitHangUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := guest.WaitFile(ctx, filepath.Join(t.TempDir(), "f"), 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("WaitFile = %v", err)
	}
}

// listen opens a port and returns its number.
func listen(t *testing.T, address string) (net.Listener, int) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	return l, l.Addr().(*net.TCPAddr).Port
}

func TestWaitPort(t *testing.T) {
	t.Parallel()
	l, port := listen(t, "127.0.0.1:0")
	for _, host := range []string{"127.0.0.1", "localhost"} {
		if err := guest.WaitPort(t.Context(), host, port, false, time.Minute); err != nil {
			t.Errorf("open on %s: %v", host, err)
		}
	}
	err := guest.WaitPort(t.Context(), "127.0.0.1", port, true, 300*time.Millisecond)
	timedOut(t, err, "127.0.0.1:"+strconv.Itoa(port)+" accepts connections")

	closed := later(t, l.Close)
	if err := guest.WaitPort(t.Context(), "127.0.0.1", port, true, time.Minute); err != nil {
		t.Errorf("closed: %v", err)
	}
	if late := time.Since(closed()); late > soon || late < 0 {
		t.Errorf("%s after it was closed", late)
	}
	err = guest.WaitPort(t.Context(), "127.0.0.1", port, false, 300*time.Millisecond)
	timedOut(t, err, "connection refused")

	opened := later(t, func() error {
		again, err := net.Listen("tcp", l.Addr().String())
		if err == nil {
			t.Cleanup(func() { again.Close() })
		}
		return err
	})
	if err := guest.WaitPort(t.Context(), "127.0.0.1", port, false, time.Minute); err != nil {
		t.Errorf("opened: %v", err)
	}
	if late := time.Since(opened()); late > soon || late < 0 {
		t.Errorf("%s after it was opened", late)
	}
}

func TestWaitPortBadHost(t *testing.T) {
	t.Parallel()
	err := guest.WaitPort(t.Context(), "nestbox.invalid", 80, false, time.Second)
	timedOut(t, err, "nestbox.invalid")
	if err := guest.WaitPort(t.Context(), "127.0.0.1", 1<<20, true, time.Second); err != nil {
		t.Errorf("a port that can't exist is closed: %v", err)
	}
}

func TestWaitSocket(t *testing.T) {
	t.Parallel()
	for _, datagram := range []bool{false, true} {
		dir := shortDir(t)
		path := dir + "/s"
		err := guest.WaitSocket(t.Context(), path, datagram, 100*time.Millisecond)
		timedOut(t, err, "no such file")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		err = guest.WaitSocket(t.Context(), path, datagram, 100*time.Millisecond)
		timedOut(t, err, "connection refused")
		opened := later(t, func() error {
			if err := os.Remove(path); err != nil {
				return err
			}
			if datagram {
				l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
				t.Cleanup(func() { l.Close() })
				return err
			}
			l, err := net.Listen("unix", path)
			t.Cleanup(func() { l.Close() })
			return err
		})
		if err := guest.WaitSocket(t.Context(), path, datagram, time.Minute); err != nil {
			t.Errorf("datagram=%v: %v", datagram, err)
		}
		if late := time.Since(opened()); late > soon || late < 0 {
			t.Errorf("datagram=%v: %s after it was opened", datagram, late)
		}
		err = guest.WaitSocket(t.Context(), path, !datagram, 100*time.Millisecond)
		timedOut(t, err, "wrong type")
	}
}
