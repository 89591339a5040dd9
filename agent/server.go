package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Server answers the calls of one machine's driver.
type Server struct {
	shell *shell
	units *unitWatcher
}

// NewServer returns a server for the machine that the process runs in.
func NewServer() *Server {
	return &Server{shell: newShell(), units: &unitWatcher{}}
}

// Serve answers calls on l until l is closed. It returns the error that ended
// accepting; connections still open go on until they end by themselves.
func (s *Server) Serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go s.handle(conn)
	}
}

// errHungUp is the cause of a call's end when the client closed its side.
var errHungUp = errors.New("the client hung up")

// errTimeUp is the cause of a call's end when its own bound passed.
var errTimeUp = errors.New("timed out")

func (s *Server) handle(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	var buf []byte
	kind, body, err := readFrame(in, &buf)
	if err != nil || kind != frameRequest {
		return
	}
	var req Request
	if err := json.Unmarshal(body, &req); err != nil {
		_ = writeJSON(conn, frameResult, Result{Failure: fmt.Sprintf("decoding the request: %v", err)})
		return
	}

	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	if req.TimeoutMS > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, time.Duration(req.TimeoutMS)*time.Millisecond, errTimeUp)
		defer stop()
	}
	data, feed := io.Pipe()
	defer data.Close()
	input := input{Reader: data, windows: make(chan Window, 1)}
	go func() {
		cancel(readInput(in, feed, input.windows))
	}()

	res := s.call(ctx, req, input, frameWriter{conn, frameOutput})
	_ = writeJSON(conn, frameResult, res)
}

// input is what the client sends during a call.
type input struct {
	io.Reader
	windows chan Window // the latest size of the client's terminal
}

// readInput hands the client's input frames to feed and windows, and returns
// when the client has hung up.
func readInput(in io.Reader, feed *io.PipeWriter, windows chan Window) error {
	var buf []byte
	for {
		kind, body, err := readFrame(in, &buf)
		switch {
		case err != nil:
			feed.CloseWithError(io.ErrUnexpectedEOF)
			return errHungUp
		case kind == frameInput:
			// A call that does not take input closes its end: drop the data,
			// but keep reading, to notice the hang-up.
			_, _ = feed.Write(body)
		case kind == frameEnd:
			feed.Close()
		case kind == frameWindow:
			var w Window
			if json.Unmarshal(body, &w) == nil {
				select {
				case <-windows: // an older size that nobody took
				default:
				}
				windows <- w
			}
		}
	}
}

func (s *Server) call(ctx context.Context, req Request, in input, out io.Writer) Result {
	switch req.Op {
	case opReady:
		return failure(ctx, s.shell.ready(ctx))
	case opExec:
		return s.shell.exec(ctx, req, out)
	case opShell:
		return s.shell.interact(ctx, req, in, out)
	case opUntil:
		return s.shell.until(ctx, req, out)
	case opUnit:
		return failure(ctx, s.units.wait(ctx, req.Unit, req.User))
	case opFile:
		return failure(ctx, waitFile(ctx, req.Path))
	case opPort:
		return failure(ctx, waitPort(ctx, req.Address, req.Port, req.Closed))
	case opSocket:
		return failure(ctx, waitSocket(ctx, req.Path, req.Datagram))
	case opSend:
		return failure(ctx, sendTree(req.Path, out))
	case opReceive:
		return failure(ctx, receiveTree(req.Path, req.Name, in))
	default:
		return Result{Failure: fmt.Sprintf("unknown operation %q", req.Op)}
	}
}

// failure makes a Result of an operation's error. err should say what was
// last seen; that the time is up is added here.
func failure(ctx context.Context, err error) Result {
	if err == nil {
		return Result{}
	}
	return Result{Failure: err.Error(), TimedOut: errors.Is(context.Cause(ctx), errTimeUp)}
}
