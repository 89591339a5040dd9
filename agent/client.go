package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"time"
)

// ErrGone is returned when the machine's agent can't be reached any more: the
// machine went down, or is on its way.
var ErrGone = errors.New("the machine's agent is gone")

// Failure is what a machine could not do, in its own words.
type Failure struct {
	Message string
	// TimedOut reports whether the bound given with the call ended it.
	TimedOut bool
}

func (f *Failure) Error() string { return f.Message }

// Client asks one machine's agent. It is safe for concurrent use: every call
// has a connection of its own.
type Client struct {
	// Dial connects to the agent.
	Dial func(ctx context.Context) (net.Conn, error)
}

// DialUnix returns a client of the agent that listens on the unix socket
// path.
func DialUnix(path string) *Client {
	return &Client{Dial: func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
}

// Ready waits until the machine's systemd answers and its login environment
// is taken, at most for timeout (0: without bound).
func (c *Client) Ready(ctx context.Context, timeout time.Duration) error {
	return c.wait(ctx, Request{Op: opReady}, timeout)
}

// Exec runs command in bash with the options -euo pipefail and copies its
// standard output to stdout until that is closed. The status is the command's
// own, 128+n if signal n ended it, 124 if it ran longer than timeout (0:
// without bound), in which case its process group has been killed.
func (c *Client) Exec(ctx context.Context, command string, timeout time.Duration, stdout io.Writer) (status int, err error) {
	res, err := c.call(ctx, Request{Op: opExec, Command: command}, timeout, nil, stdout)
	return res.Status, err
}

// Detach starts command and returns at once.
func (c *Client) Detach(ctx context.Context, command string) error {
	_, err := c.call(ctx, Request{Op: opExec, Command: command, Detach: true}, 0, nil, nil)
	return err
}

// Shell runs a login shell on a terminal of the machine until it ends. term is
// the type of the terminal at this end, windows its sizes as they change.
func (c *Client) Shell(ctx context.Context, term string, windows <-chan Window, stdin io.Reader, stdout io.Writer) (status int, err error) {
	conn, stop, err := c.begin(ctx, Request{Op: opShell, Term: term})
	if err != nil {
		return 0, err
	}
	defer stop()
	out := &lockedConn{Conn: conn}
	go sendInput(out, stdin)
	go func() {
		for w := range windows {
			if writeJSON(out, frameWindow, w) != nil {
				return
			}
		}
	}()
	res, err := readResult(ctx, conn, stdout)
	return res.Status, err
}

// Until repeats command until it succeeds, or with fails until it does not.
// stdout gets the output of the last try. If time runs out the error is a
// [Failure], and status and stdout are those of the last try that ended.
func (c *Client) Until(ctx context.Context, command string, fails bool, timeout time.Duration, stdout io.Writer) (status int, err error) {
	res, err := c.call(ctx, Request{Op: opUntil, Command: command, Fails: fails}, timeout, nil, stdout)
	return res.Status, err
}

// WaitUnit waits until a unit of the system, or of user's manager, is active.
func (c *Client) WaitUnit(ctx context.Context, unit, user string, timeout time.Duration) error {
	return c.wait(ctx, Request{Op: opUnit, Unit: unit, User: user}, timeout)
}

// WaitFile waits until path exists.
func (c *Client) WaitFile(ctx context.Context, path string, timeout time.Duration) error {
	return c.wait(ctx, Request{Op: opFile, Path: path}, timeout)
}

// WaitPort waits until TCP connections to address:port succeed as seen from
// the machine, or with closed, until they don't.
func (c *Client) WaitPort(ctx context.Context, address string, port int, closed bool, timeout time.Duration) error {
	return c.wait(ctx, Request{Op: opPort, Address: address, Port: port, Closed: closed}, timeout)
}

// WaitSocket waits until someone listens on a unix socket.
func (c *Client) WaitSocket(ctx context.Context, path string, datagram bool, timeout time.Duration) error {
	return c.wait(ctx, Request{Op: opSocket, Path: path, Datagram: datagram}, timeout)
}

// Fetch copies the file or directory source of the machine to target here.
func (c *Client) Fetch(ctx context.Context, source, target string) error {
	r, w := io.Pipe()
	unpacked := make(chan error, 1)
	go func() {
		err := receiveTree(target, "", r)
		if err == nil {
			_, err = io.Copy(io.Discard, r) // the archive's padding
		}
		r.CloseWithError(err)
		unpacked <- err
	}()
	_, err := c.call(ctx, Request{Op: opSend, Path: source}, 0, nil, w)
	w.CloseWithError(err)
	// The machine's own word is better than the broken stream it left.
	if unpackErr := <-unpacked; err == nil {
		err = unpackErr
	}
	return err
}

// Send copies the file or directory source here to target in the machine, or,
// if target is a directory there, into it, as cp -r does.
func (c *Client) Send(ctx context.Context, source, target string) error {
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := sendTree(source, w)
		w.CloseWithError(err)
		packed <- err
	}()
	_, err := c.call(ctx, Request{Op: opReceive, Path: target, Name: filepath.Base(source)}, 0, r, nil)
	r.CloseWithError(errNoMore)
	// What could not be read here is why the machine got no whole stream.
	if packErr := <-packed; packErr != nil && (err == nil || !errors.Is(packErr, errNoMore)) {
		err = packErr
	}
	return err
}

