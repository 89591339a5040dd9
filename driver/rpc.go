package driver

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/nestbox/nestbox/agent"
	"github.com/nestbox/nestbox/report"
)

// maxRequest bounds a request line of the script's side: commands can be
// long, but not endless.
const maxRequest = 256 << 20

// server answers the script's side: one connection for each of its threads,
// one call at a time on each. docs/protocol.md has the format.
type server struct {
	d     *Driver
	path  string
	l     net.Listener
	conns sync.WaitGroup
	ctx   context.Context
	stop  context.CancelFunc

	methods struct{ test, machine map[string]method }
}

// listen starts to answer.
func (d *Driver) listen(ctx context.Context) (*server, error) {
	path := filepath.Join(d.runDir, "rpc")
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening for the test script: %w", err)
	}
	s := &server{d: d, path: path, l: l}
	s.methods.test, s.methods.machine = testMethods(), machineMethods()
	// Calls end with the script, or with close, not with ctx: a script that is
	// to be ended should not first see its calls fail.
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.conns.Go(func() { s.serve(conn) })
		}
	})
	return s, nil
}

// close hangs up and waits for the calls to end.
func (s *server) close() error {
	s.stop()
	err := s.l.Close()
	s.conns.Wait()
	return err
}

// request is one line of the script's side.
type request struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Notify bool            `json:"notify"`
}

type errorBody struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

// Kinds of errors, by which the script's side chooses the exception.
const (
	kindAssertion   = "assertion"
	kindMachine     = "machine"
	kindValue       = "value"
	kindUnsupported = "unsupported"
)

// callError is an error with a kind of its own.
type callError struct {
	kind string
	err  error
}

func (e *callError) Error() string { return e.err.Error() }
func (e *callError) Unwrap() error { return e.err }

func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	for line := range requests(ctx, cancel, conn) {
		var req request
		if err := json.Unmarshal(line, &req); err != nil {
			s.d.log(report.Error, "", fmt.Sprintf("the script's side sent a malformed request: %v", err))
			return
		}
		result, err := s.dispatch(ctx, req, chunks{conn})
		if req.Notify {
			continue
		}
		if writeReply(conn, result, err) != nil {
			return
		}
	}
}

// requests yields the lines that come over conn. It reads ahead of the call
// under way, so that a hang-up, which ends ctx, is noticed at once.
func requests(ctx context.Context, hungUp func(), conn io.Reader) <-chan []byte {
	lines := make(chan []byte)
	go func() {
		defer close(lines)
		defer hungUp()
		in := bufio.NewReaderSize(conn, 64<<10)
		for {
			line, err := readLine(in, maxRequest)
			if err != nil {
				return
			}
			select {
			case lines <- line:
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

// readLine reads one line, of at most about so many bytes, into memory of its
// own.
func readLine(in *bufio.Reader, most int) ([]byte, error) {
	var whole []byte
	for {
		line, err := in.ReadSlice('\n')
		whole = append(whole, line...)
		if !errors.Is(err, bufio.ErrBufferFull) || len(whole) >= most {
			return whole, err
		}
	}
}

func writeReply(w io.Writer, result any, err error) error {
	reply := map[string]any{"result": result}
	if err != nil {
		reply = map[string]any{"error": errorBody{Kind: errorKind(err), Message: err.Error()}}
	}
	data, err := json.Marshal(reply)
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

func errorKind(err error) string {
	var call *callError
	var failed *agent.Failure
	switch {
	case errors.As(err, &call):
		return call.kind
	case errors.As(err, &failed):
		return kindAssertion
	default:
		return kindMachine
	}
}

// chunks sends output ahead of a reply, each piece behind a line that gives
// its length.
type chunks struct{ w io.Writer }

func (c chunks) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	head := strconv.AppendInt([]byte(`{"chunk":`), int64(len(p)), 10)
	head = append(head, '}', '\n')
	if len(p) <= 8<<10 {
		head = append(head, p...)
		_, err := c.w.Write(head)
		return len(p), err
	}
	if _, err := c.w.Write(head); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}
