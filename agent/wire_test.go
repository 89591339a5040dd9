package agent

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

// frame encodes a frame by hand.
func frame(kind byte, size uint32, body string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, size), body...)
}

func TestFrames(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 4095, 4096, 4097, dataChunk, 1 << 20} {
		body := bytes.Repeat([]byte("\x00\xffab"), size/4+1)[:size]
		var wire bytes.Buffer
		if err := writeFrame(&wire, frameOutput, body); err != nil {
			t.Fatal(err)
		}
		if want := frame('O', uint32(size), string(body)); !bytes.Equal(wire.Bytes(), want) {
			t.Errorf("%d bytes are written as %.40q…", size, wire.Bytes())
		}
		var buf []byte
		kind, got, err := readFrame(&wire, &buf)
		if kind != frameOutput || !bytes.Equal(got, body) || err != nil {
			t.Errorf("%d bytes are read as %q %d bytes, %v", size, kind, len(got), err)
		}
		if _, _, err := readFrame(&wire, &buf); err != io.EOF { //nolint:errorlint // the very value is promised
			t.Errorf("behind the frame: %v, want io.EOF", err)
		}
	}
}

func TestTruncatedFrames(t *testing.T) {
	t.Parallel()
	whole := frame('R', 10, "0123456789")
	for n := 1; n < len(whole); n++ {
		var buf []byte
		if _, _, err := readFrame(bytes.NewReader(whole[:n]), &buf); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("of a frame cut after %d bytes: %v", n, err)
		}
	}
}

func TestOversizedFrames(t *testing.T) {
	t.Parallel()
	var buf []byte
	_, _, err := readFrame(bytes.NewReader(frame('I', maxFrame+1, "")), &buf)
	if !errors.Is(err, errTooLarge) || cap(buf) > 0 {
		t.Errorf("reading: %v, %d bytes allocated", err, cap(buf))
	}
	if err := writeFrame(io.Discard, frameInput, make([]byte, maxFrame+1)); !errors.Is(err, errTooLarge) {
		t.Errorf("writing: %v", err)
	}
	if err := writeFrame(io.Discard, frameInput, make([]byte, maxFrame)); err != nil {
		t.Errorf("writing the largest: %v", err)
	}
	// It is the caller's fault, not the machine's.
	_, err = guest.Exec(t.Context(), strings.Repeat("#", maxFrame+1), 0, nil)
	if !errors.Is(err, errTooLarge) || errors.Is(err, ErrGone) {
		t.Errorf("a command of 64 MiB: %v", err)
	}
}

// A buffer that is used again keeps nothing of the frame before.
func TestFrameBuffer(t *testing.T) {
	t.Parallel()
	wire := bytes.NewReader(append(frame('O', 6, "longer"), frame('O', 3, "new")...))
	var buf []byte
	for _, want := range []string{"longer", "new"} {
		if _, body, err := readFrame(wire, &buf); string(body) != want || err != nil {
			t.Errorf("read %q, %v, want %q", body, err, want)
		}
	}
}

func TestFrameWriter(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, dataChunk, dataChunk + 1, 3*dataChunk + 5} {
		data := bytes.Repeat([]byte("x"), size)
		var wire bytes.Buffer
		if n, err := (frameWriter{&wire, frameOutput}).Write(data); n != size || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
		var buf, got []byte
		frames := 0
		for {
			_, body, err := readFrame(&wire, &buf)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || len(body) > dataChunk {
				t.Fatalf("a piece of %d bytes, %v", len(body), err)
			}
			got = append(got, body...)
			frames++
		}
		if !bytes.Equal(got, data) || frames != (size+dataChunk-1)/dataChunk {
			t.Errorf("%d bytes arrive as %d in %d pieces", size, len(got), frames)
		}
	}
}

// brokenWriter fails after some bytes.
type brokenWriter struct{ left int }

func (b *brokenWriter) Write(p []byte) (int, error) {
	if len(p) > b.left {
		return 0, io.ErrClosedPipe
	}
	b.left -= len(p)
	return len(p), nil
}

func TestFrameWriterFails(t *testing.T) {
	t.Parallel()
	n, err := frameWriter{&brokenWriter{dataChunk + 5}, frameOutput}.Write(make([]byte, 2*dataChunk))
	if n != dataChunk || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Write = %d, %v, want %d and what broke", n, err, dataChunk)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(frame('Q', 2, "{}"))
	f.Add(frame('O', 0, ""))
	f.Add(frame('E', 1<<31, "much"))
	f.Add(append(frame('O', 3, "one"), frame('R', 9, "two")...))
	f.Fuzz(func(t *testing.T, wire []byte) {
		if len(wire) > 4 && binary.BigEndian.Uint32(wire[1:]) > 1<<20 {
			wire[1] = 0xff // spare the fuzzer the allocation of what may be
		}
		in := bufio.NewReader(bytes.NewReader(wire))
		var buf []byte
		var again bytes.Buffer
		for {
			kind, body, err := readFrame(in, &buf)
			if err != nil {
				break
			}
			if err := writeFrame(&again, kind, body); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(wire, again.Bytes()) {
			t.Errorf("%q is read and written again as %q", wire, again.Bytes())
		}
	})
}
