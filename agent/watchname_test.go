package agent

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWatchName(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	events, stop := watchName(t.Context(), dir, "wanted")
	defer stop()
	for _, name := range []string{"other", "wanted2", "Wanted", strings.Repeat("x", 255)} {
		if err := os.Symlink("x", dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-events:
		t.Error("another name was taken for it")
	case <-time.After(100 * time.Millisecond):
	}
	for _, act := range []func() error{
		func() error { return os.Symlink("x", dir+"/wanted") },
		func() error { return os.Rename(dir+"/other", dir+"/wanted") },
	} {
		if err := act(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-events:
		case <-time.After(soon):
			t.Error("its appearance went unnoticed")
		}
	}
}

func TestWatchNameNowhere(t *testing.T) {
	t.Parallel()
	events, stop := watchName(t.Context(), "/nowhere", "x")
	defer stop()
	select {
	case <-events:
		t.Error("something happened nowhere")
	default:
	}
}

// inotifyEvent encodes an event as the kernel does, the name filled up.
func inotifyEvent(mask uint32, name string) []byte {
	var b []byte
	for _, v := range []uint32{1, mask, 0, uint32(len(name))} {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	return append(b, name...)
}

func TestHasName(t *testing.T) {
	t.Parallel()
	a := inotifyEvent(unix.IN_CREATE, "a\x00\x00\x00")
	b := inotifyEvent(unix.IN_CREATE, "b\x00\x00\x00")
	lost := inotifyEvent(unix.IN_Q_OVERFLOW, "")
	for _, test := range []struct {
		buf  []byte
		want bool
	}{
		{nil, false},
		{a, true},
		{b, false},
		{bytes.Join([][]byte{b, b, a}, nil), true},
		{bytes.Join([][]byte{b, lost}, nil), true},
		{a[:len(a)-1], false},
		{a[:8], false},
		{inotifyEvent(unix.IN_IGNORED, ""), false},
	} {
		if got := hasName(test.buf, "a"); got != test.want {
			t.Errorf("hasName(%q) = %v", test.buf, got)
		}
	}
}
