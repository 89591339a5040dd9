package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	one := 1.0
	results := []*result{{Scenario: "ping", Machines: 2, Turns: []turn{
		{Contender: nestbox, Round: 1, WallS: 0.5, CPUS: 0.4, Phases: map[string]float64{"script begins": 0.1, "is up": 0.4}},
		{Contender: peer, Round: 1, WallS: 1.5, CPUS: 0.9, FailedUnits: &one, Failed: []string{"x.service failed"}},
		{Contender: floor, Round: 1, WallS: 0.5, CPUS: 0.4},
		{Contender: "peer-id", Round: 1, WallS: 1, CPUS: 0.8},
	}}}
	text := table(&report{Metrics: evaluate(results), Scenarios: results})
	for _, want := range []string{
		"median (min-max)  nestbox           peer              floor             peer-id           to peer  to floor  goals",
		"ping, wall [s]    0.50 (0.50-0.50)  1.50 (1.50-1.50)  0.50 (0.50-0.50)  1.00 (1.00-1.00)  0.33x    1.00x     <= 1.25x floor ok, <= 0.7x peer ok",
		"ping, wall [s]: 1.50, known 0.99 (1.52x); nestbox to the known figure: 0.51x; SLOWER",
		"ping, nestbox, seconds after its start: script begins 0.10, is up 0.40, exits 0.50",
		"failed units, ping, round 1, peer:\n  x.service failed",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

func TestFailures(t *testing.T) {
	good := &result{Scenario: "ping", Turns: []turn{{Contender: peer}}}
	if err := failures([]*result{good}); err != nil {
		t.Errorf("without a failure: %v", err)
	}
	bad := &result{Scenario: "many", dir: "/out", Turns: []turn{{Contender: floor, Round: 2, Error: "exit status 1"}}}
	err := failures([]*result{good, bad})
	if want := "many, round 2, floor: exit status 1 (see /out)"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
