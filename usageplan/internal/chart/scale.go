package chart

import (
	"math"
	"strconv"
)

// A scale is the vertical axis: lines at 0, step, 2 step and so on up to top.
type scale struct{ step, top float64 }

// scaleOf returns the scale for the bars: two to five lines at 1, 2 or 5 times a power of ten, which are whole because
// units are.
func scaleOf(bars []bar) scale {
	highest := 1.0
	for i := range bars {
		b := &bars[i]
		highest = max(highest, b.bound, b.limit, b.before+b.used+b.rest)
	}
	power := math.Pow(10, math.Floor(math.Log10(highest/4)))
	step := 10 * power
	for _, factor := range [...]float64{5, 2, 1} {
		if factor*power >= highest/4 {
			step = factor * power
		}
	}
	step = max(1, step)
	return scale{step, step * math.Ceil(highest/step)}
}

// y is the place of a number of units, in percent from the top.
func (s scale) y(units float64) float64 { return 100 - 100*min(max(units, 0), s.top)/s.top }

// lines are the numbers at which the axis has lines, from 0 to the top.
func (s scale) lines() (at []float64) {
	for i := range int(math.Round(s.top/s.step)) + 1 {
		at = append(at, float64(i)*s.step)
	}
	return at
}

// short is a round number in as few characters as the axis has room for: 25000 is "25k".
func short(n float64) string {
	if n < 10_000 {
		return Count(int64(n))
	}
	thousands := -1
	for ; n >= 1000; n /= 1000 {
		thousands++
	}
	return strconv.FormatFloat(n, 'f', -1, 64) + "kMGTPE"[thousands:thousands+1]
}

// Count is a number with commas between thousands: 1,675.
func Count(n int64) string {
	text := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// whole is a sum of floats as a number of units. 2^53 times the 366 days of the longest chart fits.
func whole(f float64) int64 { return int64(min(f, 1<<62)) }
