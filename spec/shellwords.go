package spec

import (
	"fmt"
	"path"
	"strings"
)

// shellScript is what is understood of a start script: variables, and the
// program that it becomes in the end.
type shellScript struct {
	vars     map[string]shellWord
	exported map[string]bool
	exec     []string // the program and its arguments, less "$@"
	line     int      // of the exec
}

// shellWord is a word after expansion.
type shellWord struct {
	text string
	// unknown is the first expansion in the word whose value only a shell
	// could tell, "" when text is all there is to it.
	unknown string
}

// shellError is a part of a script that can't be followed without running it.
type shellError struct {
	line    int
	message string
}

func (e *shellError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.message) }

// readShell follows a script of the form that upstream writes: assignments
// and exports, then one exec. Anything with an effect beyond that is an error
// and not skipped, as the machine would come up without that effect.
//
// The language is POSIX's (Shell Command Language, 2.2 Quoting to 2.6.2
// Parameter Expansion) as far as it goes.
func readShell(text string) (*shellScript, error) {
	l := &shellLexer{text: text, line: 1}
	s := &shellScript{vars: map[string]shellWord{}, exported: map[string]bool{}}
	if err := checkInterpreter(text); err != nil {
		return nil, err
	}
	for {
		words, line, err := l.command(s)
		if err != nil {
			return nil, err
		}
		if words == nil {
			return nil, &shellError{l.line, "the script ends without an exec"}
		}
		done, err := s.run(words, line)
		if done || err != nil {
			return s, err
		}
	}
}

// checkInterpreter refuses scripts in another language than sh.
func checkInterpreter(text string) error {
	if strings.ContainsRune(text, 0) {
		return &shellError{1, "this is no text, let alone a shell script"}
	}
	first, _, _ := strings.Cut(text, "\n")
	command, ok := strings.CutPrefix(first, "#!")
	words := strings.Fields(command)
	if !ok || len(words) == 0 {
		return nil
	}
	name := path.Base(words[0])
	if name == "env" && len(words) > 1 {
		name = path.Base(words[len(words)-1])
	}
	switch name {
	case "sh", "dash", "bash", "ash", "busybox", "ksh", "zsh":
		return nil
	}
	return &shellError{1, "this is a script for " + name + ", only shell scripts are understood"}
}

// run carries out one command as far as it concerns the exec. It reports
// whether the script ends with it.
func (s *shellScript) run(words []rawWord, line int) (done bool, err error) {
	assigned := 0
	for assigned < len(words) && words[assigned].assigns != "" {
		assigned++
	}
	for _, w := range words[:assigned] {
		s.assign(w)
		if assigned < len(words) {
			s.exported[w.assigns] = true // for the command that follows
		}
	}
	words = words[assigned:]
	if len(words) == 0 {
		return false, nil
	}
	switch words[0].text {
	case ":", "true":
		return false, nil
	case "set":
		if setsArguments(words[1:]) {
			return false, &shellError{line, `"set" with arguments is not understood, it changes "$@"`}
		}
		return false, nil
	case "export":
		for _, w := range words[1:] {
			name := w.text
			if w.assigns != "" {
				name = w.assigns
				s.assign(w)
			}
			s.exported[name] = true
		}
		return false, nil
	case "unset":
		for _, w := range words[1:] {
			delete(s.vars, w.text)
		}
		return false, nil
	case "exec":
		return true, s.become(words[1:], line)
	}
	return false, &shellError{line, "the script runs " + quote(words[0].text) + ", only assignments, export, set, unset and one exec are understood"}
}

// setsArguments reports whether a "set" does more than to switch options.
func setsArguments(words []rawWord) bool {
	for i, w := range words {
		flag := len(w.text) > 1 && strings.ContainsAny(w.text[:1], "-+") && w.text != "--"
		named := i > 0 && strings.HasSuffix(words[i-1].text, "o") // set -o pipefail
		if !flag && !named {
			return true
		}
	}
	return false
}

func (s *shellScript) assign(w rawWord) {
	s.vars[w.assigns] = w.value()
}

// become takes the words of the exec.
func (s *shellScript) become(words []rawWord, line int) error {
	for _, w := range words {
		switch {
		case w.arguments:
			// The driver passes none.
		case w.unknown != "":
			return &shellError{line, "the value of " + quote(w.unknown) + " is not known before the script runs"}
		default:
			s.exec = append(s.exec, w.text)
		}
	}
	s.line = line
	if len(s.exec) == 0 {
		return &shellError{line, "exec without a program"}
	}
	return nil
}

// rawWord is a word with what its spelling meant.
type rawWord struct {
	shellWord
	assigns   string // NAME when the word was written NAME=…
	arguments bool   // the word is "$@", the script's own arguments
}

// value returns what an assignment assigns.
func (w rawWord) value() shellWord {
	return shellWord{strings.TrimPrefix(w.text, w.assigns+"="), w.unknown}
}

// shellLexer splits a script into commands.
type shellLexer struct {
	text string
	pos  int
	line int
	// assigned holds the assignments that the current command starts with,
	// which its later assignments see and its other words don't.
	assigned map[string]shellWord
}

func (l *shellLexer) fail(format string, args ...any) error {
	return &shellError{l.line, fmt.Sprintf(format, args...)}
}

