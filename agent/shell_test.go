package agent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// awaitSpare returns once the shared server has a shell waiting, if no test
// beside this one takes it.
func awaitSpare(t *testing.T) {
	t.Helper()
	l, err := server.shell.environment()
	if err != nil {
		t.Fatal(err)
	}
	server.shell.refill(l)
}

// A command reaches bash in one of three ways, by its length; none may be told
// from another.
var ways = []struct {
	name   string
	length int
}{
	{"spare", 0}, {"argument", 5 << 10}, {"script", 200 << 10},
}

func TestSemantics(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, command, out string
		status             int
	}{
		{"true", "true", "", 0},
		{"false", "false", "", 1},
		{"nothing", "", "", 0},
		{"exit", "echo a; exit 7; echo b", "a\n", 7},
		{"errexit", "echo a; false; echo b", "a\n", 1},
		{"errexit of a condition", "if false; then echo a; fi; false || echo b", "b\n", 0},
		{"errexit in a subshell", "(false; echo a); echo b", "", 1},
		{"errexit of an assignment", "a=$(exit 5); echo b", "", 5},
		{"nounset", `echo a; echo "$unset_variable"; echo b`, "a\n", 1},
		{"pipefail", "false | true", "", 1},
		{"pipefail in the middle", "true | (exit 9) | true", "", 9},
		{"pipeline", "printf 'b\\na\\n' | sort | tr a-z A-Z", "A\nB\n", 0},
		{"signal", "kill -TERM $$", "", 143},
		{"exec", "exec printf x", "x", 0},
		{"exec that fails", "exec false", "", 1},
		{"no such command", "nestbox-no-such-command", "", 127},
		{"newlines", "echo a\n\necho b\n", "a\nb\n", 0},
		{"quotes", `echo "it's" '"q"' \' "\"" $'\x41'`, `it's "q" ' " A` + "\n", 0},
		{"backslashes", `printf '%s\n' 'a\b' "c\\d" e\\f`, "a\\b\nc\\d\ne\\f\n", 0},
		{"dollars", `a='$HOME'; echo "$a" '$(false)' "$((1 + 2))"`, "$HOME $(false) 3\n", 0},
		{"blanks", "  \t echo   a   ", "a\n", 0},
		{"heredoc", "cat <<EOF\n\"$((20 + 1))\"\n'b'\nEOF\necho c", "\"21\"\n'b'\nc\n", 0},
		{"quoted heredoc", "cat <<'EOF'\n$HOME\nEOF\n", "$HOME\n", 0},
		{"comment at the end", "echo a # b", "a\n", 0},
		{"function", "f() { local x=$1; echo $((x * 2)); }\nf 21", "42\n", 0},
		{"unicode", "echo äß€😀", "äß€😀\n", 0},
		{"glob", "cd / && echo et*", "etc\n", 0},
		{"syntax error", "echo a; if", "", 2},
		{"directory", "pwd", "/tmp\n", 0},
		{"input", "cat; read x || echo none", "none\n", 0},
		{"arguments", `echo "$#"`, "0\n", 0},
		{"options", `case $- in *e*u*) echo ok;; esac; [[ -o pipefail ]] && [[ ! -o posix ]] && echo ok`, "ok\nok\n", 0},
		{"no terminal, own session", `read -r -a s < <(cat /proc/$$/stat); [ "${s[5]}" = $$ ] && [ "${s[6]}" = 0 ] && echo ok`, "ok\n", 0},
		{"environment", `echo "$HOME $USER [$PAGER] $SHLVL"`, "/root root [] 1\n", 0},
		{"signals are not ignored", `grep SigIgn /proc/self/status`, ignoredSignals(t), 0},
		{"no trace in variables", `set | grep nestbox_comman[d] || echo none`, "none\n", 0},
		{"own text", `a=${BASH_EXECUTION_STRING-set -euo pipefail;}; echo ${a:0:18}`, "set -euo pipefail;\n", 0},
		{"no trace in the environment", `env | grep -i nestbox || echo none`, "none\n", 0},
		{"separator", `echo "[$IFS]"; a="1:2"; IFS=:; echo $a`, "[ \t\n]\n1 2\n", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, way := range ways {
				command := test.command
				if pad := way.length - len(command); pad > 0 {
					command += "\n" + strings.Repeat("#", pad)

				} else {
					awaitSpare(t)
				}
				out, status := run(t, command, time.Minute)
				if out != test.out || status != test.status {
					t.Errorf("as %s: %q exits with %d and says %q, want %d and %q",
						way.name, test.command, status, out, test.status, test.out)
				}
			}
		})
	}
}

