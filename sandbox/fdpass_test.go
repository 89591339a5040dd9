package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReceiveFile(t *testing.T) {
	t.Parallel()
	here, there, err := socketPair("console")
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	check(t, "sending", unix.Sendmsg(int(there.Fd()), []byte("/dev/ptmx"), unix.UnixRights(int(r.Fd())), nil, 0))
	r.Close()
	f, err := receiveFile(here, "console of web")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Name() != "console of web" {
		t.Errorf("it is called %q", f.Name())
	}
	// Go's poller serves it: a reader is woken by Close.
	ended := make(chan error, 1)
	buf := make([]byte, 10)
	if _, err := w.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Read(buf); string(buf[:n]) != "hello" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	go func() {
		_, err := f.Read(buf)
		ended <- err
	}()
	f.Close()
	if err := <-ended; err == nil {
		t.Error("reading goes on after Close")
	}

	// A message without a file, one with a bad descriptor, and the end.
	check(t, "sending", unix.Sendmsg(int(there.Fd()), []byte("nothing"), nil, nil, 0))
	_, err = receiveFile(here, "")
	check(t, "no file", err, "receiving a file: the message holds none")
	there.Close()
	_, err = receiveFile(here, "")
	check(t, "hung up", err, "receiving a file: the message holds none")
	here.Close()
	_, err = receiveFile(here, "")
	check(t, "closed", err, "receiving a file: ")
}

// What else comes with a message is not left open.
func TestReceiveTwoFiles(t *testing.T) {
	t.Parallel()
	here, there, err := socketPair("console")
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	defer there.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	check(t, "sending", unix.Sendmsg(int(there.Fd()), []byte("x"), unix.UnixRights(int(r.Fd()), int(w.Fd())), nil, 0))
	w.Close()
	f, err := receiveFile(here, "console")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	// With the last write end gone there is the end of file.
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(r.Fd()), Events: unix.POLLIN}}, 1000); n != 1 || err != nil {
		t.Errorf("the second file is still open somewhere: %d, %v", n, err)
	}
}

func TestSocketPair(t *testing.T) {
	t.Parallel()
	here, there, err := socketPair("console")
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	defer there.Close()
	for _, f := range []*os.File{here, there} {
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("flags %#x, %v: machines would inherit it", flags, err)
		}
	}
	if _, err := here.WriteString("x"); err != nil {
		t.Error(err)
	}
	buf := make([]byte, 1)
	if n, err := there.Read(buf); n != 1 || buf[0] != 'x' {
		t.Errorf("read %q, %v", buf[:n], err)
	}
}

func TestNewRuntime(t *testing.T) {
	t.Parallel()
	dir, inside := private(t)
	if !inside {
		return
	}
	r, err := NewRuntime(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r.ignoreSetID {
		t.Error("setuid bits are thought to be refused")
	}
	want, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/proc/self/fd/%d", r.self.Fd())
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the sealed program differs (%v)", err)
	}
	if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
		f.Close()
		t.Error("the sealed program can be written")
	}
	check(t, "Close", r.Close())
	_, err = NewRuntime(dir + "/nowhere")
	check(t, "nowhere", err, "no such file")
}
