package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// soon is what may pass on a busy machine until something that should happen
// at once has happened.
const soon = 5 * time.Second

func TestOutputBytes(t *testing.T) {
	t.Parallel()
	all := make([]byte, 3*256)
	for i := range all {
		all[i] = byte(i)
	}
	file := filepath.Join(t.TempDir(), "bytes")
	for name, content := range map[string][]byte{
		"nothing": nil, "every byte": all, "NULs": make([]byte, 10000), "no UTF-8": []byte("\xff\xfe\xc3("), "no final newline": []byte("a\nb"),
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		out, status := run(t, "cat "+file, time.Minute)
		if out != string(content) || status != 0 {
			t.Errorf("%s: %q with status %d, want %q", name, out, status, content)
		}
	}
}

func TestLargeOutput(t *testing.T) {
	t.Parallel()
	const size = 64<<20 + 7
	file := filepath.Join(t.TempDir(), "large")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	want := sha256.New()
	source := rand.NewChaCha8([32]byte{1})
	if _, err := io.Copy(io.MultiWriter(f, want), io.LimitReader(source, size)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got := sha256.New()
	status, err := guest.Exec(t.Context(), "cat "+file, time.Minute, got)
	if status != 0 || err != nil || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Errorf("64 MiB arrive with status %d, %v, as sha256 %x, want %x", status, err, got.Sum(nil), want.Sum(nil))
	}
}

// A reader that is slow holds the command up; nothing is lost.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := guest.Exec(t.Context(), "seq 1 300000", time.Minute, w)
		w.Close()
		ended <- err
	}()
	time.Sleep(300 * time.Millisecond)
	select {
	case err := <-ended:
		t.Fatalf("it ended before anybody read: %v", err)
	default:
	}
	out, err := io.ReadAll(r)
	if err != nil || !strings.HasSuffix(string(out), "\n299999\n300000\n") || strings.Count(string(out), "\n") != 300000 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// The command's end counts, not only that of its output.
func TestClosedOutput(t *testing.T) {
	t.Parallel()
	started := time.Now()
	out, status := run(t, "echo a; exec >&-; sleep 0.3; exit 5", time.Minute)
	if out != "a\n" || status != 5 || time.Since(started) < 300*time.Millisecond {
		t.Errorf("output %q, status %d after %s", out, status, time.Since(started))
	}
}

// The output's end counts, not only that of the command.
func TestOpenOutput(t *testing.T) {
	t.Parallel()
	out, status := run(t, "(sleep 0.3; echo b) & echo a; exit 5", time.Minute)
	if out != "a\nb\n" || status != 5 {
		t.Errorf("output %q, status %d", out, status)
	}
}

// A service that does not hold the output stays when its command has ended.
func TestBackground(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	started := time.Now()
	_, status := run(t, "sleep 40 >/dev/null 2>&1 & echo $! > "+file, time.Minute)
	if status != 0 || time.Since(started) > soon {
		t.Errorf("status %d after %s", status, time.Since(started))
	}
	time.Sleep(100 * time.Millisecond)
	if pid := pids(t, file, 1)[0]; isZombie(pid) {
		t.Error("it was killed")
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, command, out string
		survives           bool // as it left the process group
	}{
		{"simple", "echo $$ > PIDS; echo a; sleep 41; echo b", "a\n", false},
		{"exec", "echo $$ > PIDS; exec sleep 41", "", false},
		{"group", "echo $$ > PIDS; for i in 1 2 3; do sleep 41 & echo $! >> PIDS; done; echo a; wait", "a\n", false},
		{"background", "sleep 41 & echo $! > PIDS; echo a", "a\n", false},
		{"ignoring SIGTERM", "trap '' TERM; echo $$ > PIDS; sleep 41 & echo $! >> PIDS; echo a; wait; wait", "a\n", false},
		{"child ignores SIGTERM", "echo $$ > PIDS; (trap '' TERM; sleep 41 & echo $! >> PIDS; wait) & echo a; wait", "a\n", false},
		{"ignoring, output closed", "echo $$ > PIDS; (trap '' TERM; exec sleep 41 >/dev/null) & echo $! >> PIDS; echo a; wait", "a\n", false},
		{"stopped", "echo $$ > PIDS; echo a; kill -STOP $$", "a\n", false},
		{"other session", "setsid sh -c 'echo $$ > PIDS; exec sleep 41' & echo a; until [ -s PIDS ]; do sleep 0.01; done", "a\n", true},
		{"pipeline", "echo $$ > PIDS; yes | sleep 41", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pids")
			const timeout = time.Second
			var out bytes.Buffer
			started := time.Now()
			status, err := guest.Exec(t.Context(), strings.ReplaceAll(test.command, "PIDS", file), timeout, &out)
			took := time.Since(started)
			list := pids(t, file, 1)
			if status != statusTimeout || err != nil || out.String() != test.out {
				t.Errorf("status %d, %v, output %q, want %d and %q", status, err, out.String(), statusTimeout, test.out)
			}
			if took < timeout || took > timeout+soon {
				t.Errorf("it took %s", took)
			}
			if test.survives {
				if isZombie(list[0]) {
					t.Error("a process that left the group was killed")
				}
				return
			}
			allDead(t, list)
		})
	}
}

