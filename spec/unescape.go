package spec

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// unescape resolves the C-style escapes that systemd takes in the value of a
// credential (systemd.syntax(7), "Quoting"). It reports false for an escape
// that there isn't.
func unescape(s string) (string, bool) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, `\`)
		b.WriteString(before)
		if !found {
			return b.String(), true
		}
		if after == "" {
			return "", false
		}
		if i := strings.IndexByte(`abfnrtv\"'s`, after[0]); i >= 0 {
			b.WriteByte("\a\b\f\n\r\t\v\\\"' "[i])
			s = after[1:]
			continue
		}
		length, base, skip := 0, 16, 1
		switch c := after[0]; {
		case c == 'x':
			length = 2
		case c == 'u':
			length = 4
		case c == 'U':
			length = 8
		case c >= '0' && c <= '7':
			length, base, skip = 3, 8, 0
		}
		if length == 0 || len(after) < skip+length {
			return "", false
		}
		v, err := strconv.ParseUint(after[skip:skip+length], base, 32)
		switch {
		case err != nil, length < 4 && v > 0xff, length >= 4 && !utf8.ValidRune(rune(v)):
			return "", false
		case length < 4:
			b.WriteByte(byte(v))
		default:
			b.WriteRune(rune(v))
		}
		s = after[skip+length:]
	}
}
