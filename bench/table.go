package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// slower is how much slower than known the peer may be before the comparison
// is called into question.
const slower = 1.1

// table renders a report for people.
func table(r *report) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	columns := contenders(r.Metrics)
	fmt.Fprintf(w, "median (min-max)\t%s\tto peer\tto floor\tgoals\n", strings.Join(columns, "\t"))
	for _, f := range r.Metrics {
		fmt.Fprintf(w, "%s\t", withUnit(f))
		for _, c := range columns {
			fmt.Fprintf(w, "%s\t", cell(f, c))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", ratio(f, peer), ratio(f, floor), goals(f))
	}
	_ = w.Flush() // to a strings.Builder
	b.WriteString(peerCheck(r.Metrics))
	b.WriteString(phases(r.Scenarios))
	b.WriteString(details(r.Scenarios))
	return b.String()
}

// contenders returns those that have figures, the usual ones first.
func contenders(figures []figure) []string {
	seen := map[string]bool{}
	for _, f := range figures {
		for name := range f.Contenders {
			seen[name] = true
		}
	}
	names := slices.DeleteFunc([]string{nestbox, peer, floor}, func(name string) bool { return !seen[name] })
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func withUnit(f figure) string {
	if f.Unit == "" {
		return f.Title
	}
	return f.Title + " [" + f.Unit + "]"
}

func cell(f figure, contender string) string {
	s, ok := f.Contenders[contender]
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%s (%s-%s)", number(s.Median), number(s.Min), number(s.Max))
}

// number shows three digits or so.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func ratio(f figure, against string) string {
	ours, ok := f.Contenders[nestbox]
	theirs, there := f.Contenders[against]
	if !ok || !there || theirs.Median == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2fx", ours.Median/theirs.Median)
}

func goals(f figure) string {
	var words []string
	for _, v := range f.Verdicts {
		verdict := "ok"
		if !v.OK {
			verdict = "MISSED"
		}
		words = append(words, v.Goal+" "+verdict)
	}
	return strings.Join(words, ", ")
}

// peerCheck holds the peer against its known figures: to beat a slow imitation
// would mean nothing.
func peerCheck(figures []figure) string {
	var b strings.Builder
	for _, f := range figures {
		s, ok := f.Contenders[peer]
		if !ok || f.Known == 0 {
			continue
		}
		if b.Len() == 0 {
			b.WriteString("\nThe peer beside upstream's own driver, measured earlier on an idle machine of this kind:\n")
		}
		by := s.Median / f.Known
		note := ""
		if by > slower {
			note = "; SLOWER: the machine is busy or another one, or the harness is wrong"
		}
		fmt.Fprintf(&b, "  %s: %s, known %s (%.2fx)", withUnit(f), number(s.Median), number(f.Known), by)
		if ours, ok := f.Contenders[nestbox]; ok {
			fmt.Fprintf(&b, "; nestbox to the known figure: %.2fx", ours.Median/f.Known)
		}
		b.WriteString(note + "\n")
	}
	return b.String()
}

// phases shows when, after a driver's start, what had happened.
func phases(results []*result) string {
	var b strings.Builder
	for _, r := range results {
		by := map[string]map[string][]float64{}
		for _, t := range r.Turns {
			if t.Round == 0 || t.Error != "" || t.Phases == nil {
				continue
			}
			if by[t.Contender] == nil {
				by[t.Contender] = map[string][]float64{}
			}
			for name, at := range t.Phases {
				by[t.Contender][name] = append(by[t.Contender][name], at)
			}
			by[t.Contender]["exits"] = append(by[t.Contender]["exits"], t.WallS)
		}
		for _, who := range slices.Sorted(maps.Keys(by)) {
			medians := map[string]float64{}
			for name, values := range by[who] {
				medians[name] = spreadOf(values).Median
			}
			var words []string
			for _, name := range byValue(medians) {
				words = append(words, fmt.Sprintf("%s %.2f", name, medians[name]))
			}
			fmt.Fprintf(&b, "\n%s, %s, seconds after its start: %s\n", r.Scenario, who, strings.Join(words, ", "))
		}
	}
	return b.String()
}

// byValue returns a map's keys, the one with the least value first.
func byValue(m map[string]float64) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[a], m[b]), strings.Compare(a, b))
	})
}

// details names failed units, and what memory beside machines consists of.
func details(results []*result) string {
	var b strings.Builder
	for _, r := range results {
		for _, t := range r.Turns {
			if t.FailedUnits != nil && *t.FailedUnits > 0 {
				fmt.Fprintf(&b, "\nfailed units, %s, round %d, %s:\n  %s\n", r.Scenario, t.Round, t.Contender, strings.Join(t.Failed, "\n  "))
			}
		}
		for _, who := range []string{nestbox, peer} {
			i := slices.IndexFunc(r.Turns, func(t turn) bool { return t.Contender == who && t.Memory != nil })
			if i < 0 {
				continue
			}
			m := r.Turns[i].Memory
			fmt.Fprintf(&b, "\n%s's processes, MiB (%s): %s\n", who, m.Method, list(m.ByName))
			fmt.Fprintf(&b, "their CPU seconds and the machines', of those that live: %s\n", list(m.CPUByName))
		}
	}
	return b.String()
}

// list shows a map's entries, the greatest first.
func list(m map[string]float64) string {
	var words []string
	for _, name := range slices.Backward(byValue(m)) {
		words = append(words, name+" "+number(m[name]))
	}
	return strings.Join(words, ", ")
}
