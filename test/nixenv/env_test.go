package nixenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nestbox/nestbox/internal/testenv"
)

// TestMain shares one daemon among the tests that don't end theirs.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var shared Lazy

// deadline bounds everything that a test waits for.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// nonce makes a build one that was never built before.
func nonce(t *testing.T) string {
	return fmt.Sprintf("%s %d", t.Name(), time.Now().UnixNano())
}

func addDebian(ctx context.Context, t *testing.T, env *Env) string {
	t.Helper()
	tree := filepath.Join(testenv.Repo(t), ".cache", "debian-guest")
	if _, err := os.Stat(tree); err != nil {
		t.Fatalf("%v; make it with: make nix-root", err)
	}
	path, err := env.AddPath(ctx, "debian", tree)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// probe builds testdata/probe.nix with the given script.
func probe(ctx context.Context, t *testing.T, env *Env, script string) Result {
	t.Helper()
	return env.Build(ctx, "testdata/probe.nix", "ranged", map[string]string{
		"debian": addDebian(ctx, t, env), "script": script, "nonce": nonce(t),
	})
}

// TestSandbox holds the daemon to what container tests need of it.
func TestSandbox(t *testing.T) {
	env, ctx := shared.Get(t), deadline(t)
	result := probe(ctx, t, env, `
		echo "map:" $(cat /proc/self/uid_map)
		echo "uid:" $(id -u)
		grep -E '^(NoNewPrivs|Seccomp_filters):' /proc/self/status
		grep '^0::' /proc/self/cgroup
		ls /sys/fs/cgroup | sed 's/^/cgroup: /'
		ls /sys/class/net | sed 's/^/link: /'
		echo "dev:" $(ls /dev)
		mount -t cgroup2 cgroup2 /sys/fs/cgroup && mkdir /sys/fs/cgroup/leaf && echo delegated
		mkdir $out; echo made >$out/file`)
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	for _, want := range []string{
		`(?m)^map: 0 \d{9,} 65536$`, // a map of its own: Nix made a user namespace
		`(?m)^uid: 0$`,
		`(?m)^NoNewPrivs:\s+1$`,
		`(?m)^Seccomp_filters:\s+1$`,
		`(?m)^0::/$`,
		`(?m)^link: lo$`,
		`(?m)^dev: fd full (kvm )?null ptmx pts random shm stderr stdin stdout tty urandom zero$`,
		`(?m)^delegated$`,
	} {
		if !regexp.MustCompile(want).MatchString(result.Log) {
			t.Errorf("no %q in the log of the build:\n%s", want, result.Log)
		}
	}
	for _, unwanted := range []string{"cgroup: ", "link: eth"} {
		if strings.Contains(result.Log, unwanted) {
			t.Errorf("%q in the log of the build:\n%s", unwanted, result.Log)
		}
	}
	if got, err := os.ReadFile(filepath.Join(result.HostPath, "file")); err != nil || string(got) != "made\n" {
		t.Errorf("reading the result from the host: %q, %v", got, err)
	}
	if result.ExitCode != 0 || !strings.HasPrefix(result.OutPath, "/nix/store/") || result.Duration <= 0 {
		t.Errorf("result: %+v", result)
	}
}

func TestFailingBuild(t *testing.T) {
	env, ctx := shared.Get(t), deadline(t)
	result := probe(ctx, t, env, "echo it went wrong; exit 7")
	if result.Err == nil || result.ExitCode == 0 || result.OutPath != "" {
		t.Fatalf("a failing build gives %+v", result)
	}
	if !strings.Contains(result.Log, "it went wrong") || !strings.Contains(result.Err.Error(), "it went wrong") {
		t.Errorf("what the builder wrote is missing; log:\n%s\nerror: %v", result.Log, result.Err)
	}
}

// TestTwoBuildsAtOnce proves that they run at the same time: the clocks of
// both builds overlap.
func TestTwoBuildsAtOnce(t *testing.T) {
	env, ctx := shared.Get(t), deadline(t)
	addDebian(ctx, t, env)
	var results [2]Result
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() {
			results[i] = probe(ctx, t, env, `
				read -r up idle </proc/uptime; echo "start $up"
				sleep 1
				read -r up idle </proc/uptime; echo "end $up"
				echo $$ >$out`)
		})
	}
	group.Wait()
	var start, end [2]float64
	for i, result := range results {
		if result.Err != nil {
			t.Fatal(result.Err)
		}
		found := regexp.MustCompile(`(?s)start ([0-9.]+)\n.*end ([0-9.]+)\n`).FindStringSubmatch(result.Log)
		if found == nil {
			t.Fatalf("no times in:\n%s", result.Log)
		}
		start[i], _ = strconv.ParseFloat(found[1], 64)
		end[i], _ = strconv.ParseFloat(found[2], 64)
	}
	if start[0] > end[1] || start[1] > end[0] {
		t.Errorf("the builds ran one after the other: %v to %v", start, end)
	}
}

