package driver

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nestbox/nestbox/cgroup"
)

// usageText says what a machine used, as far as that was counted.
func usageText(u cgroup.Usage) string {
	known := func(name string) bool { return !slices.Contains(u.Unknown, name) }
	var parts []string
	if known("cpu") {
		parts = append(parts, fmt.Sprintf("%.2f s of CPU time", u.CPU.Seconds()))
	}
	if known("memory peak") {
		parts = append(parts, fmt.Sprintf("%.1f MiB of memory at the peak", float64(u.MemoryPeak)/(1<<20)))
	}
	if known("pids peak") {
		parts = append(parts, fmt.Sprintf("%d processes at the peak", u.PIDsPeak))
	}
	if u.OOMKills > 0 {
		parts = append(parts, fmt.Sprintf("%d processes killed for want of memory", u.OOMKills))
	}
	return strings.Join(parts, ", ")
}
