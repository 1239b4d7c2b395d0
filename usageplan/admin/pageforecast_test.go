package admin

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestForecast(t *testing.T) {
	kathmandu, err := time.LoadLocation("Asia/Kathmandu") // 05:45 ahead of UTC
	require.NoError(t, err)
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 12, day, hour, minute, 0, 0, kathmandu) }
	const lasts = "Lasts until the reset at today's pace."
	for name, test := range map[string]struct {
		now, reset      time.Time
		used, remaining int64
		want            string
	}{
		"five an hour, four hours":     {at(1, 12, 0), at(2, 0, 0), 60, 20, "Runs out about 16:00 at today's pace."},
		"minutes":                      {at(1, 12, 0), at(2, 0, 0), 120, 4, "Runs out about 12:25 at today's pace."},
		"hours round to hours":         {at(1, 12, 0), at(2, 0, 0), 60, 37, "Runs out about 19:00 at today's pace."},
		"lasts":                        {at(1, 12, 0), at(2, 0, 0), 60, 60, lasts},
		"by a hair":                    {at(1, 12, 0), at(2, 0, 0), 1000, 999, "Runs out shortly before the reset at today's pace."},
		"nothing left":                 {at(1, 12, 0), at(2, 0, 0), 60, 0, ""},
		"overdrawn":                    {at(1, 12, 0), at(2, 0, 0), 60, -5, ""},
		"nine units":                   {at(1, 12, 0), at(2, 0, 0), 9, 1, ""},
		"nothing used":                 {at(1, 12, 0), at(2, 0, 0), 0, 100, ""},
		"corrected":                    {at(1, 12, 0), at(2, 0, 0), -60, 100, ""},
		"first minutes":                {at(1, 0, 19), at(2, 0, 0), 1000, 1000, ""},
		"twenty minutes":               {at(1, 0, 20), at(2, 0, 0), 1000, 1000, "Runs out about 00:40 at today's pace."},
		"too far ahead of a short day": {at(1, 0, 20), at(2, 0, 0), 10, 1000, ""},
		"month, this evening":          {at(1, 12, 0), at(31, 0, 0), 1200, 600, "Runs out about 18:00 at today's pace."},
		"month, tomorrow":              {at(1, 12, 0), at(31, 0, 0), 1200, 2000, "Runs out tomorrow about 08:00 at today's pace."},
		"month, in days":               {at(1, 12, 0), at(31, 0, 0), 1200, 12_000, "Runs out on Sunday 6 December at today's pace."},
		"month, too far":               {at(1, 2, 0), at(31, 0, 0), 20, 100_000, ""},
		"month, lasts":                 {at(20, 12, 0), at(31, 0, 0), 20, 100_000, lasts},
		"more than time can say":       {at(20, 12, 0), at(31, 0, 0), 10, 1 << 53, lasts},
	} {
		midnight := time.Date(2026, 12, test.now.Day(), 0, 0, 0, 0, kathmandu)
		require.Equal(t, test.want, forecast(test.now, midnight, test.reset, test.used, test.remaining), name)
	}
}

// TestShare: what counts is what is left of the limit with its extensions.
func TestShare(t *testing.T) {
	for _, test := range []struct {
		st              standing
		share           float64
		near, exhausted bool
	}{
		{standing{limited: true, limit: 100, remaining: 100}, 0, false, false},
		{standing{limited: true, limit: 100, used: 79, remaining: 21}, 0.79, false, false},
		{standing{limited: true, limit: 100, used: 80, remaining: 20}, 0.8, true, false},
		{standing{limited: true, limit: 100, adjustments: 100, used: 80, remaining: 120}, 0.4, false, false},
		{standing{limited: true, limit: 100, used: 100}, 1, false, true},
		{standing{limited: true, limit: 0}, 1, false, true},
		{standing{limited: true, limit: 100, adjustments: -200, used: 3}, 1, false, true},
		{standing{limited: true, limit: 100, remaining: 150}, 0, false, false},
		{standing{used: 1000}, 0, false, false},
	} {
		require.InDelta(t, test.share, test.st.share(), 1e-9, "%+v", test.st)
		require.Equal(t, test.near, test.st.near(), "%+v", test.st)
		require.Equal(t, test.exhausted, test.st.exhausted(), "%+v", test.st)
	}
}
