package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nestbox/nestbox/internal/testenv"
)

func TestShell(t *testing.T) {
	t.Parallel()
	testenv.RequireRoot(t) // a login shell starts in /root
	windows := make(chan Window, 2)
	windows <- Window{Rows: 24, Cols: 80}
	windows <- Window{Rows: 40, Cols: 123}
	close(windows)
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	status, err := guest.Shell(ctx, "xterm-nestbox", windows, strings.NewReader(
		`until [ "$(stty size)" = "40 123" ]; do sleep 0.02; done; echo "<$TERM> <$0> <$PWD> <$HOME>"; [ -t 0 ] && [ -t 2 ] && exit 3`+"\n"), &out)
	if status != 3 || err != nil || !strings.Contains(out.String(), "<xterm-nestbox> <-bash> </root> </root>\r\n") {
		t.Errorf("Shell = %d, %v, output %q", status, err, out.String())
	}
}

// The end of input ends the shell, as Ctrl-D does.
func TestShellEndOfInput(t *testing.T) {
	t.Parallel()
	testenv.RequireRoot(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	windows := make(chan Window)
	close(windows)
	var out bytes.Buffer
	status, err := guest.Shell(ctx, "dumb", windows, strings.NewReader("(exit 4)\n"), &out)
	if status != 4 || err != nil {
		t.Errorf("Shell = %d, %v, output %q", status, err, out.String())
	}
}

func TestShellHangUp(t *testing.T) {
	t.Parallel()
	testenv.RequireRoot(t)
	file := filepath.Join(t.TempDir(), "pids")
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	defer w.Close()
	windows := make(chan Window)
	close(windows)
	ended := make(chan error, 1)
	go func() {
		_, err := guest.Shell(ctx, "dumb", windows, r, io.Discard)
		ended <- err
	}()
	if _, err := io.WriteString(w, "echo $$ > "+file+"\n"); err != nil {
		t.Fatal(err)
	}
	list := pids(t, file, 1)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Shell = %v", err)
	}
	allDead(t, list)
}
