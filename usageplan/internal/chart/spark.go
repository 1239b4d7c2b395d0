package chart

import (
	"fmt"
	"math"
	"strconv"
)

// Spark returns a chart of one row's height: what was used on each day, oldest first. Its bars are one path, because a
// page has many of these. Each chart is scaled to its own highest day. Where nothing was used, it says so instead.
func Spark(used []int64) string {
	most, total := 0.0, 0.0
	for _, n := range used {
		total += max(0, float64(n))
		most = max(most, float64(n))
	}
	if most == 0 {
		return fmt.Sprintf(`<span class="chart-idle">no use in %d days</span>`, len(used))
	}
	out := fmt.Appendf(nil, `<svg class="chart-spark" role="img" aria-label="%s used in %d days, at most %s on one" `+
		`viewBox="0 0 %d 20" preserveAspectRatio="none"><path class="used" d="`,
		Count(whole(total)), len(used), Count(whole(most)), 4*len(used))
	for i, n := range used {
		if n <= 0 {
			continue
		}
		height := max(1, math.Round(200*float64(n)/most)/10) // what was used shows, however little it was
		tall := strconv.FormatFloat(height, 'f', -1, 64)
		out = fmt.Appendf(out, "M%d 20v-%sh3v%sz", 4*i, tall, tall)
	}
	return string(append(out, `"/></svg>`...))
}
