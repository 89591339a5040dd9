package spec

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The bounds of a test's time. The lower keeps fractions from rounding to
// nothing; the upper is a year, far below what time.Duration holds.
const (
	minSeconds = 0.001
	maxSeconds = 366 * 24 * 3600
)

// parseDuration reads an ISO 8601 duration of weeks, days, hours, minutes
// and seconds, such as PT1H30M. Years and months have no fixed length and
// are refused.
func parseDuration(s string) (time.Duration, error) {
	malformed := errors.New(`want seconds or an ISO 8601 duration such as "PT1H30M"`)
	rest, ok := strings.CutPrefix(s, "P")
	if !ok {
		return 0, malformed
	}
	date, clock, hasClock := strings.Cut(rest, "T")
	if date == "" && clock == "" || hasClock && clock == "" {
		return 0, malformed
	}
	total := 0.0
	for _, part := range []struct {
		text    string
		units   string
		seconds []float64
	}{
		{date, "WD", []float64{7 * 24 * 3600, 24 * 3600}},
		{clock, "HMS", []float64{3600, 60, 1}},
	} {
		text, next := part.text, 0
		for text != "" {
			number := text[:len(text)-len(strings.TrimLeft(text, "0123456789.,"))]
			text = text[len(number):]
			if text == "" {
				return 0, malformed
			}
			// Units come in this order, each once at most.
			unit := strings.IndexByte(part.units[next:], text[0])
			number = strings.Replace(number, ",", ".", 1)
			if unit < 0 || !decimal(number) {
				return 0, malformed
			}
			// A number too large for a float is infinite, and out of bounds.
			v, _ := strconv.ParseFloat(number, 64)
			total += v * part.seconds[next+unit]
			text, next = text[1:], next+unit+1
		}
	}
	return secondsToDuration(total)
}

// secondsToDuration converts a test's time limit.
func secondsToDuration(seconds float64) (time.Duration, error) {
	if math.IsNaN(seconds) || seconds < minSeconds || seconds > maxSeconds {
		return 0, fmt.Errorf("must be from %g to %d seconds", minSeconds, maxSeconds)
	}
	return time.Duration(math.Round(seconds * float64(time.Second))), nil
}
