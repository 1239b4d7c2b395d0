package admin

import "time"

// Bounds of a forecast. From a few requests, or from a few minutes, nothing can be told; and what a part of a day has
// seen says little about a month.
const (
	forecastUnits   = 10
	forecastElapsed = 20 * time.Minute
	forecastFactor  = 30 // how many times the observed time it reaches ahead
)

// forecast says in a sentence when a quota runs out if its client goes on as it has today, or that it lasts until the
// reset. It is "" if too little is known, and if nothing is left. The times are in the zone of now, which is that of the
// quota.
//
// Example: at 12:00 a client has used 60 units since midnight, 5 an hour, and 20 are left. They last for 4 hours, so it
// runs out about 16:00.
func forecast(now, midnight, reset time.Time, usedToday, remaining int64) string {
	elapsed := now.Sub(midnight)
	if remaining <= 0 || usedToday < forecastUnits || elapsed < forecastElapsed {
		return ""
	}
	left := float64(elapsed) / float64(usedToday) * float64(remaining) // nanoseconds; a float, since it may be ages
	until := reset.Sub(now)
	if min(left, float64(until)) > forecastFactor*float64(elapsed) {
		return ""
	}
	if left >= float64(until) {
		return "Lasts until the reset at today's pace."
	}
	out := about(now, time.Duration(left))
	switch days := dateOf(out).Sub(dateOf(now)) / (24 * time.Hour); {
	case !out.Before(reset):
		return "Runs out shortly before the reset at today's pace."
	case days == 0:
		return "Runs out about " + out.Format("15:04") + " at today's pace."
	case days == 1:
		return "Runs out tomorrow about " + out.Format("15:04") + " at today's pace."
	}
	return "Runs out on " + out.Format("Monday 2 January") + " at today's pace."
}

// about returns the time after a duration, rounded on the local clock to no more than the forecast can tell.
func about(now time.Time, left time.Duration) time.Time {
	unit := time.Hour
	switch {
	case left < time.Hour:
		unit = 5 * time.Minute
	case left < 6*time.Hour:
		unit = 30 * time.Minute
	}
	out := now.Add(left)
	_, offset := out.Zone()
	east := time.Duration(offset) * time.Second
	return out.Add(east).Round(unit).Add(-east)
}

// dateOf returns the date of a time as a midnight of UTC, so that dates can be subtracted.
func dateOf(t time.Time) time.Time {
	year, month, day := t.Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}
