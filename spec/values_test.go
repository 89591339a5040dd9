package spec

import (
	"strings"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "1": 1, "12B": 12, "1K": 1 << 10, "512M": 512 << 20, "1GiB": 1 << 30, "2T": 2 << 40, "3TiB": 3 << 40,
		"1kB": 1000, "5MB": 5e6, "1GB": 1e9, "1TB": 1e12, "1.5G": 3 << 29, "0.5 KiB": 512, "1k": 1024,
		"9223372036854775807": 1<<63 - 1,
	} {
		got, err := parseSize(in)
		if err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "M", "-1M", "+1", "1 000", "1.M", ".5M", "1e3", "1KM", "1Ki", "1iB", "1BB", "1mb", "1P", "1  M", "0x10",
		"9223372036854775808", "9000000000G", "99999999999999999999999999999999999T",
	} {
		if got, err := parseSize(in); err == nil {
			t.Errorf("%q: got %d", in, got)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"PT1H": time.Hour, "PT1H30M": 90 * time.Minute, "PT0.5S": time.Second / 2, "PT1,5M": 90 * time.Second,
		"P1D": 24 * time.Hour, "P1W": 7 * 24 * time.Hour, "P1DT1S": 24*time.Hour + time.Second, "PT3600S": time.Hour,
		"P1W1D": 8 * 24 * time.Hour, "PT0.001S": time.Millisecond,
	} {
		got, err := parseDuration(in)
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "P", "PT", "P1DT", "1H", "PT1", "P1Y", "P1M", "PT1S1M", "PT1H1H", "P1H", "PT-1S", "PT.5S", "PT1.S", "PT1.2.3S",
		"pt1h", "1D", "T1S", "P" + strings.Repeat("9", 400) + "W", "PT0S", "PT0.0001S", "P999999W", "PT1e3S", "PTH", "PT1H ", "PT1D",
	} {
		if got, err := parseDuration(in); err == nil {
			t.Errorf("%q: got %v", in, got)
		}
	}
}

func TestDefaultMAC(t *testing.T) {
	for _, test := range []struct {
		vlan, number, nth int
		want              string
	}{
		{1, 1, 0, "52:54:00:12:01:01"},
		{255, 253, 0, "52:54:00:12:ff:fd"},
		{0, 10, 2, "52:54:00:14:00:0a"},
	} {
		if got := defaultMAC(test.vlan, test.number, test.nth); got != test.want {
			t.Errorf("%+v: got %s", test, got)
		}
	}
}
