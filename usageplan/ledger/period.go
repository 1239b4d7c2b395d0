package ledger

import (
	"errors"
	"fmt"
	"time"
)

// Period is how often a quota starts anew: one of the constants. Any other is invalid.
type Period string

// The periods of API Gateway's usage plans, by its names. All begin at midnight in the quota's location.
// Source: QuotaSettings.period, https://docs.aws.amazon.com/apigateway/latest/api/API_QuotaSettings.html
const (
	Daily   Period = "DAY"
	Weekly  Period = "WEEK"
	Monthly Period = "MONTH"
)

// MaxUnits bounds a limit, a cost and an adjustment: 2^53, so that every engine counts exactly, those whose numbers
// are IEEE doubles (Redis scripts, JSON) included.
const MaxUnits = 1 << 53

// Quota is how many units an account may use in each period. Quotas are compared with ==: change any field, and the
// next request acts on it. Location counts as changed if the pointer is another (nil and [time.UTC] as well), so load a
// location once: with leases, a take under another quota than the last gives the lease back and reserves anew, a commit
// each.
type Quota struct {
	// Limit is the number of units in one period, 0 to [MaxUnits]; with 0 only extensions can be used.
	Limit int64

	// Period is how often it starts anew: [Daily], [Weekly] or [Monthly].
	Period Period

	// Offset is the day on which a period starts: for Weekly 0 (Sunday) to 6, for Monthly 0 (the 1st) to 27 (the 28th),
	// for Daily 0. API Gateway's validation has these ranges (so does Terraform's, validUsagePlanQuotaSettings in its
	// AWS provider); its present reference describes offset as a number of requests, which they do not fit:
	// https://docs.aws.amazon.com/apigateway/latest/api/API_QuotaSettings.html
	Offset int

	// Location is where midnight is; nil is UTC, as on API Gateway. Days that are 23 or 25 hours long count as one day.
	Location *time.Location
}

// Validate reports every mistake of q at once; each wraps [ErrInvalid].
func (q Quota) Validate() error {
	var errs []error
	if q.Limit < 0 || q.Limit > MaxUnits {
		errs = append(errs, fmt.Errorf("%w: limit %d is not within 0 and 2^53", errQuota, q.Limit))
	}
	if last := q.lastOffset(); last < 0 {
		errs = append(errs, fmt.Errorf("%w: no period: %.20q: use Daily, Weekly or Monthly", errQuota, q.Period))
	} else if q.Offset < 0 || q.Offset > last {
		errs = append(errs, fmt.Errorf("%w: offset %d of a %s quota is not within 0 and %d", errQuota, q.Offset, q.Period, last))
	}
	return errors.Join(errs...)
}

// lastOffset is the largest Offset of q's period, -1 for an invalid period.
func (q Quota) lastOffset() int {
	switch q.Period {
	case Daily:
		return 0
	case Weekly:
		return 6
	case Monthly:
		return 27
	}
	return -1
}

// Bounds returns the period [start, end) that holds t, in q's location: at end the next one starts. For a q without a
// valid Period both are zero.
func (q Quota) Bounds(t time.Time) (start, end time.Time) {
	loc := q.location()
	y, m, d := t.In(loc).Date()
	switch q.Period {
	case Daily:
		return midnight(y, m, d, loc), midnight(y, m, d+1, loc)
	case Weekly:
		// Weekdays are those of the date, not of an instant: midnight may lie in another zone than noon.
		d -= (int(time.Date(y, m, d, 12, 0, 0, 0, time.UTC).Weekday()) - q.Offset + 7) % 7
		return midnight(y, m, d, loc), midnight(y, m, d+7, loc)
	case Monthly:
		if d <= q.Offset {
			m--
		}
		return midnight(y, m, q.Offset+1, loc), midnight(y, m+1, q.Offset+1, loc)
	}
	return time.Time{}, time.Time{}
}

func (q Quota) location() *time.Location {
	if q.Location == nil {
		return time.UTC
	}
	return q.Location
}

// midnight returns the first instant of a date in loc. [time.Date] alone will not do: where clocks go forward at
// midnight, no such time exists (then it is the instant of the change), and where they go back at one o'clock it exists
// twice. A date that a location skipped altogether (Apia, 2011-12-30) starts where the next one does.
func midnight(y int, m time.Month, d int, loc *time.Location) time.Time {
	wall := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	if loc == time.UTC { // the usual quota, and a report asks for many days
		return wall
	}
	t := time.Date(y, m, d, 0, 0, 0, 0, loc)
	first := time.Time{}
	for _, near := range [...]time.Time{t.Add(-26 * time.Hour), t, t.Add(26 * time.Hour)} { // offsets change by at most a day
		_, offset := near.Zone()
		at := wall.Add(-time.Duration(offset) * time.Second).In(loc)
		if _, o := at.Zone(); o == offset && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if first.IsZero() {
		_, first = t.Add(-26 * time.Hour).ZoneBounds()
	}
	return first
}

// dayOf returns the calendar day [start, end) that holds t.
func (q Quota) dayOf(t time.Time) (start, end time.Time) {
	loc := q.location()
	y, m, d := t.In(loc).Date()
	return midnight(y, m, d, loc), midnight(y, m, d+1, loc)
}

// at is an instant in q's location.
func (q *Quota) at(unix int64) time.Time { return time.Unix(unix, 0).In(q.location()) }
