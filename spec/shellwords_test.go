package spec

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

func TestShellWords(t *testing.T) {
	for script, want := range map[string][]string{
		`exec a b`:                           {"a", "b"},
		`exec a 'b c' "d e" f\ g`:            {"a", "b c", "d e", "f g"},
		`exec '--x='\''y'\'''`:               {"--x='y'"},
		`exec a'b'"c"\d`:                     {"abcd"},
		`exec "" ''`:                         {"", ""},
		`exec "\$ \" \\ \a \'"`:              {`$ " \ \a \'`},
		"exec a \\\n  b":                     {"a", "b"},
		"exec a\\\nb \"c\\\nd\" 'e\\\nf'":    {"ab", "cd", "e\\\nf"},
		"exec 'a\nb'":                        {"a\nb"},
		"exec a # b\nfalse":                  {"a"},
		"exec a#b":                           {"a#b"},
		"exec a; false":                      {"a"},
		"# c\n\n  exec\ta":                   {"a"},
		`exec a "$@"`:                        {"a"},
		`exec a $@ "${@}"`:                   {"a"},
		"A=1\nexec x $A${A}\"$A\"":           {"x", "111"},
		"A='b c'\nexec \"$A\"":               {"b c"},
		"A='b c' B=$A\nexec \"$B\"":          {"b c"},
		"A=b\nA=\"$A$A\"\nexec $A":           {"bb"},
		"A=1 A=2 B=$A\nexec $B":              {"2"},
		"A=1\nA=2 exec $A":                   {"1"},
		"A=1\nexport A=2 B=$A\nexec $A $B":   {"2", "1"},
		"A=\nexec x \"$A\"":                  {"x", ""},
		"export A=b\nexec $A":                {"b"},
		"set -eu; set -o pipefail; exec a":   {"a"},
		":\ntrue\nexec a":                    {"a"},
		"exec 'A=b' A=b --A=b":               {"A=b", "A=b", "--A=b"},
		"P=$PATH Q=${X:-y} R=$1\nexec a":     {"a"},
		`exec 'a$b' a\$b "a$"`:               {"a$b", "a$b", "a$"},
		"exec a$ b":                          {"a$", "b"},
		"#!/nix/store/x/bin/dash -e\nexec a": {"a"},
		"#!/usr/bin/env bash\nexec a":        {"a"},
		"exec [ab] ~/x":                      {"[ab]", "~/x"},
	} {
		s, err := readShell(script)
		if err != nil {
			t.Errorf("%q: %v", script, err)
			continue
		}
		if diff := cmp.Diff(want, s.exec); diff != "" {
			t.Errorf("%q:\n%s", script, diff)
		}
	}
}

func TestShellErrors(t *testing.T) {
	for script, want := range map[string]string{
		"":                              "line 1: the script ends without an exec",
		"A=1\nB=2\n":                    "line 3: the script ends without an exec",
		"exec":                          "line 1: exec without a program",
		`exec "$@"`:                     "line 1: exec without a program",
		"A=1\nmkdir x\nexec a":          `line 2: the script runs "mkdir", only assignments, export, set, unset and one exec are understood`,
		"if true":                       `line 1: the script runs "if", only assignments, export, set, unset and one exec are understood`,
		"\"\"":                          `line 1: the script runs "", only assignments, export, set, unset and one exec are understood`,
		"exec a | b":                    `line 1: "|" is not understood outside quotes`,
		"\nexec a && b":                 `line 2: "&" is not understood outside quotes`,
		"exec a > b":                    `line 1: ">" is not understood outside quotes`,
		"exec a <<E":                    `line 1: "<" is not understood outside quotes`,
		"f() {":                         `line 1: "(" is not understood outside quotes`,
		"exec 'a":                       "line 1: a ' is never closed",
		"exec \"a":                      `line 1: a " is never closed`,
		"exec \"a\\":                    `line 1: a " is never closed`,
		"exec a\\":                      `line 1: a \ at the end of the script`,
		"exec ${a":                      "line 1: a ${ is never closed",
		"exec $(a)":                     "line 1: command substitution is not understood",
		"exec \"`a`\"":                  "line 1: command substitution is not understood",
		"exec a $HOME":                  `line 1: the value of "$HOME" is not known before the script runs`,
		"exec a\nexec b $1":             "",
		"A=1\nexec a $1$A":              `line 2: the value of "$1" is not known before the script runs`,
		"exec a --x=$1":                 `line 1: the value of "$1" is not known before the script runs`,
		"A=${B:-c}\nexec a $A":          `line 2: the value of "${B:-c}" is not known before the script runs`,
		"A=1; unset A\nexec a $A":       `line 2: the value of "$A" is not known before the script runs`,
		"exec a x\"$@\"":                `line 1: the value of "$@" is not known before the script runs`,
		"A='b c'\nexec $A":              "line 2: an expansion that the shell would split needs double quotes",
		"A='*'\nexec $A":                "line 2: an expansion that the shell would split needs double quotes",
		"set -- a; exec b":              `line 1: "set" with arguments is not understood, it changes "$@"`,
		"set a; exec b":                 `line 1: "set" with arguments is not understood, it changes "$@"`,
		"a \\\n b":                      `line 1: the script runs "a", only assignments, export, set, unset and one exec are understood`,
		"; exec a":                      "line 1: unexpected ;",
		"#!/usr/bin/python3 -u\nexec a": "line 1: this is a script for python3, only shell scripts are understood",
		"#!/usr/bin/env nu\nexec a":     "line 1: this is a script for nu, only shell scripts are understood",
		"\x7fELF\x00":                   "line 1: this is no text, let alone a shell script",
	} {
		_, err := readShell(script)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", script, got, want)
		}
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "",
		"plain":                "plain",
		`\a\b\f\n\r\t\v\\\"\'`: "\a\b\f\n\r\t\v\\\"'",
		`a\sb`:                 "a b",
		`\x41\x00`:             "A\x00",
		`\xff`:                 "\xff",
		`\101\000`:             "A\x00",
		`\u00e9\U0001f600`:     "é😀",
		`a\n`:                  "a\n",
	} {
		got, ok := unescape(in)
		if !ok || got != want {
			t.Errorf("%q: got %q, %v, want %q", in, got, ok, want)
		}
	}
	for _, in := range []string{`\`, `a\`, `\q`, `\x4`, `\xg0`, `\18`, `\400`, `\u12`, `\ud800`, `\U00110000`, `\Uffffffff`} {
		if got, ok := unescape(in); ok {
			t.Errorf("%q: got %q", in, got)
		}
	}
}

func TestSplitColons(t *testing.T) {
	for _, test := range []struct {
		in    string
		n     int
		parts []string
		rest  string
	}{
		{"", 2, []string{""}, ""},
		{"a", 2, []string{"a"}, ""},
		{"a:b", 2, []string{"a", "b"}, ""},
		{"a:b:c:d", 2, []string{"a", "b"}, "c:d"},
		{"a:b:c", 1, []string{"a"}, "b:c"},
		{`a\:b:c\\`, 2, []string{"a:b", `c\`}, ""},
		{`a\`, 2, []string{`a\`}, ""},
		{":", 2, []string{"", ""}, ""},
	} {
		parts, rest := splitColons(test.in, test.n)
		if strings.Join(parts, "|") != strings.Join(test.parts, "|") || rest != test.rest {
			t.Errorf("%q: got %q and %q", test.in, parts, rest)
		}
	}
}
