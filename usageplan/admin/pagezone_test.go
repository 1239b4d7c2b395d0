package admin_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan/internal/chart"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// TestFiguresFollowTheClockOfThePlan: in zones where a day has 23 or 25 hours, and where a midnight does not exist. The
// tiles of the overview and of the key, and the lines of the file, are those of a model that adds up what was taken by
// its local date.
func TestFiguresFollowTheClockOfThePlan(t *testing.T) {
	for zone, begin := range map[string]string{
		"Europe/Berlin": "2000-03-22", "America/Sao_Paulo": "2000-10-04", "Australia/Lord_Howe": "2000-03-22", "Pacific/Kiritimati": "2000-12-28",
	} {
		for i, period := range []ledger.Period{ledger.Daily, ledger.Weekly, ledger.Monthly} {
			synctest.Test(t, func(t *testing.T) {
				at, err := time.LoadLocation(zone)
				require.NoError(t, err)
				start, err := time.ParseInLocation(time.DateOnly, begin, at)
				require.NoError(t, err)
				time.Sleep(time.Until(start))
				r := rand.New(rand.NewPCG(uint64(i), 22))
				p := newPlane(t, visitors)
				q := ledger.Quota{Limit: 900, Period: period, Location: at}
				p.plan("gold", q)
				id := p.key("acme", "acme")
				p.join("gold", id)
				used := map[string]int64{}
				for now := time.Now(); now.Before(start.AddDate(0, 0, 12)); now = time.Now() {
					n := 1 + r.IntN(4)
					p.take(id, n)
					used[now.In(at).Format(time.DateOnly)] += int64(n)
					time.Sleep(time.Duration(r.Int64N(int64(3 * time.Hour))))
				}
				now := time.Now().In(at)
				begun, _ := q.Bounds(now)
				sum := int64(0)
				for date, n := range used {
					if date >= begun.Format(time.DateOnly) {
						sum += n
					}
				}
				today := used[now.Format(time.DateOnly)]
				b := signedIn(t, p).get(home)
				require.Contains(t, b.words(), fmt.Sprintf("Requests today %d ", today), "%s %s %v", zone, period, now)
				require.Contains(t, b.words(), fmt.Sprintf("This period %d ", sum), "%s %s %v", zone, period, now)
				b.get("key?days=90&key=" + id)
				require.Contains(t, b.words(), fmt.Sprintf("%d of 900", sum))
				require.Contains(t, b.words(), fmt.Sprintf("Remaining %s", chart.Count(900-sum)))
				require.Contains(t, b.words(), "00:00 "+zone)
				total := int64(0)
				for date, n := range used {
					day, err := time.Parse(time.DateOnly, date)
					require.NoError(t, err)
					require.Contains(t, b.words(), day.Format("Mon 2 Jan 2006")+" "+chart.Count(n)+" ")
					total += n
				}
				fileTotal := int64(0)
				for _, line := range b.lines("usage.csv?from=" + begin + "&to=" + now.Format(time.DateOnly)) {
					var n int64
					date := line[len("gold|plan gold|acme000000|acme||"):]
					_, err := fmt.Sscanf(date[11:], "%d|", &n)
					require.NoError(t, err)
					require.Equal(t, used[date[:10]], n, line)
					fileTotal += n
				}
				require.Equal(t, total, fileTotal)
			})
		}
	}
}
