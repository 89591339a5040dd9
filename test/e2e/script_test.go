package e2e_test

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestFailingScriptIsFailingBuild: with the script's own lines to show where.
func TestFailingScriptIsFailingBuild(t *testing.T) {
	t.Parallel()
	result := run(t, &shared, "fails")
	if result.Err == nil || result.OutPath != "" {
		t.Fatalf("the build passed:\n%s", tail(result.Log))
	}
	mustHave(t, result.Log, "builder failed with exit code 1", "a: output: seen\n")
	want := "Test \"part that fails\" failed with error: \"command `echo seen; exit 3` failed (exit code 3)\"\n" + `Traceback (most recent call last):
  File "<string>", line 8, in <module>
    check(
  File "<string>", line 4, in check
    machine.succeed("echo seen; exit 3")

` + "RequestedAssertionFailed: command `echo seen; exit 3` failed (exit code 3)"
	if got := told(result.Log); got != want {
		t.Errorf("told:\n%s\nwant:\n%s", got, want)
	}
	if strings.Contains(result.Log, "never reached") {
		t.Error("the script went on after its failure")
	}
}

// TestVerdicts: how a script can end, the exit status of the driver and what
// is told of it.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	got := outcomes(t, passes(t, "verdicts").HostPath)
	for name, want := range map[string]struct {
		status int
		told   string // all that is marked as failure
		log    string // somewhere else in the log
	}{
		"passes": {0, "", "nothing to do"},
		"noRoot": {1, `Traceback (most recent call last):
  File "<string>", line 4, in <module>
    a.start()

MachineError: starting machine "a": preparing the root of machine "a": mkdir /proc/1/upper: no such file or directory`, ""},
		"exception": {1, `Traceback (most recent call last):
  File "<string>", line 7, in <module>
    look_up("one")
  File "<string>", line 4, in look_up
    return numbers[name]

KeyError: 'one'

The above exception was the direct cause of the following:

Traceback (most recent call last):
  File "<string>", line 9, in <module>
    raise ValueError("no such number") from e

ValueError: no such number`, ""},
		"syntax": {1, `  File "<string>", line 2
    if True
           ^
SyntaxError: expected ':'`, ""},
		"assertion": {1, `Traceback (most recent call last):
  File "<string>", line 3, in <module>
    t.assertEqual(1 + 1, 3, "sums")

RequestedAssertionFailed: 2 != 3 : sums`, ""},
		"library": {1, `Traceback (most recent call last):
  File "<string>", line 3, in <module>
    re.compile("(")

re.PatternError: missing ), unterminated subpattern at position 0`, ""},
		"exits":     {0, "", ""},
		"exitsWith": {1, "test script exited with status 5", ""},
		"logsError": {1, "test script exited with status 1", "this ends it"},
		"vanishes":  {1, "", "the script's process ended without finishing the script"},
		"killed":    {1, "", "the script's process ended early: signal: killed"},
		"threads": {0, `Exception in thread Thread-1 (work):
Traceback (most recent call last):
  File "<string>", line 4, in work
    raise RuntimeError("in a thread")

RuntimeError: in a thread`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			had := got[name]
			if had.status != want.status || told(had.log) != want.told || !strings.Contains(had.log, want.log) {
				t.Errorf("status %d, told:\n%s\nlog:\n%s\nwant status %d, %q and told:\n%s",
					had.status, told(had.log), had.log, want.status, want.log, want.told)
			}
			if strings.Contains(had.log, "never reached") {
				t.Error("the script went on")
			}
		})
	}
}

// TestGlobalTimeout: it cuts a sleeping script, one that refuses to end, a
// sleeping machine, and a boot without end.
func TestGlobalTimeout(t *testing.T) {
	t.Parallel()
	dir := passes(t, "timeouts").HostPath
	got := outcomes(t, dir)
	for name, want := range map[string]struct {
		log   string
		limit float64 // seconds
	}{
		"script":   {"sleeping", 1},
		"stubborn": {"sleeping", 1},
		"machine":  {"a: must succeed: sleep 600", 5},
		"boot":     {"a: waiting for unit multi-user.target", 2},
	} {
		t.Run(name, func(t *testing.T) {
			if got[name].status != 4 {
				t.Errorf("exit status %d, want 4; log:\n%s", got[name].status, got[name].log)
			}
			mustHave(t, got[name].log, want.log, "timeout reached; test terminating...")
			took, err := strconv.Atoi(strings.TrimSpace(read(t, filepath.Join(dir, name, "milliseconds"))))
			if seconds := float64(took) / 1000; err != nil || seconds < want.limit || seconds > want.limit+10 {
				t.Errorf("it took %.1f s (%v), the timeout being %.0f s", seconds, err, want.limit)
			}
		})
	}
}