// What reacts to SIGTERM gets the time for it.
func TestGrace(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	status, err := guest.Exec(t.Context(), "trap 'sleep 0.1; echo cleaned up; exit 3' TERM; echo a; while :; do sleep 0.05; done", time.Second, &out)
	if status != statusTimeout || err != nil || out.String() != "a\ncleaned up\n" {
		t.Errorf("status %d, %v, output %q", status, err, out.String())
	}
}

// A bound that is not reached changes nothing.
func TestInTime(t *testing.T) {
	t.Parallel()
	if out, status := run(t, "echo a; exit 124", time.Minute); out != "a\n" || status != 124 {
		t.Errorf("output %q, status %d", out, status)
	}
}

func TestConcurrentCommands(t *testing.T) {
	t.Parallel()
	const calls = 20
	started := time.Now()
	var wait sync.WaitGroup
	for i := range calls {
		wait.Go(func() {
			var out bytes.Buffer
			status, err := guest.Exec(t.Context(), fmt.Sprintf("sleep 1; echo %d; exit %d", i, i), time.Minute, &out)
			if status != i || err != nil || out.String() != fmt.Sprintln(i) {
				t.Errorf("call %d: status %d, %v, output %q", i, status, err, out.String())
			}
		})
	}
	wait.Wait()
	if took := time.Since(started); took > calls*time.Second/2 {
		t.Errorf("%d calls of a second each took %s", calls, took)
	}
}

func TestHangUpKills(t *testing.T) {
	t.Parallel()
	for _, command := range []string{
		"echo $$ > PIDS; sleep 42", "trap '' TERM HUP; sleep 42 & echo $$ $! > PIDS; wait; wait",
	} {
		file := filepath.Join(t.TempDir(), "pids")
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("not wanted any more")
		ended := make(chan error, 1)
		go func() {
			_, err := guest.Exec(ctx, strings.ReplaceAll(command, "PIDS", file), 0, io.Discard)
			ended <- err
		}()
		list := pids(t, file, 1)
		cancel(reason)
		if err := <-ended; !errors.Is(err, reason) {
			t.Errorf("Exec = %v", err)
		}
		allDead(t, list)
	}
}

func TestDetach(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "done")
	started := time.Now()
	// More output than a pipe holds must not stop it.
	if err := guest.Detach(t.Context(), "sleep 0.5; head -c 1000000 /dev/zero; echo done > "+file); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Errorf("the command ended before Detach did, after %s", time.Since(started))
	}
	eventually(t, file, func() bool {
		data, _ := os.ReadFile(file)
		return string(data) == "done\n"
	})
}

func TestUntil(t *testing.T) {
	t.Parallel()
	const count = `n=$(cat N 2>/dev/null || echo 0); echo $((n + 1)) > N; echo try $n; [ $n -ge 3 ]`
	for _, fails := range []bool{false, true} {
		file := filepath.Join(t.TempDir(), "n")
		command, want := strings.ReplaceAll(count, "N", file), 0
		if fails {
			command, want = strings.ReplaceAll(command, "[ $n -ge 3 ]", "[ $n -lt 3 ] || exit 7"), 7
		}
		var out bytes.Buffer
		status, err := guest.Until(t.Context(), command, fails, time.Minute, &out)
		if status != want || err != nil || out.String() != "try 3\n" {
			t.Errorf("fails=%v: status %d, %v, output %q", fails, status, err, out.String())
		}
		if data, _ := os.ReadFile(file); string(data) != "4\n" {
			t.Errorf("fails=%v: %s tries", fails, data)
		}
	}
}

func TestUntilTimeout(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	status, err := guest.Until(t.Context(), "echo try; exit 6", false, time.Second, &out)
	timedOut(t, err, "exit status 6")
	if status != 6 || out.String() != "try\n" {
		t.Errorf("status %d, output %q, want those of the last try", status, out.String())
	}
	status, err = guest.Until(t.Context(), "exit 0", true, 300*time.Millisecond, nil)
	timedOut(t, err, "exit status 0")
	if status != 0 {
		t.Errorf("status %d", status)
	}
	file := filepath.Join(t.TempDir(), "pids")
	out.Reset()
	status, err = guest.Until(t.Context(), "echo $$ > "+file+"; echo a; sleep 43", false, 500*time.Millisecond, &out)
	timedOut(t, err, "still ran")
	if status != statusTimeout || out.String() != "a\n" {
		t.Errorf("of a try that hangs: status %d, output %q", status, out.String())
	}
	allDead(t, pids(t, file, 1))
}

func TestUntilHangUp(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pids")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := guest.Until(ctx, "echo $$ > "+file+"; sleep 44", false, 0, nil)
		ended <- err
	}()
	list := pids(t, file, 1)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Until = %v", err)
	}
	allDead(t, list)
}

func TestCapped(t *testing.T) {
	t.Parallel()
	var c capped
	piece := make([]byte, maxKept/4+1)
	for range 5 {
		if n, err := c.Write(piece); n != len(piece) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if len(c.data) != maxKept {
		t.Errorf("%d bytes kept", len(c.data))
	}
	c.reset()
	if _, _ = c.Write([]byte("new")); string(c.data) != "new" {
		t.Errorf("kept %.10q", c.data)
	}
}
