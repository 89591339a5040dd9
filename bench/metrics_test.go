package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSpreadOf(t *testing.T) {
	for _, c := range []struct {
		values           []float64
		median, min, max float64
	}{
		{[]float64{3}, 3, 3, 3},
		{[]float64{4, 1}, 2.5, 1, 4},
		{[]float64{9, 1, 2}, 2, 1, 9},
		{[]float64{8, 2, 4, 6}, 5, 2, 8},
	} {
		got := spreadOf(c.values)
		if got.Median != c.median || got.Min != c.min || got.Max != c.max {
			t.Errorf("spreadOf(%v) = %+v", c.values, got)
		}
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		only string
		want string
		err  string
	}{
		{"", "ping many calls memory", ""},
		{"many", "many", ""},
		{"calls,ping", "calls ping", ""},
		{"pong", "", `no scenario "pong": there are ping, many, calls, memory`},
	} {
		chosen, err := choose(c.only)
		if c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("choose(%q): error %v, want %s", c.only, err, c.err)
			}
			continue
		}
		var names []string
		for _, s := range chosen {
			names = append(names, s.name)
			if s.rounds(1) < 1 {
				t.Errorf("%s has no round with --runs 1", s.name)
			}
		}
		if got := strings.Join(names, " "); err != nil || got != c.want {
			t.Errorf("choose(%q) = %s, %v", c.only, got, err)
		}
	}
}

func TestJudge(t *testing.T) {
	by := func(nestboxes, floors float64) map[string]spread {
		return map[string]spread{nestbox: {Median: nestboxes}, floor: {Median: floors}}
	}
	for name, c := range map[string]struct {
		goal goal
		by   map[string]spread
		want verdict
		none bool
	}{
		"met ratio":           {goal: goal{against: floor, max: 1.25}, by: by(5, 4), want: verdict{"<= 1.25x floor", 1.25, true}},
		"missed ratio":        {goal: goal{against: floor, max: 1.2}, by: by(5, 4), want: verdict{"<= 1.2x floor", 1.25, false}},
		"at a limit":          {goal: goal{max: 20}, by: by(20, 0), want: verdict{"<= 20", 20, true}},
		"at a strict limit":   {goal: goal{max: 1.5, below: true}, by: by(1.5, 0), want: verdict{"< 1.5", 1.5, false}},
		"none may fail":       {goal: goal{max: 0}, by: by(1, 0), want: verdict{"<= 0", 1, false}},
		"the other is absent": {goal: goal{against: peer, max: 1}, by: by(1, 1), none: true},
		"we are absent":       {goal: goal{max: 1}, by: map[string]spread{peer: {Median: 1}}, none: true},
	} {
		got, ok := c.goal.judge(c.by)
		if ok == c.none || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, ok, c.want)
		}
	}
}

func TestEvaluate(t *testing.T) {
	ms := func(v float64) *float64 { return &v }
	results := []*result{
		{Scenario: "ping", Machines: 2, Turns: []turn{
			{Contender: nestbox, Round: 0, WallS: 99, CPUS: 99}, // to warm up
			{Contender: nestbox, Round: 1, WallS: 1, CPUS: 2},
			{Contender: nestbox, Round: 2, WallS: 3, CPUS: 2},
			{Contender: floor, Round: 1, WallS: 1.6, CPUS: 1},
			{Contender: peer, Round: 1, WallS: 0.1, Error: "exit status 1"},
		}},
		{Scenario: "calls", Machines: 1, Turns: []turn{
			{Contender: nestbox, Round: 1, SucceedMS: ms(0.5), UnitLateMS: ms(30)},
			{Contender: peer, Round: 1, SucceedMS: ms(5)},
		}},
		{Scenario: "memory", Machines: 4, Turns: []turn{
			{Contender: nestbox, Round: 1, Memory: &memory{MiB: map[string]float64{"driver": 20, "beside": 8, "own": 40}}},
		}},
	}
	got := map[string][]string{}
	for _, f := range evaluate(results) {
		line := cell(f, nestbox) + " | " + cell(f, peer) + " | " + ratio(f, floor)
		got[f.Title] = []string{line, goals(f)}
	}
	want := map[string][]string{
		"ping, wall":                   {"2.00 (1.00-3.00) | - | 1.25x", "<= 1.25x floor ok"},
		"ping, CPU":                    {"2.00 (2.00-2.00) | - | 2.00x", ""},
		`succeed("true")`:              {"0.50 (0.50-0.50) | 5.00 (5.00-5.00) | -", "< 1.5 ok"},
		"wait_for_unit, late by":       {"30.0 (30.0-30.0) | - | -", "<= 20 MISSED"},
		"driver and Python":            {"20.0 (20.0-20.0) | - | -", "< 60 ok"},
		"beside each of 24 machines":   {"2.00 (2.00-2.00) | - | -", "< 8 ok"},
		"each machine's own processes": {"10.0 (10.0-10.0) | - | -", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("evaluate (-want +got):\n%s", diff)
	}
}
