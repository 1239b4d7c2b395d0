package ledger_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Skipf("no time zone data: %v", err)
	}
	return loc
}

func TestBounds(t *testing.T) {
	berlin, cairo, havana, apia := zone(t, "Europe/Berlin"), zone(t, "Africa/Cairo"), zone(t, "America/Havana"), zone(t, "Pacific/Apia")
	tests := []struct {
		name           string
		quota          ledger.Quota
		at, start, end string
	}{
		{"day", ledger.Quota{Period: ledger.Daily}, "2026-11-24T05:00:00Z", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"},
		{"first instant of a day", ledger.Quota{Period: ledger.Daily}, "2026-11-24T00:00:00Z", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"},
		{"last instant of a day", ledger.Quota{Period: ledger.Daily}, "2026-11-24T23:59:59.999999999Z", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"},
		{"23 hours", ledger.Quota{Period: ledger.Daily, Location: berlin}, "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"25 hours", ledger.Quota{Period: ledger.Daily, Location: berlin}, "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		{"no midnight", ledger.Quota{Period: ledger.Daily, Location: cairo}, "2026-04-24T10:00:00Z", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"},
		{"two midnights", ledger.Quota{Period: ledger.Daily, Location: havana}, "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"},
		{"before the skipped date", ledger.Quota{Period: ledger.Daily, Location: apia}, "2011-12-30T00:00:00Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"},
		{"after the skipped date", ledger.Quota{Period: ledger.Daily, Location: apia}, "2011-12-30T12:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"},
		{"week from sunday", ledger.Quota{Period: ledger.Weekly}, "2026-11-24T05:00:00Z", "2026-11-22T00:00:00Z", "2026-11-29T00:00:00Z"},
		{"week from monday", ledger.Quota{Period: ledger.Weekly, Offset: 1}, "2026-11-22T05:00:00Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"},
		{"week from saturday", ledger.Quota{Period: ledger.Weekly, Offset: 6}, "2026-11-21T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-28T00:00:00Z"},
		{"week of 169 hours", ledger.Quota{Period: ledger.Weekly, Location: berlin}, "2026-10-27T00:00:00Z", "2026-10-24T22:00:00Z", "2026-10-31T23:00:00Z"},
		{"month", ledger.Quota{Period: ledger.Monthly}, "2026-11-30T23:00:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"month from the 28th, before it", ledger.Quota{Period: ledger.Monthly, Offset: 27}, "2026-03-27T23:00:00Z", "2026-02-28T00:00:00Z", "2026-03-28T00:00:00Z"},
		{"month from the 28th, on it", ledger.Quota{Period: ledger.Monthly, Offset: 27}, "2026-03-28T00:00:00Z", "2026-03-28T00:00:00Z", "2026-04-28T00:00:00Z"},
		{"month over new year", ledger.Quota{Period: ledger.Monthly, Offset: 14}, "2027-01-03T00:00:00Z", "2026-12-15T00:00:00Z", "2027-01-15T00:00:00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339Nano, tt.at)
			require.NoError(t, err)
			start, end := tt.quota.Bounds(at)
			require.Equal(t, tt.start, start.UTC().Format(time.RFC3339))
			require.Equal(t, tt.end, end.UTC().Format(time.RFC3339))
		})
	}
	start, end := ledger.Quota{}.Bounds(time.Now())
	require.True(t, start.IsZero() && end.IsZero(), "no period has no bounds")
}

var periods = []ledger.Period{ledger.Daily, ledger.Weekly, ledger.Monthly}

// TestBoundsModel compares with a model that walks from hour to hour and looks at the calendar.
func TestBoundsModel(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Africa/Cairo", "America/Havana", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Beirut"}
	n := 300
	if heavy() {
		n = 5000
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range n {
		loc := zone(t, zones[r.IntN(len(zones))])
		q := ledger.Quota{Limit: 1, Period: periods[r.IntN(3)], Location: loc}
		q.Offset = r.IntN(map[ledger.Period]int{ledger.Daily: 1, ledger.Weekly: 7, ledger.Monthly: 28}[q.Period])
		at := time.Unix(946684800+r.Int64N(30*365*86400), 0)
		start, end := q.Bounds(at)
		require.Equal(t, model(q, at, -1).Unix(), start.Unix(), "start of %v %v", q, at.In(loc))
		require.Equal(t, model(q, at, +1).Unix(), end.Unix(), "end of %v %v", q, at.In(loc))
		require.False(t, at.Before(start) || !at.Before(end), "%v not within [%v, %v)", at, start, end)
		s, e := q.Bounds(end.Add(-time.Nanosecond))
		require.True(t, s.Equal(start) && e.Equal(end), "one period, one pair of bounds")
		s, _ = q.Bounds(end)
		require.True(t, s.Equal(end), "periods adjoin")
	}
}

// model steps by quarters of an hour, the finest that clocks change by, to the first date that begins a period.
func model(q ledger.Quota, at time.Time, step int) time.Time {
	const quarter = 15 * time.Minute
	begins := func(t time.Time) bool { // t is the first quarter of its date, which begins a period
		if t.Add(-quarter).Day() == t.Day() {
			return false
		}
		switch q.Period {
		case ledger.Weekly:
			return int(t.Weekday()) == q.Offset
		case ledger.Monthly:
			return t.Day() == q.Offset+1
		}
		return true
	}
	t := at.Truncate(quarter).In(q.Location)
	if step > 0 {
		t = t.Add(quarter)
	}
	for !begins(t) {
		t = t.Add(time.Duration(step) * quarter)
	}
	return t
}

func TestQuotaValidate(t *testing.T) {
	tests := []struct {
		quota ledger.Quota
		want  string
	}{
		{ledger.Quota{Limit: 10, Period: ledger.Daily}, ""},
		{ledger.Quota{Limit: ledger.MaxUnits, Period: ledger.Weekly, Offset: 6}, ""},
		{ledger.Quota{Period: ledger.Monthly, Offset: 27}, ""},
		{ledger.Quota{}, "invalid quota: no period: \"\": use Daily, Weekly or Monthly"},
		{ledger.Quota{Period: "HOUR"}, "invalid quota: no period: \"HOUR\": use Daily, Weekly or Monthly"},
		{ledger.Quota{Period: ledger.Daily, Offset: 1}, "invalid quota: offset 1 of a DAY quota is not within 0 and 0"},
		{ledger.Quota{Period: ledger.Weekly, Offset: 7}, "invalid quota: offset 7 of a WEEK quota is not within 0 and 6"},
		{ledger.Quota{Period: ledger.Monthly, Offset: -1}, "invalid quota: offset -1 of a MONTH quota is not within 0 and 27"},
		{ledger.Quota{Limit: -1, Period: ledger.Daily}, "invalid quota: limit -1 is not within 0 and 2^53"},
		{ledger.Quota{Limit: ledger.MaxUnits + 1}, "invalid quota: limit 9007199254740993 is not within 0 and 2^53\ninvalid quota: no period: \"\": use Daily, Weekly or Monthly"},
	}
	for _, tt := range tests {
		err := tt.quota.Validate()
		if tt.want == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, tt.want)
		require.ErrorIs(t, err, ledger.ErrQuota)
	}
}

// TestPeriodsHaveTheNamesOfAPIGateway: a period is written as API Gateway writes it, and no other text is one.
func TestPeriodsHaveTheNamesOfAPIGateway(t *testing.T) {
	text, err := json.Marshal(periods)
	require.NoError(t, err)
	require.JSONEq(t, `["DAY", "WEEK", "MONTH"]`, string(text))
	for _, bad := range []ledger.Period{"", "day", "DAYS", "Period(1)"} {
		require.ErrorIs(t, ledger.Quota{Limit: 1, Period: bad}.Validate(), ledger.ErrQuota, "%q", bad)
	}
}

// TestMistakesAreInvalid: whatever is invalid is so for a caller, and says what it is.
func TestMistakesAreInvalid(t *testing.T) {
	for _, err := range []error{ledger.ErrConfig, ledger.ErrQuota, ledger.ErrKey, ledger.ErrCost} {
		require.ErrorIs(t, err, ledger.ErrInvalid)
	}
}
