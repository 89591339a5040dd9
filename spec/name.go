package spec

import "strings"

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	numbers = "0123456789"
	// nameBytes may stand in a machine's name, besides "." within it.
	nameBytes = letters + numbers + "_-"
	// wordBytes may stand in the name of a variable.
	wordBytes = letters + numbers + "_"
)

// maxName is how many bytes a machine's name holds: it becomes the host name,
// for which Linux has 64 (HOST_NAME_MAX, gethostname(2)).
const maxName = 64

// Identifier returns the Python name of the machine called name: characters
// that an identifier can't hold become "_".
func Identifier(name string) string {
	var b strings.Builder
	for i, r := range name {
		allowed := wordBytes
		if i == 0 {
			allowed = letters + "_"
		}
		if !strings.ContainsRune(allowed, r) {
			r = '_'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// nameProblem says what is wrong with a machine's name, "" if nothing is. A
// name becomes part of file names and a host name.
func nameProblem(name string) string {
	switch {
	case name == "":
		return "must not be empty"
	case len(name) > maxName:
		return quote(name) + " is too long, a host name holds 64 bytes"
	case strings.Trim(name, nameBytes+".") != "" || strings.ContainsAny(name[:1], ".-"):
		return quote(name) + ` is no machine name, use letters, digits, "_", "-" and "." and start with none of the last two`
	}
	return ""
}

// variableName reports whether name can name an environment variable.
func variableName(name string) bool {
	return name != "" && strings.Trim(name, wordBytes) == "" && !strings.Contains(numbers, name[:1])
}