// TestCancelledBuild: the builder ends with its context, not when it pleases.
func TestCancelledBuild(t *testing.T) {
	env, ctx := shared.Get(t), deadline(t)
	cause := errors.New("enough")
	building, cancel := context.WithCancelCause(ctx)
	mark := nonce(t)
	go func() {
		// The builder's command line holds the script, and the mark in it.
		_ = env.poll(ctx, "waiting for the builder", func() error {
			if len(processesWith(mark+" builder")) == 0 {
				return errors.New("not there")
			}
			return nil
		})
		cancel(cause)
	}()
	result := probe(building, t, env, ": "+mark+" builder; while :; do sleep 1; done")
	if !errors.Is(result.Err, cause) || result.ExitCode != -1 {
		t.Errorf("a cancelled build gives exit code %d, error %v", result.ExitCode, result.Err)
	}
	if err := env.poll(ctx, "waiting for the builder's end", func() error {
		if left := processesWith(mark + " builder; while"); len(left) != 0 {
			return fmt.Errorf("processes %v are left", left)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// processesWith lists the processes in whose command line text occurs.
func processesWith(text string) []string {
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		data, err := os.ReadFile(file)
		line := strings.ReplaceAll(string(data), "\x00", " ")
		// Not the client, which has the script among its arguments too.
		if err == nil && strings.Contains(line, text) && !strings.Contains(line, "nix-build") {
			found = append(found, filepath.Dir(file))
		}
	}
	return found
}

// TestKilledInABuild: nothing that is in the tree hinders the next daemon.
func TestKilledInABuild(t *testing.T) {
	ctx := deadline(t)
	first := Start(t)
	mark := nonce(t)
	killed := make(chan error, 1)
	go func() {
		killed <- first.poll(ctx, "waiting for the builder", func() error {
			if len(processesWith(mark)) == 0 {
				return errors.New("not there")
			}
			return syscall.Kill(first.pid, syscall.SIGKILL)
		})
	}()
	result := probe(ctx, t, first, ": "+mark+"; echo partial >$out; while :; do sleep 1; done")
	if result.Err == nil {
		t.Fatal("the build went on in a killed entry")
	}
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	second := Start(t)
	if result := probe(ctx, t, second, "echo whole >$out"); result.Err != nil {
		t.Errorf("the next daemon can't build: %v", result.Err)
	}
	if out, err := second.Run(ctx, "nix-store", "--verify"); err != nil {
		t.Errorf("the store is damaged: %v\n%s", err, out)
	}
}

func TestRun(t *testing.T) {
	env, ctx := shared.Get(t), deadline(t)
	out, err := env.Run(ctx, "nix", "store", "info")
	if err != nil || strings.Contains(out, "unexpected") {
		t.Errorf("nix store info: %q, %v", out, err)
	}
	_, err = env.Run(ctx, "sh", "-c", "echo told >&2; exit 3")
	if exitCode(err) != 3 || !strings.Contains(err.Error(), "told") {
		t.Errorf("a failing command gives %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err = env.Run(short, "sleep", "1000"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a command past its deadline gives %v", err)
	}
}

func TestAddPath(t *testing.T) {
	env, ctx := shared.Get(t), deadline(t)
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	add := func() string {
		t.Helper()
		path, err := env.AddPath(ctx, "nixenv-test", dir)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	text := nonce(t)
	write("file", text)
	path := add()
	if got, err := os.ReadFile(filepath.Join(env.HostPath(path), "file")); err != nil || string(got) != text {
		t.Errorf("the file in the store: %q, %v", got, err)
	}
	if !strings.HasSuffix(path, "-nixenv-test") {
		t.Errorf("the store path is %s", path)
	}
	write("file", text+" more")
	if add() == path {
		t.Error("a changed folder without stamp was not added anew")
	}
	write(".stamp", text)
	path = add()
	write("file", text+" unseen")
	if add() != path {
		t.Error("a folder with its old stamp was added anew")
	}
	write(".stamp", text+" new")
	if add() == path {
		t.Error("a folder with a new stamp was not added anew")
	}
	if _, err := env.AddPath(ctx, "nixenv-test", filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing folder was added")
	}
}

// chrootEnter stands in for enter.sh and does what it warns of.
const chrootEnter = `#!/bin/bash
set -e # called as: ROOT --rw-bind / /host --pid-file FILE -- CMD...
root=$1 file=$6
shift 7
exec unshare --mount --pid --fork --kill-child --propagation private bash -ec '
	root=$1 file=$2
	shift 2
	read -r pid rest </proc/self/stat
	mount -t proc proc "$root/proc"
	mount --bind /dev "$root/dev"
	# Else the daemon moves to a cgroup of its own, which would stay.
	export NIX_CONFIG="
		experimental-features = nix-command
		use-cgroups = false
		auto-allocate-uids = false"
	mount -t tmpfs tmpfs "$root/nix/var/nix/daemon-socket"
	echo "$pid" >"$file"
	exec chroot "$root" "$@"' - "$root" "$file" "$@"
`

func TestNoUserNamespace(t *testing.T) {
	root, ctx := testenv.RequireNix(t), deadline(t)
	config := DefaultConfig(testenv.Repo(t))
	config.Root = root
	config.LogDir = t.TempDir()
	config.Enter = filepath.Join(t.TempDir(), "enter.sh")
	if err := os.WriteFile(config.Enter, []byte(chrootEnter), 0o755); err != nil {
		t.Fatal(err)
	}
	env, err := Open(ctx, config)
	if err == nil {
		t.Fatal(errors.Join(errors.New("a tree in which Nix makes no user namespace was taken"), env.Close()))
	}
	if !errors.Is(err, ErrNoUserNamespace) || !strings.Contains(err.Error(), "pivot_root") {
		t.Errorf("the error does not explain itself: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	root, ctx := testenv.RequireNix(t), deadline(t)
	config := DefaultConfig(testenv.Repo(t))
	config.LogDir = t.TempDir()

	config.Root = t.TempDir()
	if _, err := Open(ctx, config); err == nil || !strings.Contains(err.Error(), "make nix-root") {
		t.Errorf("without a tree: %v", err)
	}
	config.Root = root
	config.Enter = filepath.Join(t.TempDir(), "enter.sh")
	if err := os.WriteFile(config.Enter, []byte("#!/bin/sh\necho no way in >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, config); err == nil || !strings.Contains(err.Error(), "no way in") {
		t.Errorf("when the entry ends early: %v", err)
	}
	if err := os.WriteFile(config.Enter, []byte("#!/bin/sh\nexec cat\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := Open(short, config); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("when the entry hangs: %v", err)
	}
}
