package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// talk sends bytes to the server as they are and returns its whole answer.
func talk(t *testing.T, wire []byte) (Result, error) {
	t.Helper()
	conn, err := guest.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(wire); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	return readResult(t.Context(), conn, nil)
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	for name, wire := range map[string][]byte{
		"nothing":          nil,
		"half a head":      []byte("Q\x00"),
		"half a body":      frame('Q', 100, "{"),
		"another kind":     frame('O', 2, "{}"),
		"too much":         frame('Q', maxFrame+1, ""),
		"an HTTP request ": []byte("GET / HTTP/1.0\r\n\r\n"),
	} {
		if res, err := talk(t, wire); !errors.Is(err, ErrGone) || res != (Result{}) {
			t.Errorf("%s: %+v, %v, want a hang-up", name, res, err)
		}
	}
	for body, mentions := range map[string]string{
		"{":               "decoding the request",
		`{"op":7}`:        "decoding the request",
		`{"op":"format"}`: `unknown operation "format"`,
		`{}`:              `unknown operation ""`,
	} {
		_, err := talk(t, frame('Q', uint32(len(body)), body))
		failed(t, err, mentions)
	}
	if out, status := run(t, "echo still there", time.Minute); out != "still there\n" || status != 0 {
		t.Errorf("afterwards: %q, %d", out, status)
	}
}

// Input for a call that takes none, and frames of no known kind, do no harm.
func TestUnexpectedInput(t *testing.T) {
	t.Parallel()
	conn, err := guest.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := writeJSON(conn, frameRequest, Request{Op: opExec, Command: "sleep 0.2; echo a"}); err != nil {
		t.Fatal(err)
	}
	for _, wire := range [][]byte{
		frame('?', 3, "who"), frame('W', 1, "{"), frame('W', 10, `{"rows":1}`), frame('W', 10, `{"rows":2}`),
		frame('I', 4, "data"), frame('E', 0, ""),
	} {
		if _, err := conn.Write(wire); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	if res, err := readResult(t.Context(), conn, &out); err != nil || res != (Result{}) || out.String() != "a\n" {
		t.Errorf("%+v, %v, output %q", res, err, out.String())
	}
}

// answer makes a client whose machine says just these bytes.
func answer(t *testing.T, wire []byte) *Client {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close(); there.Close() })
	go func() {
		go func() { _, _ = io.Copy(io.Discard, there) }()
		_, _ = there.Write(wire)
		there.Close()
	}()
	return &Client{Dial: func(context.Context) (net.Conn, error) { return here, nil }}
}

func TestBadAnswers(t *testing.T) {
	t.Parallel()
	result, err := json.Marshal(Result{Status: 5})
	if err != nil {
		t.Fatal(err)
	}
	good := frame('R', uint32(len(result)), string(result))
	for name, test := range map[string]struct {
		wire []byte
		gone bool
	}{
		"good":         {append(frame('O', 1, "a"), good...), false},
		"unknown kind": {append(frame('?', 1, "a"), good...), false},
		"nothing":      {nil, true},
		"cut off":      {frame('O', 10, "a"), true},
		"too large":    {frame('O', maxFrame+1, "a"), true},
	} {
		status, err := answer(t, test.wire).Exec(t.Context(), "true", 0, io.Discard)
		switch {
		case test.gone && !errors.Is(err, ErrGone):
			t.Errorf("%s: %v, want that it is gone", name, err)
		case !test.gone && (err != nil || status != 5):
			t.Errorf("%s: %d, %v", name, status, err)
		}
	}
	if _, err := answer(t, frame('R', 1, "{")).Exec(t.Context(), "true", 0, nil); err == nil || !strings.HasPrefix(err.Error(), "decoding the agent's answer: ") {
		t.Errorf("broken result: %v", err)
	}
}

// A reader of the output that fails ends the call.
func TestOutputNobodyTakes(t *testing.T) {
	t.Parallel()
	_, err := guest.Exec(t.Context(), "echo a; sleep 30", time.Minute, &brokenWriter{})
	if !errors.Is(err, io.ErrClosedPipe) || !strings.HasPrefix(err.Error(), "passing on the machine's output: ") {
		t.Errorf("Exec = %v", err)
	}
}
