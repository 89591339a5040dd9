package spec

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// parseSize reads a size in bytes: digits, perhaps with a fraction, and a
// unit. K, M, G, T (as in systemd's MemoryMax=) and KiB, MiB, GiB, TiB count
// by 1024; kB, MB, GB, TB by 1000; B or nothing is bytes.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "BKMGTik ")
	unit := strings.TrimPrefix(s[len(digits):], " ")
	factor, ok := sizeUnit(unit)
	if !ok || !decimal(digits) {
		return 0, errors.New(`want a size such as 512M or 1.5GiB`)
	}
	if v, err := strconv.ParseInt(digits, 10, 64); err == nil && v <= math.MaxInt64/factor {
		return v * factor, nil
	}
	v, err := strconv.ParseFloat(digits, 64)
	v *= float64(factor)
	if err != nil || v >= math.MaxInt64 {
		return 0, errors.New("is more than 8 EiB")
	}
	return int64(v), nil
}

// decimal reports whether s is digits, perhaps with a fraction.
func decimal(s string) bool {
	before, after, fraction := strings.Cut(s, ".")
	return before != "" && digits(before) == before &&
		(!fraction || after != "" && digits(after) == after)
}

// sizeUnit returns how many bytes unit stands for.
func sizeUnit(unit string) (int64, bool) {
	if unit == "" || unit == "B" {
		return 1, true
	}
	power := 1 + strings.IndexByte("KMGT", strings.ToUpper(unit)[0])
	if power == 0 {
		return 0, false
	}
	var base int64
	switch unit[1:] {
	case "", "iB":
		base = 1024
	case "B":
		base = 1000
	default:
		return 0, false
	}
	factor := int64(1)
	for range power {
		factor *= base
	}
	return factor, true
}
