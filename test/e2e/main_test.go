// Package e2e_test holds Nestbox to what it promises, as a user meets it: by
// Nix builds in the real uid-range sandbox, which call the driver as nixpkgs
// does and boot NixOS-like guests (see test/guest).
//
// The builds are the attributes of tests.nix. What can be asked inside a build
// is asked there, by the test script; what only shows outside, such as the log
// and the result, is looked at here. By hand, with the log as it comes:
//
//	go run ./test/nixtest test/e2e/tests.nix ping
//
// The binary under test is bin/nestbox, so `make build` comes first.
package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nestbox/nestbox/internal/testenv"
	"github.com/nestbox/nestbox/test/nixenv"
)

// TestMain closes the daemons that the tests share.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := errors.Join(shared.Close(), lonely.Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var (
	// shared is for all tests but those that look at a daemon from outside,
	// which have lonely, one at a time.
	shared, lonely nixenv.Lazy
	lonelyTurn     sync.Mutex
	// slots bounds the builds that run at the same time, each a few machines.
	slots = make(chan struct{}, 2)
	// inputs are the same for both daemons: they share a store.
	inputs struct {
		once sync.Once
		args map[string]string
		err  error
	}
)

// buildDeadline is many times what the longest build takes on two cores, with
// a store that holds nothing of it yet.
const buildDeadline = 4 * time.Minute

// setUp returns a daemon, and the Debian tree and the binary in its store.
func setUp(t *testing.T, daemon *nixenv.Lazy) (*nixenv.Env, map[string]string) {
	t.Helper()
	env := daemon.Get(t)
	inputs.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), buildDeadline)
		defer cancel()
		inputs.args, inputs.err = arguments(ctx, env, testenv.Repo(t))
	})
	if inputs.err != nil {
		t.Fatal(inputs.err)
	}
	return env, inputs.args
}

func arguments(ctx context.Context, env *nixenv.Env, repo string) (map[string]string, error) {
	if err := checkFresh(repo); err != nil {
		return nil, err
	}
	debian, err := env.AddPath(ctx, "debian", filepath.Join(repo, ".cache", "debian-guest"))
	if err != nil {
		return nil, fmt.Errorf("%w; make debian-guest makes it", err)
	}
	nestbox, err := nixenv.AddNestbox(ctx, env, repo)
	if err != nil {
		return nil, err
	}
	return map[string]string{"debian": debian, "nestbox": nestbox}, nil
}

// checkFresh returns an error unless bin/nestbox is there and newer than all
// that it is made of: an old one would be tested in place of the one that the
// sources make.
func checkFresh(repo string) error {
	binary := filepath.Join(repo, "bin", "nestbox")
	made, err := os.Stat(binary)
	if err != nil {
		return fmt.Errorf("no binary to test: %w; make build makes it", err)
	}
	var newer []string
	err = filepath.WalkDir(repo, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			others := []string{"bench", "bin", "docs", "scripts", "test", "testdata", "tests"}
			if path != repo && (strings.HasPrefix(name, ".") || slices.Contains(others, name)) {
				return filepath.SkipDir
			}
			return nil
		}
		source := slices.Contains([]string{".go", ".c", ".h", ".py", ".json", ".mod", ".sum"}, filepath.Ext(name))
		if !source || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.ModTime().After(made.ModTime()) {
			rel, _ := filepath.Rel(repo, path)
			newer = append(newer, rel)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("comparing %s with its sources: %w", binary, err)
	}
	if len(newer) > 0 {
		return fmt.Errorf("%s is older than %s; make build makes it anew", binary, strings.Join(newer, ", "))
	}
	return nil
}

// passes builds an attribute of tests.nix, as one of two at most, and fails t
// unless the build passes.
func passes(t *testing.T, attr string) nixenv.Result {
	t.Helper()
	result := run(t, &shared, attr)
	if result.Err != nil {
		t.Fatalf("the build of %s failed, its log ends:\n%s\nto see it again: %s", attr, tail(result.Log), command(attr))
	}
	return result
}

// run builds an attribute, whatever comes of it.
func run(t *testing.T, daemon *nixenv.Lazy, attr string) nixenv.Result {
	t.Helper()
	env, args := setUp(t, daemon)
	slots <- struct{}{}
	defer func() { <-slots }()
	return build(t, env, args, attr)
}

// build builds an attribute anew, now.
func build(t *testing.T, env *nixenv.Env, args map[string]string, attr string) nixenv.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), buildDeadline)
	defer cancel()
	result := env.Build(ctx, "tests.nix", attr, map[string]string{
		"debian": args["debian"], "nestbox": args["nestbox"],
		"nonce": strconv.FormatInt(time.Now().UnixNano(), 36),
	})
	t.Logf("%s: %.1f s", attr, result.Duration.Seconds())
	t.Cleanup(func() {
		if t.Failed() && !t.Skipped() {
			t.Logf("to see the build again: %s", command(attr))
		}
	})
	return result
}

// command returns what builds attr by hand.
func command(attr string) string { return "go run ./test/nixtest test/e2e/tests.nix " + attr }

// tail returns the end of a log, without the repetition of its last lines that
// Nix ends a failed build with.
func tail(log string) string {
	log, _, _ = strings.Cut(log, "\nerror: Cannot build ")
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return strings.Join(lines[max(0, len(lines)-60):], "\n")
}

// told returns the lines of a log that tell of a failure, without their mark.
func told(log string) string {
	var found []string
	for line := range strings.Lines(log) {
		if text, ok := strings.CutPrefix(line, "!!! "); ok {
			found = append(found, strings.TrimRight(text, " \n"))
		}
	}
	return strings.Join(found, "\n")
}

// mustHave fails t for each of wanted that is not in log.
func mustHave(t *testing.T, log string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in the log, which ends:\n%s", want, tail(log))
		}
	}
}

// outcome is what a build of lib.nix's `cases` kept of one call.
type outcome struct {
	log    string
	status int
}

// outcomes reads what a build recorded below dir, by name.
func outcomes(t *testing.T, dir string) map[string]outcome {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "status"))
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing recorded in %s (%v)", dir, err)
	}
	found := map[string]outcome{}
	for _, file := range files {
		folder := filepath.Dir(file)
		status, err := strconv.Atoi(strings.TrimSpace(read(t, file)))
		if err != nil {
			t.Fatal(err)
		}
		found[filepath.Base(folder)] = outcome{read(t, filepath.Join(folder, "log")), status}
	}
	return found
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
