package admin_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// lines returns the lines of the file at an address without its header, sorted.
func (b *browser) lines(address string) (lines []string) {
	b.t.Helper()
	b.get(address).want(200)
	rows, err := csv.NewReader(strings.NewReader(b.shown)).ReadAll()
	require.NoError(b.t, err)
	require.Equal(b.t, strings.Split("plan,plan name,key,name,customer,date,used,remaining,limit,adjustments", ","), rows[0])
	for _, row := range rows[1:] {
		lines = append(lines, strings.Join(row, "|"))
	}
	slices.Sort(lines)
	return lines
}

// A usageModel is what the file must say: what was taken and extended, added up by plain sums.
type usageModel struct {
	plans  map[string]ledger.Period // "" has no quota
	used   map[[3]string]int64      // by plan, client and day
	added  map[[3]string]int64
	listed map[[2]string]bool // by plan and client
	limit  int64
}

// lines returns the lines of the days. names are the name and the customer of each client whose key is still there.
func (m *usageModel) lines(from, to time.Time, names map[string]string) (lines []string) {
	for at := range m.listed {
		plan, client := at[0], at[1]
		for day := from; !day.After(to); day = day.AddDate(0, 0, 1) {
			of := [3]string{plan, client, day.Format(time.DateOnly)}
			rest := "||"
			if period := m.plans[plan]; period != "" {
				used, added := int64(0), int64(0)
				start, _ := ledger.Quota{Period: period}.Bounds(day)
				for d := start; !d.After(day); d = d.AddDate(0, 0, 1) {
					at := [3]string{plan, client, d.Format(time.DateOnly)}
					used += m.used[at]
					added += m.added[at]
				}
				rest = fmt.Sprintf("%d|%d|%d", max(0, m.limit+added-used), m.limit, added)
			}
			name := names[client]
			if name == "" {
				name = "|"
			}
			lines = append(lines, fmt.Sprintf("%s|plan %s|%s|%s|%s|%d|%s", plan, plan, client, name, of[2], m.used[of], rest))
		}
	}
	slices.Sort(lines)
	return lines
}

// TestFileEqualsTheLedger: over random histories of members, clients of the default plan, and those that have left.
func TestFileEqualsTheLedger(t *testing.T) {
	for range 12 {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		inDecember(t, func(t *testing.T) {
			m := &usageModel{
				plans: map[string]ledger.Period{"day": ledger.Daily, "month": ledger.Monthly, "free": "", "base": ledger.Weekly},
				used:  map[[3]string]int64{}, added: map[[3]string]int64{}, listed: map[[2]string]bool{}, limit: 50,
			}
			p := newPlane(t, settings{admin: visitors.admin, plans: func(c *usageplan.Config) {
				c.Default = "base"
				for id, period := range m.plans {
					plan := usageplan.Plan{ID: id, Name: "plan " + id, Stages: served[:1]}
					if period != "" {
						plan.Quotas = []ledger.Quota{{Limit: m.limit, Period: period}}
					}
					c.Plans = append(c.Plans, plan)
				}
			}})
			names, begun := map[string]string{}, time.Now()
			var clients []string
			in := map[string]string{} // the plan of each client that is in one
			for i := range 8 {
				id := p.key(fmt.Sprintf("k%d", i), fmt.Sprintf("name,%d", i))
				names[id] = fmt.Sprintf("name,%d|", i)
				clients = append(clients, id)
			}
			for range 120 {
				client := clients[r.IntN(len(clients))]
				plan, day := in[client], time.Now().UTC().Format(time.DateOnly)
				applies := plan
				if applies == "" {
					applies = "base"
				}
				switch r.IntN(8) {
				case 0:
					time.Sleep(time.Duration(r.Int64N(int64(20 * time.Hour))))
				case 1:
					if plan != "" {
						require.NoError(t, p.plans.RemoveMembers(t.Context(), client))
						delete(in, client)
						used := false
						for at := range m.used {
							used = used || at[0] == plan && at[1] == client
						}
						for at := range m.added {
							used = used || at[0] == plan && at[1] == client
						}
						if !used { // the ledger does not know it
							delete(m.listed, [2]string{plan, client})
						}
						continue
					}
					plan = []string{"day", "month", "free"}[r.IntN(3)]
					p.join(plan, client)
					in[client] = plan
					m.listed[[2]string{plan, client}] = true
				case 2:
					if m.plans[applies] == "" {
						continue
					}
					n := r.Int64N(20)
					_, err := p.plans.Extend(t.Context(), usageplan.QuotaKey{Plan: applies, Client: client}, ledger.Adjustment{Delta: n})
					require.NoError(t, err)
					m.added[[3]string{applies, client, day}] += n
					m.listed[[2]string{applies, client}] = true
				default:
					q := usageplan.Request{Client: client, Cost: 1 + r.Int64N(12), Route: usageplan.Route{API: "demo", Stage: "prod", Resource: "/pets", Method: "GET"}}
					if _, err := p.plans.Take(t.Context(), q); err == nil {
						m.used[[3]string{applies, client, day}] += q.Cost
						m.listed[[2]string{applies, client}] = true
					}
				}
			}
			if gone := clients[0]; in[gone] == "" && r.IntN(2) == 0 { // its usage stays
				require.NoError(t, p.keys.Delete(t.Context(), gone))
				delete(names, gone)
			}
			from, to := begun.UTC().AddDate(0, 0, -1).Truncate(24*time.Hour), time.Now().UTC().Truncate(24*time.Hour)
			address := "usage.csv?from=" + from.Format(time.DateOnly) + "&to=" + to.AddDate(0, 0, 3).Format(time.DateOnly)
			b := signedIn(t, p)
			want := m.lines(from, to, names)
			require.Equal(t, want, b.lines(address), "seed %d", seed)
			require.Equal(t, "attachment; filename=\"usage-"+from.Format(time.DateOnly)+"-"+to.AddDate(0, 0, 3).Format(time.DateOnly)+`.csv"`,
				b.header.Get("Content-Disposition"))
			month := slices.DeleteFunc(slices.Clone(want), func(line string) bool { return !strings.HasPrefix(line, "month|") })
			require.ElementsMatch(t, month, b.lines(address+"&plan=month"), "seed %d", seed)
		})
	}
}