// errNoMore ends the reading of what the machine does not take any more.
var errNoMore = errors.New("the machine takes no more")

func (c *Client) wait(ctx context.Context, req Request, timeout time.Duration) error {
	_, err := c.call(ctx, req, timeout, nil, nil)
	return err
}

// call makes one call. input, if not nil, is sent along; output is written to
// out as it comes. The error is a *Failure if the machine answered that it
// could not, wraps ErrGone if it did not answer, or is ctx's cause.
func (c *Client) call(ctx context.Context, req Request, timeout time.Duration, input io.Reader, out io.Writer) (Result, error) {
	if timeout > 0 {
		req.TimeoutMS = max(1, timeout.Milliseconds())
	}
	conn, stop, err := c.begin(ctx, req)
	if err != nil {
		return Result{}, err
	}
	defer stop()
	if input != nil {
		go sendInput(conn, input)
	}
	return readResult(ctx, conn, out)
}

// begin connects and sends req. stop ends the call; ctx's end does too.
func (c *Client) begin(ctx context.Context, req Request) (conn net.Conn, stop func(), err error) {
	if conn, err = c.Dial(ctx); err != nil {
		return nil, nil, gone(ctx, err)
	}
	detach := context.AfterFunc(ctx, func() { conn.Close() })
	stop = func() { detach(); conn.Close() }
	if err := writeJSON(conn, frameRequest, req); err != nil {
		stop()
		if errors.Is(err, errTooLarge) {
			return nil, nil, err
		}
		return nil, nil, gone(ctx, err)
	}
	return conn, stop, nil
}

// lockedConn lets two goroutines write whole frames.
type lockedConn struct {
	net.Conn
	mu sync.Mutex
}

func (l *lockedConn) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Conn.Write(p)
}

func sendInput(conn net.Conn, input io.Reader) {
	buf := make([]byte, dataChunk)
	_, err := io.CopyBuffer(frameWriter{conn, frameInput}, onlyReader{input}, buf)
	if err == nil {
		_ = writeFrame(conn, frameEnd, nil)
		return
	}
	// An input cut short must not look complete, but the machine may have
	// answered already, with why it takes no more.
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	conn.Close()
}

func readResult(ctx context.Context, conn net.Conn, out io.Writer) (Result, error) {
	in := bufio.NewReader(conn)
	var buf []byte
	for {
		kind, body, err := readFrame(in, &buf)
		if err != nil {
			return Result{}, gone(ctx, err)
		}
		switch kind {
		case frameOutput:
			if out == nil {
				continue
			}
			if _, err := out.Write(body); err != nil {
				return Result{}, fmt.Errorf("passing on the machine's output: %w", err)
			}
		case frameResult:
			var res Result
			if err := json.Unmarshal(body, &res); err != nil {
				return Result{}, fmt.Errorf("decoding the agent's answer: %w", err)
			}
			if res.Failure != "" {
				return res, &Failure{Message: res.Failure, TimedOut: res.TimedOut}
			}
			return res, nil
		}
	}
}

func gone(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("%w: %w", ErrGone, err)
}
