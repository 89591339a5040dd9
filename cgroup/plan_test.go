package cgroup

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestDirName(t *testing.T) {
	seen := map[string]string{}
	for _, c := range []struct{ name, want string }{
		{"web", "m-web"},
		{"Web-1.example_org", "m-Web-1.example_org"},
		{strings.Repeat("a", 60), "m-" + strings.Repeat("a", 60)},
		{strings.Repeat("a", 120), "m-" + strings.Repeat("a", 120)},
		{strings.Repeat("a", 121), "m-" + strings.Repeat("a", 120) + "~"},
		{strings.Repeat("a", 122), "m-" + strings.Repeat("a", 120) + "~"},
		{strings.Repeat("ä", 500), "m-" + strings.Repeat("_", 120) + "~"},
		{"a/b", "m-a_b~"},
		{"a_b", "m-a_b"},
		{"a b", "m-a_b~"},
		{"a\nb", "m-a_b~"},
		{"../../etc", "m-.._.._etc~"},
		{"..", "m-.."},
		{"", "m-"},
		{"cgroup.procs", "m-cgroup.procs"},
		{"a~b", "m-a_b~"},
	} {
		got := dirName(c.name)
		if got != c.want && (!strings.HasSuffix(c.want, "~") || !strings.HasPrefix(got, c.want) || len(got) != len(c.want)+16) {
			t.Errorf("dirName(%q) = %q, want %q", c.name, got, c.want)
		}
		if len(got) > 255 || strings.ContainsAny(got, "/\n\x00") {
			t.Errorf("dirName(%q) = %q is not a directory's name", c.name, got)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q share %q", other, c.name, got)
		}
		seen[got] = c.name
	}
}

func TestResources(t *testing.T) {
	every := []string{"cpu", "io", "memory", "pids"}
	all := Limits{Memory: 1 << 30, CPUs: 1.5, PIDs: 400}
	for _, c := range []struct {
		name        string
		limits      Limits
		controllers []string
		swap        bool
		want        string // controllers that must be enabled
		values      map[string]any
	}{
		{"none", Limits{}, every, true, "", nil},
		{"all", all, every, true, "cpu memory pids", map[string]any{"memory": int64(1 << 30), "cpu": "150000 100000", "pids": int64(400)}},
		{"without memory", all, []string{"cpu", "pids"}, true, "cpu pids", nil},
		{"without any", all, nil, false, "", nil},
		{"a very little processor", Limits{CPUs: 0.0001}, every, true, "cpu", map[string]any{"cpu": "1000 100000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := resources(c.limits, c.controllers, c.swap)
			if got := strings.Join(r.EnabledControllers(), " "); got != c.want {
				t.Errorf("controllers %q, want %q", got, c.want)
			}
			got := map[string]any{}
			if r.Memory != nil {
				got["memory"] = *r.Memory.Max
				if (r.Memory.Swap != nil) != c.swap || r.Memory.Swap != nil && *r.Memory.Swap != 0 {
					t.Errorf("swap limit is %v", r.Memory.Swap)
				}
			}
			if r.CPU != nil {
				got["cpu"] = string(r.CPU.Max)
			}
			if r.Pids != nil {
				got["pids"] = r.Pids.Max
			}
			if c.values != nil && !maps.Equal(got, c.values) {
				t.Errorf("values %v, want %v", got, c.values)
			}
		})
	}
	if r := resources(all, every, false); r.Memory.Swap != nil {
		t.Error("a swap limit on a kernel without swap")
	}
}

func TestParseSelf(t *testing.T) {
	for _, c := range []struct{ data, want, says string }{
		{"0::/\n", "/", ""},
		{"4:memory:/a\n1:cpu:/b\n0::/c/d.scope\n", "/c/d.scope", ""},
		{"0::/with:colon\n", "/with:colon", ""},
		{"0::/with space", "/with space", ""},
		{"4:memory:/a\n", "", "no line"},
		{"", "", "no line"},
		{"0::/..\n", "", "outside"},
		{"0::/../other\n", "", "outside"},
		{"0::/..not-outside\n", "/..not-outside", ""},
		{"0::/gone (deleted)\n", "", "removed"},
		{"0::relative\n", "", "not absolute"},
	} {
		got, err := parseSelf([]byte(c.data))
		if got != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("parseSelf(%q) = %q, %v; want %q, error %q", c.data, got, err, c.want, c.says)
		}
	}
}

func TestParseEvents(t *testing.T) {
	got, err := parseEvents([]byte("populated 1\nfrozen 0\n"))
	if err != nil || !maps.Equal(got, map[string]int64{"populated": 1, "frozen": 0}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"populated\n", "populated x\n", "populated 1 2\n", "\n"} {
		if got, err := parseEvents([]byte(bad)); err == nil {
			t.Errorf("%q became %v", bad, got)
		}
	}
}

func TestParsePIDs(t *testing.T) {
	got, err := parsePIDs([]byte("0\n12\n0\n345\n"))
	if err != nil || !slices.Equal(got, []int{0, 12, 0, 345}) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := parsePIDs(nil); err != nil || len(got) != 0 {
		t.Errorf("an empty file became %v, %v", got, err)
	}
	if got, err := parsePIDs([]byte("12\nx\n")); err == nil {
		t.Errorf("nonsense became %v", got)
	}
}

func FuzzParsers(f *testing.F) {
	f.Add([]byte("0::/a\n"))
	f.Add([]byte("populated 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if path, err := parseSelf(data); err == nil && !strings.HasPrefix(path, "/") {
			t.Errorf("parseSelf(%q) = %q", data, path)
		}
		parseEvents(data)
		parsePIDs(data)
		if name := dirName(string(data)); len(name) > 255 || strings.ContainsAny(name, "/\n\x00") {
			t.Errorf("dirName(%q) = %q", data, name)
		}
	})
}