// peek returns the next byte, 0 at the end; a script holds no NUL.
func (l *shellLexer) peek() byte {
	if l.pos < len(l.text) {
		return l.text[l.pos]
	}
	return 0
}

func (l *shellLexer) next() byte {
	b := l.peek()
	if b == '\n' {
		l.line++
	}
	l.pos = min(l.pos+1, len(l.text))
	return b
}

// command returns the words of the next command and the line that it starts
// on, nil at the end of the script.
func (l *shellLexer) command(s *shellScript) ([]rawWord, int, error) {
	var words []rawWord
	line := 0
	leading := true
	l.assigned = map[string]shellWord{}
	for {
		switch b := l.peek(); {
		case b == 0 || b == '\n' || b == ';':
			if b == ';' && words == nil {
				return nil, 0, l.fail("unexpected ;")
			}
			if words != nil || b == 0 {
				l.next()
				return words, line, nil
			}
			l.next()
		case b == ' ' || b == '\t':
			l.next()
		case b == '#':
			for l.peek() != 0 && l.peek() != '\n' {
				l.next()
			}
		case strings.HasPrefix(l.text[l.pos:], "\\\n"):
			l.next()
			l.next()
		default:
			if words == nil {
				line = l.line
			}
			w, err := l.word(s)
			if err != nil {
				return nil, 0, err
			}
			if leading = leading && w.assigns != ""; leading {
				l.assigned[w.assigns] = w.value()
			}
			words = append(words, w)
		}
	}
}

// word reads one word, at whose first byte the lexer stands.
func (l *shellLexer) word(s *shellScript) (rawWord, error) {
	var w rawWord
	var b strings.Builder
	start := l.pos
	quoted := false
	for {
		switch c := l.peek(); c {
		case 0, ' ', '\t', '\n', ';':
			w.text = b.String()
			raw := l.text[start:l.pos]
			w.arguments = raw == `"$@"` || raw == `$@` || raw == `"${@}"`
			return w, nil
		case '|', '&', '<', '>', '(', ')':
			return w, l.fail("%q is not understood outside quotes", string(c))
		case '\'':
			quoted = true
			l.next()
			for l.peek() != '\'' {
				if l.peek() == 0 {
					return w, l.fail("a ' is never closed")
				}
				b.WriteByte(l.next())
			}
			l.next()
		case '"':
			quoted = true
			if err := l.doubleQuoted(s, &w, &b); err != nil {
				return w, err
			}
		case '\\':
			quoted = true
			l.next()
			if c := l.next(); c == 0 {
				return w, l.fail(`a \ at the end of the script`)
			} else if c != '\n' {
				b.WriteByte(c)
			}
		case '$', '`':
			at := b.Len()
			if err := l.expansion(s, &w, &b); err != nil {
				return w, err
			}
			// Outside an assignment the shell would split the value and
			// match it against files.
			if w.assigns == "" && strings.ContainsAny(b.String()[at:], " \t\n*?[") {
				return w, l.fail("an expansion that the shell would split needs double quotes")
			}
		case '=':
			if name := b.String(); !quoted && w.unknown == "" && w.assigns == "" && variableName(name) {
				w.assigns = name
			}
			b.WriteByte(l.next())
		default:
			b.WriteByte(l.next())
		}
	}
}

// doubleQuoted reads a part of a word within double quotes.
func (l *shellLexer) doubleQuoted(s *shellScript, w *rawWord, b *strings.Builder) error {
	l.next()
	for {
		switch c := l.peek(); c {
		case 0:
			return l.fail(`a " is never closed`)
		case '"':
			l.next()
			return nil
		case '$', '`':
			if err := l.expansion(s, w, b); err != nil {
				return err
			}
		case '\\':
			l.next()
			c := l.next()
			if !strings.ContainsRune("$`\"\\\n", rune(c)) {
				b.WriteByte('\\')
			}
			if c != '\n' {
				b.WriteByte(c)
			}
		default:
			b.WriteByte(l.next())
		}
	}
}

// expansion reads what starts with $ or `. The value of a variable that the
// script itself set is known; any other makes the word unknown.
func (l *shellLexer) expansion(s *shellScript, w *rawWord, b *strings.Builder) error {
	if l.next() == '`' || l.peek() == '(' {
		return l.fail("command substitution is not understood")
	}
	start := l.pos
	switch c := l.peek(); {
	case c == '{':
		for l.peek() != '}' {
			if l.peek() == 0 {
				return l.fail("a ${ is never closed")
			}
			l.next()
		}
		l.next()
	case strings.IndexByte(wordBytes, c) >= 0 && c > '9':
		for strings.IndexByte(wordBytes, l.peek()) >= 0 {
			l.next()
		}
	case strings.IndexByte(numbers+"@*#?-$!", c) >= 0:
		l.next()
	default:
		b.WriteByte('$') // as in "$ " or "$'"
		return nil
	}
	spelling := l.text[start:l.pos]
	name := strings.TrimSuffix(strings.TrimPrefix(spelling, "{"), "}")
	value, known := s.vars[name]
	if earlier, ok := l.assigned[name]; ok && w.assigns != "" {
		value, known = earlier, true
	}
	if !known {
		value.unknown = "$" + spelling
	}
	b.WriteString(value.text)
	if w.unknown == "" {
		w.unknown = value.unknown
	}
	return nil
}