// Descriptor 9, by which a shell gets its command, is closed for the command.
func TestNoExtraFiles(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		if way.length == 0 {
			awaitSpare(t)
		}
		const list = "for f in 3 4 5 6 7 8 9; do [ ! -e /proc/$$/fd/$f ] || readlink /proc/$$/fd/$f; done\n"
		out, status := run(t, list+strings.Repeat("#", way.length), time.Minute)
		if out != "" || status != 0 {
			t.Errorf("as %s: files %q, status %d", way.name, out, status)
		}
	}
}

func TestLongCommands(t *testing.T) {
	t.Parallel()
	for _, size := range []int{spareLimit - 100, spareLimit, 5 << 10, argumentLimit, 128 << 10, 200 << 10, 3 << 20} {
		text := strings.Repeat("0123456789abcde\n", size/16)
		out, status := run(t, "printf %s '"+text+"'", time.Minute)
		if out != text || status != 0 {
			t.Errorf("a command of %d bytes: status %d, %d bytes of output", size, status, len(out))
		}
	}
}

// A NUL can't be part of a command; it must not cut one short in silence.
func TestNULInCommand(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		if way.length == 0 {
			awaitSpare(t)
		}
		_, err := guest.Exec(t.Context(), "echo a\x00; false"+strings.Repeat(" ", way.length), time.Minute, nil)
		failed(t, err, "NUL")
	}
}

// The time that a shell was kept waiting does not show.
func TestSecondsOfSpare(t *testing.T) {
	t.Parallel()
	own := newShell()
	l, err := own.environment()
	if err != nil {
		t.Fatal(err)
	}
	own.refill(l)
	pid := own.spares[0].job.proc.Pid
	time.Sleep(2100 * time.Millisecond)
	var out bytes.Buffer
	if res := own.exec(t.Context(), Request{Command: "echo $SECONDS $$"}, &out); res != (Result{}) {
		t.Fatalf("exec = %+v", res)
	}
	if got := out.String(); got != fmt.Sprintf("0 %d\n", pid) && got != fmt.Sprintf("1 %d\n", pid) {
		t.Errorf("SECONDS and pid: %q; the spare shell was %d", got, pid)
	}
}

// A spare shell that died is replaced, not used.
func TestDeadSpare(t *testing.T) {
	t.Parallel()
	own := newShell()
	l, err := own.environment()
	if err != nil {
		t.Fatal(err)
	}
	own.refill(l)
	if err := own.spares[0].job.proc.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the spare's end", func() bool { return isZombie(own.spares[0].job.proc.Pid) })
	var out bytes.Buffer
	res := own.exec(t.Context(), Request{Command: "echo a"}, &out)
	if res != (Result{}) || out.String() != "a\n" {
		t.Errorf("exec = %+v, output %q", res, out.String())
	}
}

// Another profile makes another environment, for the spare shell too.
func TestNewProfile(t *testing.T) {
	t.Parallel()
	own := newShell()
	bash, err := own.environment()
	if err != nil {
		t.Fatal(err)
	}
	old := &login{bash: bash.bash, env: []string{"PATH=/usr/bin:/bin", "GENERATION=1"}, profile: "old"}
	own.login = old
	own.refill(old)
	spare := own.spares[0].job.proc.Pid
	var out bytes.Buffer
	res := own.exec(t.Context(), Request{Command: `echo "${GENERATION-2}"`}, &out)
	if res != (Result{}) || out.String() != "2\n" {
		t.Errorf("exec = %+v, output %q", res, out.String())
	}
	if !isZombie(spare) {
		t.Error("the shell of the old profile lives on")
	}
	if again, err := own.environment(); err != nil || again.profile != profileIdentity() {
		t.Errorf("environment = %+v, %v", again, err)
	}
}

func TestIsZombie(t *testing.T) {
	t.Parallel()
	if isZombie(os.Getpid()) {
		t.Error("we are dead")
	}
	if !isZombie(1 << 30) {
		t.Error("a process that is not there lives")
	}
}

func TestMemoryFile(t *testing.T) {
	t.Parallel()
	f, err := memoryFile("test", []byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := os.ReadFile(filepath.Join("/proc/self/fd", fmt.Sprint(f.Fd())))
	if err != nil || string(data) != "content" {
		t.Errorf("content %q, %v", data, err)
	}
}

// ignoredSignals is the line of proc_pid_status(5) with the signals that this
// process was started to ignore, which is what its children do then: none, but
// for what a shell or a tool around the test had ignored.
func ignoredSignals(t *testing.T) string {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "SigIgn:") {
			return line
		}
	}
	t.Fatal("no SigIgn in /proc/self/status")
	return ""
}
