package main

import (
	"fmt"
	"slices"
	"strings"
)

// contender names, as bench.nix has them.
const (
	nestbox = "nestbox"
	peer    = "peer"
	floor   = "floor"
)

// scenario is one build of bench.nix.
type scenario struct {
	name   string
	rounds func(runs int) int
}

func scenarios() []scenario {
	return []scenario{
		{"ping", func(runs int) int { return 3 * runs }},
		{"many", func(runs int) int { return runs }},
		{"calls", func(runs int) int { return (runs + 1) / 2 }},
		{"memory", func(runs int) int { return (runs + 3) / 4 }},
	}
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// choose returns the scenarios that a comma-separated list names; all for "".
func choose(only string) ([]scenario, error) {
	if only == "" {
		return scenarios(), nil
	}
	var chosen []scenario
	for name := range strings.SplitSeq(only, ",") {
		all := scenarios()
		i := slices.IndexFunc(all, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no scenario %q: there are %s", name, strings.Join(scenarioNames(), ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// metric is a figure to be taken from each turn of a scenario.
type metric struct {
	scenario string
	title    string
	unit     string
	value    func(t turn, machines float64) *float64
	goals    []goal
	// known is the peer's figure as upstream's own driver had it on the
	// machine that the goals were set on; 0 where none was taken.
	known float64
}

// goal bounds Nestbox's median: as a multiple of another contender's, or, with
// against empty, as it is.
type goal struct {
	against string
	max     float64
	below   bool // max itself is too much
}

func metrics() []metric {
	mib := func(key string, each bool) func(turn, float64) *float64 {
		return func(t turn, machines float64) *float64 {
			if t.Memory == nil {
				return nil
			}
			v := t.Memory.MiB[key]
			if each {
				v /= machines
			}
			return &v
		}
	}
	wall := func(t turn, _ float64) *float64 { return &t.WallS }
	cpu := func(t turn, _ float64) *float64 { return &t.CPUS }
	return []metric{
		{scenario: "ping", title: "ping, wall", unit: "s", value: wall, known: 0.99,
			goals: []goal{{against: floor, max: 1.25}, {against: peer, max: 0.7}}},
		{scenario: "ping", title: "ping, CPU", unit: "s", value: cpu},
		{scenario: "many", title: "24 machines, wall", unit: "s", value: wall, known: 8.97,
			goals: []goal{{against: floor, max: 1.2}, {against: peer, max: 0.65}}},
		{scenario: "many", title: "24 machines, CPU", unit: "s", value: cpu, known: 14.1},
		{scenario: "many", title: "24 machines, failed units", unit: "",
			value: func(t turn, _ float64) *float64 { return t.FailedUnits }, goals: []goal{{max: 0}}},
		{scenario: "calls", title: `succeed("true")`, unit: "ms", known: 5.6,
			value: func(t turn, _ float64) *float64 { return t.SucceedMS }, goals: []goal{{max: 1.5, below: true}}},
		{scenario: "calls", title: `succeed("true"), 90th percentile`, unit: "ms",
			value: func(t turn, _ float64) *float64 { return t.SucceedP90MS }},
		{scenario: "calls", title: "wait_for_unit, late by", unit: "ms", known: 730,
			value: func(t turn, _ float64) *float64 { return t.UnitLateMS }, goals: []goal{{max: 20}}},
		{scenario: "calls", title: "wait_for_unit, latest", unit: "ms",
			value: func(t turn, _ float64) *float64 { return t.UnitLateMax }},
		{scenario: "memory", title: "driver and Python", unit: "MiB", value: mib("driver", false),
			goals: []goal{{max: 60, below: true}}},
		{scenario: "memory", title: "beside each of 24 machines", unit: "MiB", value: mib("beside", true), known: 12,
			goals: []goal{{max: 8, below: true}}},
		{scenario: "memory", title: "each machine's own processes", unit: "MiB", value: mib("own", true)},
	}
}

// figure is a metric with its values.
type figure struct {
	Scenario   string            `json:"scenario"`
	Title      string            `json:"title"`
	Unit       string            `json:"unit,omitempty"`
	Contenders map[string]spread `json:"contenders"`
	Verdicts   []verdict         `json:"goals,omitempty"`
	Known      float64           `json:"peer_elsewhere,omitempty"`
}

// verdict says whether a goal is met.
type verdict struct {
	Goal  string  `json:"goal"`
	Value float64 `json:"value"` // what is compared with the bound
	OK    bool    `json:"ok"`
}

// evaluate takes all metrics from the results that have them.
func evaluate(results []*result) []figure {
	var figures []figure
	for _, m := range metrics() {
		for _, r := range results {
			if r.Scenario != m.scenario {
				continue
			}
			f := figure{Scenario: m.scenario, Title: m.title, Unit: m.unit, Known: m.known, Contenders: map[string]spread{}}
			for contender, values := range collect(m, r) {
				f.Contenders[contender] = spreadOf(values)
			}
			if len(f.Contenders) == 0 {
				continue
			}
			for _, g := range m.goals {
				if v, ok := g.judge(f.Contenders); ok {
					f.Verdicts = append(f.Verdicts, v)
				}
			}
			figures = append(figures, f)
		}
	}
	return figures
}

// collect returns a metric's values by contender. Turns to warm up and turns
// that went wrong have none.
func collect(m metric, r *result) map[string][]float64 {
	values := map[string][]float64{}
	for _, t := range r.Turns {
		if t.Round == 0 || t.Error != "" {
			continue
		}
		if v := m.value(t, float64(r.Machines)); v != nil {
			values[t.Contender] = append(values[t.Contender], *v)
		}
	}
	return values
}

// judge holds a goal against the medians. ok is false when somebody is missing.
func (g goal) judge(by map[string]spread) (verdict, bool) {
	ours, ok := by[nestbox]
	if !ok {
		return verdict{}, false
	}
	sign, value, text := "<=", ours.Median, fmt.Sprint(g.max)
	if g.below {
		sign = "<"
	}
	if g.against != "" {
		other, ok := by[g.against]
		if !ok || other.Median == 0 {
			return verdict{}, false
		}
		value /= other.Median
		text = fmt.Sprintf("%gx %s", g.max, g.against)
	}
	met := value <= g.max
	if g.below {
		met = value < g.max
	}
	return verdict{Goal: sign + " " + text, Value: value, OK: met}, true
}