func TestFileHasThirtyDaysUnlessOthersAreAsked(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, visitors)
		p.plan("gold", daily)
		id := p.key("a", "")
		p.join("gold", id)
		b := signedIn(t, p)
		lines := b.lines("usage.csv")
		require.Len(t, lines, 30)
		require.Equal(t, "gold|plan gold|a000000000|||2026-10-31|0|10|10|0", lines[0])
		require.Len(t, b.lines("usage.csv?from=2026-11-29"), 1)
		lines = b.lines("usage.csv?to=2026-09-30")
		require.Len(t, lines, 30)
		require.Equal(t, "gold|plan gold|a000000000|||2026-09-01|0|10|10|0", lines[0])
		for query, text := range map[string]string{
			"from=2026-11-30": "The last day is before the first: 2026-11-29 is before 2026-11-30",
			"form=2026-11-29": "The parameters are from, to, plan, format, and not form", "format=xlsx": "The format is spreadsheet or empty, and not xlsx",
			"to=x": "YYYY-MM-DD", "from=2026-11-29T00": "YYYY-MM-DD",
			"from=2025-11-28&to=2026-11-29": "at most 366 days", "plan=none": "Invalid Usage Plan ID",
		} {
			status := 400
			if query == "plan=none" {
				status = 404
			}
			b.get("usage.csv?"+query).want(status, text)
			require.Empty(t, b.header.Get("Content-Disposition"))
		}
		require.Len(t, b.lines("usage.csv?from=2025-11-29&to=2026-11-29"), 366)
		b.send(http.MethodHead, "usage.csv", nil, nil).want(200)
		require.Equal(t, "text/csv; charset=utf-8; header=present", b.header.Get("Content-Type"))
	})
}

// TestSpreadsheetsGetNoFormula: in their variant. The other one has every text as it is.
func TestSpreadsheetsGetNoFormula(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, visitors)
		p.plan("gold", daily)
		texts := []string{
			`=HYPERLINK("http://evil.example","x")`, "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "＝1", "＋1", "－1", "＠1", "plain", "a=b", "'x", "",
			"a;b", "a-b; c", "a, -b",
		}
		for i, text := range texts {
			k := apikey.Key{ID: fmt.Sprintf("key%07d", i), Name: text, CustomerID: text}
			_, err := p.keys.Create(t.Context(), k, p.keys.Generate())
			require.NoError(t, err)
			p.join("gold", k.ID)
			_, err = p.plans.Extend(t.Context(), usageplan.QuotaKey{Plan: "gold", Client: k.ID}, ledger.Adjustment{Delta: -3})
			require.NoError(t, err)
		}
		b := signedIn(t, p)
		for format, prefix := range map[string]string{"": "", "spreadsheet": "'"} {
			b.get("usage.csv?from=2026-11-29&format=" + format).want(200)
			file, marked := strings.CutPrefix(b.shown, "\uFEFF")
			require.Equal(t, format == "spreadsheet", marked)
			rows, err := csv.NewReader(strings.NewReader(file)).ReadAll()
			require.NoError(t, err)
			for i, row := range slices.Backward(rows[1:]) {
				at := len(texts) - 1 - i
				want := texts[at]
				if at < 11 {
					want = prefix + want
				}
				require.Equal(t, want, row[3])
				require.Equal(t, want, row[4])
				require.Equal(t, "-3", row[9], "a number is no text")
			}
		}
	})
}

