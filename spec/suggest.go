package spec

import (
	"slices"
	"strings"
)

// suggestion returns the end of a message about the unknown word: the one of
// known that was probably meant, or else all of them.
func suggestion(word string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if len(word) > 2*len(k) {
			continue // far apart, and the comparison takes len(word) × len(k)
		}
		if d := editDistance(plain(word), plain(k)); d < distance && d <= len(k)/2 {
			best, distance = k, d
		}
	}
	if best != "" {
		return `, did you mean "` + best + `"?`
	}
	sorted := slices.Sorted(slices.Values(known))
	return "; known here: " + strings.Join(sorted, ", ")
}

// plain makes startScript, start-script and start_script alike.
func plain(word string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(word))
}

// editDistance is the number of bytes to insert, delete or replace to turn a
// into b (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
