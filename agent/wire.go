// Package agent is the small server that lives inside every machine, and its
// client.
//
// The server runs commands, waits for units, files and ports, and moves files;
// the driver asks it. Starting a command is a fork in the machine itself, not
// an nsenter from outside, which is why it takes a millisecond and not ten.
//
// One connection carries one call, so many calls at once need no multiplexing,
// the kernel does the flow control, and hanging up cancels the call (the
// processes of an abandoned command are killed). On the wire:
//
//	client                         server
//	  | -- 'Q' Request as JSON ----> |
//	  | -- 'I' input data ...      > |   only for calls that take input
//	  | -- 'E' end of input        > |
//	  | -- 'W' Window as JSON      > |   only for a shell
//	  | <- 'O' output data ...     - |
//	  | <- 'R' Result as JSON -----  |
//
// Each frame is one byte of kind, four bytes of length (big endian), and that
// many bytes.
package agent

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Frame kinds, see the package comment.
const (
	frameRequest = 'Q'
	frameInput   = 'I'
	frameEnd     = 'E'
	frameWindow  = 'W'
	frameOutput  = 'O'
	frameResult  = 'R'
)

// maxFrame bounds a frame's body, so that a broken peer can't make us
// allocate without end. Data is sent in pieces well below it.
const maxFrame = 64 << 20

// dataChunk is the size in which output and input are cut.
const dataChunk = 128 << 10

// Operations of a [Request].
const (
	opReady   = "ready"
	opExec    = "exec"
	opShell   = "shell"
	opUntil   = "until"
	opUnit    = "unit"
	opFile    = "file"
	opPort    = "port"
	opSocket  = "socket"
	opSend    = "send"
	opReceive = "receive"
)

// Request asks for one operation. Which fields mean something depends on Op.
type Request struct {
	Op string `json:"op"`
	// TimeoutMS bounds the operation, in milliseconds; 0 is no bound.
	TimeoutMS int64 `json:"timeout_ms,omitempty"`

	Command string `json:"command,omitempty"` // exec, until: given to bash
	Term    string `json:"term,omitempty"`    // shell: the terminal's type
	Fails   bool   `json:"fails,omitempty"`   // until: wait for failure instead
	Detach  bool   `json:"detach,omitempty"`  // exec: answer once it is started

	Unit string `json:"unit,omitempty"` // unit
	User string `json:"user,omitempty"` // unit: the user manager's owner

	Path     string `json:"path,omitempty"` // file, socket, send, receive
	Name     string `json:"name,omitempty"` // receive: the source's own name
	Datagram bool   `json:"datagram,omitempty"`

	Address string `json:"address,omitempty"` // port: host or IP
	Port    int    `json:"port,omitempty"`
	Closed  bool   `json:"closed,omitempty"` // port: wait until it is closed
}

// Window is the size of a terminal in characters.
type Window struct {
	Rows uint16 `json:"rows"`
	Cols uint16 `json:"cols"`
}

// Result ends a call.
type Result struct {
	// Status is a command's exit status; 124 if it ran out of time, as
	// timeout(1) has it.
	Status int `json:"status,omitempty"`
	// Failure says why the machine could not do what was asked; empty if it
	// did.
	Failure string `json:"failure,omitempty"`
	// TimedOut reports whether the bound of the request ended the call.
	TimedOut bool `json:"timed_out,omitempty"`
}

// errTooLarge is returned for what no frame holds.
var errTooLarge = fmt.Errorf("more than %d bytes", maxFrame)

func writeFrame(w io.Writer, kind byte, body []byte) error {
	if len(body) > maxFrame {
		return fmt.Errorf("writing frame %q of %d bytes: %w", kind, len(body), errTooLarge)
	}
	var head [5]byte
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(len(body)))
	// One write, so that frames of two writers don't mix; large ones have but
	// one writer.
	if len(body) <= 4096 {
		_, err := w.Write(append(head[:], body...))
		return err
	}
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}

func writeJSON(w io.Writer, kind byte, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding frame %q: %w", kind, err)
	}
	return writeFrame(w, kind, body)
}

// readFrame reads one frame into buf, which it grows as needed, and returns
// the body as a slice of it. The error is io.EOF only between frames.
func readFrame(r io.Reader, buf *[]byte) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size > maxFrame {
		return 0, nil, fmt.Errorf("reading frame %q of %d bytes: %w", head[0], size, errTooLarge)
	}
	if uint32(cap(*buf)) < size {
		*buf = make([]byte, size)
	}
	body = (*buf)[:size]
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, fmt.Errorf("reading frame %q: %w", head[0], noEOF(err))
	}
	return head[0], body, nil
}

// noEOF turns a clean end of stream into an unclean one.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// frameWriter sends everything written to it as frames of one kind.
type frameWriter struct {
	w    io.Writer
	kind byte
}

func (f frameWriter) Write(p []byte) (int, error) {
	for sent := 0; sent < len(p); {
		n := min(len(p)-sent, dataChunk)
		if err := writeFrame(f.w, f.kind, p[sent:sent+n]); err != nil {
			return sent, err
		}
		sent += n
	}
	return len(p), nil
}