// TestNoCellOfASpreadsheetIsAFormula: also where a spreadsheet separates by semicolons or tabs, and splits lines without
// regard to quotes.
func TestNoCellOfASpreadsheetIsAFormula(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, visitors)
		p.plan("gold", daily)
		for i, text := range []string{
			"a;=1+1", "a;\"=1+1\"", "a;;@x", "a\t+1", "a\n-1", "a\r\n=1", "a; '=1", "=1;=2;=3", ";＝1", "\t=1", "a,=1", "\"=1", ";=",
		} {
			k := apikey.Key{ID: fmt.Sprintf("key%07d", i), Name: text, CustomerID: text}
			_, err := p.keys.Create(t.Context(), k, p.keys.Generate())
			require.NoError(t, err)
			p.join("gold", k.ID)
		}
		b := signedIn(t, p).get("usage.csv?format=spreadsheet").want(200)
		for _, separators := range []string{";\n\r", ";\t\n\r"} {
			for _, cell := range strings.FieldsFunc(b.shown, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
				cell = strings.Trim(cell, "\"")
				require.NotContains(t, []string{"=", "+", "-", "@", "＝"}, string([]rune(cell + " ")[:1]), "%q", cell)
			}
		}
	})
}

// TestFileIsSentWhileItIsRead: after the first clients, and cut off if the ledger fails.
func TestFileIsSentWhileItIsRead(t *testing.T) {
	e := &reads{Engine: ledger.NewMemory()}
	p := readPlane(t, e)
	p.plan("gold", daily)
	for i := range 200 {
		p.join("gold", p.key(fmt.Sprintf("k%09d", i), "name"))
	}
	h, _ := newPage(t, p, byName)
	down := errors.New("down")
	w := &watched{ResponseRecorder: httptest.NewRecorder(), first: func() { e.fail.Store(&down) }}
	require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() {
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/usage.csv", nil))
	})
	require.Equal(t, 200, w.Code)
	require.Less(t, strings.Count(w.Body.String(), "\n"), 200*30)

	e.fail.Store(&down) // before the first byte there can be another answer
	b := newBrowser(t, h, home).get("usage.csv").want(503, "The store has not answered")
	require.Equal(t, "text/html; charset=utf-8", b.header.Get("Content-Type"))
}

// watched calls first ahead of the first write.
type watched struct {
	*httptest.ResponseRecorder
	first func()
}

func (w *watched) Write(b []byte) (int, error) {
	if w.first != nil {
		w.first()
		w.first = nil
	}
	return w.ResponseRecorder.Write(b)
}

// TestFileHasThePlansThatAPersonMayRead: and no others.
func TestFileHasThePlansThatAPersonMayRead(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		var denied string
		p := newPlane(t, settings{admin: func(c *admin.Config) {
			c.Authorize = func(_ *http.Request, a admin.Action) error {
				if a.Operation == denied || a.Operation+" "+a.Resource == denied {
					return io.ErrUnexpectedEOF // any error
				}
				return nil
			}
		}})
		for i, plan := range []string{"gold", "free"} {
			p.plan(plan, daily)
			p.join(plan, p.key("k"+strconv.Itoa(i), "name"))
		}
		h, _ := newPage(t, p, byName)
		b := newBrowser(t, h, home)
		require.Len(t, b.lines("usage.csv"), 60)
		denied = "GetUsage arn:aws:apigateway:::/usageplans/gold/usage"
		require.Len(t, b.lines("usage.csv"), 30)
		b.get("usage.csv?plan=gold").want(403)
		for _, denied = range []string{"GetUsage", "GetUsagePlans"} {
			b.get("usage.csv").want(403)
			b.get("usage.csv?plan=gold").want(map[string]int{"GetUsage": 403, "GetUsagePlans": 404}[denied])
		}
	})
}
