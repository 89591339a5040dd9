package spec

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected problems in testdata")

// Each testdata/problems/NAME.json is unusable; NAME.txt is what a person
// gets to read about it.
func TestProblemTexts(t *testing.T) {
	inputs, err := filepath.Glob("testdata/problems/*.json")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	for _, input := range inputs {
		t.Run(filepath.Base(input), func(t *testing.T) {
			data, err := os.ReadFile(input)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Decode(data, files().options())
			if err == nil {
				t.Fatal("no problem was found")
			}
			golden := strings.TrimSuffix(input, ".json") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, readErr := os.ReadFile(golden)
			if readErr != nil {
				t.Fatal(readErr)
			}
			wantLines(t, []string{err.Error() + "\n"}, string(want))
		})
	}
}
