package admin_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// words returns what a person reads on a page, with one blank between words.
func words(page string) string {
	page = regexp.MustCompile(`(?s)<style>.*?</style>|<script>.*?</script>|<title>[^<]*</title>`).ReplaceAllString(page, "")
	page = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, " ")
	return strings.Join(strings.Fields(html.UnescapeString(page)), " ")
}

func (b *browser) words() string { return words(b.shown) }

func TestOverviewShowsKeysWithTheirUsage(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, visitors)
		p.plan("gold", daily)
		p.plan("free")
		near, spent, fresh, open, none := p.key("near", "near"), p.key("spent", "spent"), p.key("fresh", "fresh"), p.key("open", "open"), p.key("none", "none")
		p.join("gold", near, spent, fresh)
		p.join("free", open)
		p.take(near, 8)
		p.take(spent, 10)
		p.take(open, 7)
		shown := signedIn(t, p).get(home).want(200).words()
		for _, want := range []string{
			"Requests today 25 units", "This period 25 in", "Keys 5 in 2 plans", "Near their limit 1 80 %", "Exhausted 1 refused",
			"Throttled 0 refused", "The sums were counted just now.",
			near + " plan gold near limit 8 of 10 a day 2",
			spent + " plan gold exhausted 10 of 10 a day 0",
			fresh + " plan gold active 0 of 10 a day 10 no use in 30 days never",
			open + " plan free active 7 today no limit",
			none + " – no plan – – – never",
			"gold 10 a day no throttle 1 3 18", "free no quota no throttle 1 1 7",
		} {
			require.Contains(t, shown, want)
		}
	})
}

// The verifier forgets last uses when the process ends. The usage still tells the day.
func TestOverviewKnowsTheDayOfTheLastUse(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, visitors)
		p.plan("gold", daily)
		id := p.key("usual", "usual")
		p.join("gold", id)
		p.take(id, 1) // by the meter alone
		b := signedIn(t, p)
		for _, want := range []string{"today", "1 day ago", "2 days ago"} {
			require.Regexp(t, id+" plan gold active .* "+want+" Plans", b.get(home).want(200).words())
			time.Sleep(24 * time.Hour)
			b = signedIn(t, p)
		}
	})
}

// The state of a key says what becomes of its requests, whatever it has used.
func TestOverviewShowsWhyAKeyIsRefused(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, settings{admin: visitors.admin, plans: func(c *usageplan.Config) {
			c.Plans, c.Default = []usageplan.Plan{{ID: "base", Name: "Base", Quotas: []ledger.Quota{daily}, Stages: served[:1]}}, "base"
		}})
		edit := func(id string, f func(*apikey.Key)) {
			_, err := p.keys.Update(t.Context(), id, func(k *apikey.Key) error { f(k); return nil })
			require.NoError(t, err)
		}
		edit(p.key("off", "off"), func(k *apikey.Key) { k.Enabled = false })
		edit(p.key("late", "late"), func(k *apikey.Key) { k.Expires = time.Now() })
		edit(p.key("soon", "soon"), func(k *apikey.Key) { k.NotBefore = time.Now().Add(time.Hour) })
		client := p.key("usual", "usual")
		p.take(client, 3)
		shown := signedIn(t, p).get(home).want(200).words()
		for id, want := range map[string]string{"off": "disabled", "late": "expired", "soon": "not valid yet", "usual": "active 3 of 10 a day 7"} {
			require.Contains(t, shown, (id + "0000000000")[:10]+" Base "+want)
		}
		require.Contains(t, shown, "Requests today 3 ", "of clients of the default plan too")
	})
}

// A week and a month have what was used since they began, and the sums have all plans.
func TestOverviewAddsUpThePeriod(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, visitors)
		p.plan("month", ledger.Quota{Limit: 1000, Period: ledger.Monthly})
		p.plan("week", ledger.Quota{Limit: 100, Period: ledger.Weekly, Offset: 0})
		a, b := p.key("a", "a"), p.key("b", "b")
		p.join("month", a)
		p.join("week", b)
		p.take(a, 5)
		p.take(b, 4) // on a Sunday
		time.Sleep(24 * time.Hour)
		p.take(a, 6)
		p.take(b, 7)
		shown := signedIn(t, p).get(home).words()
		require.Contains(t, shown, "Requests today 13 ")
		require.Contains(t, shown, "This period 22 ")
		require.Contains(t, shown, "plan month active 11 of 1,000 a month 989")
		require.Contains(t, shown, "plan week active 11 of 100 a week 89")
		time.Sleep(24 * time.Hour) // December
		shown = signedIn(t, p).get(home).words()
		require.Contains(t, shown, "plan month active 0 of 1,000 a month 1,000")
		require.Contains(t, shown, "plan week active 11 of 100 a week 89")
	})
}

// rowID finds the ids of the listed keys.
var rowID = regexp.MustCompile(`<a href="key\?key=([a-z0-9]{10})">`)

// walk follows the list from an address to its end, and returns the ids of all pages.
func (b *browser) walk(from string) (ids []string, pages int) {
	b.t.Helper()
	for next := from; next != ""; pages++ {
		b.get(next).want(200)
		found := rowID.FindAllStringSubmatch(b.shown, -1)
		require.LessOrEqual(b.t, len(found), 50)
		for _, m := range found {
			ids = append(ids, m[1])
		}
		next = ""
		if m := nextPage.FindStringSubmatch(b.shown); m != nil {
			next = html.UnescapeString(m[1])
		}
	}
	return ids, pages
}

var nextPage = regexp.MustCompile(`<a href="([^"]+)" rel="next">`)

// TestEverySortingListsEachKeyOnce: by pages of fifty, in its order.
func TestEverySortingListsEachKeyOnce(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, visitors)
		p.plan("gold", ledger.Quota{Limit: 40, Period: ledger.Daily})
		r := rand.New(rand.NewPCG(1, 2))
		type key struct {
			id, name string
			used     int
			last     time.Time
		}
		var all []key // newest first
		for i := range 120 {
			k := key{id: fmt.Sprintf("%010d", r.IntN(1e9)), name: []string{"", "a", "A", "ab", "B", strings.Repeat("ü", 200)}[r.IntN(6)]}
			k.used = []int{0, 0, 1, 2, 39, 40}[r.IntN(6)]
			value := p.keys.Generate()
			_, err := p.keys.Create(t.Context(), apikey.Key{ID: k.id, Name: k.name, Enabled: true}, value)
			require.NoError(t, err)
			p.join("gold", k.id)
			p.take(k.id, k.used)
			if i%3 == 0 {
				_, err = p.keys.VerifyKey(t.Context(), string(value))
				require.NoError(t, err)
				k.last = time.Now()
			}
			time.Sleep(time.Second)
			all = slices.Insert(all, 0, k)
		}
		b := signedIn(t, p)
		orders := map[string]func(a, b key) int{
			"created": func(key, key) int { return 0 },
			"name": func(a, b key) int {
				return cmp.Or(cmp.Compare(strings.ToLower(a.name), strings.ToLower(b.name)), cmp.Compare(a.name, b.name), cmp.Compare(a.id, b.id))
			},
			"use":  func(a, b key) int { return cmp.Or(b.used-a.used, cmp.Compare(a.id, b.id)) },
			"last": func(a, b key) int { return cmp.Or(b.last.Compare(a.last), cmp.Compare(a.id, b.id)) },
			"none": func(key, key) int { return 0 },
		}
		for name, order := range orders {
			want := slices.Clone(all)
			slices.SortStableFunc(want, order)
			var ids []string
			for _, k := range want {
				ids = append(ids, k.id)
			}
			got, pages := b.walk("./?sort=" + name)
			require.Equal(t, ids, got, name)
			require.Equal(t, 3, pages, name)
		}
	})
}

func TestKeysAreFoundByNameCustomerAndID(t *testing.T) {
	p := newPlane(t, visitors)
	var wanted []string
	for i := range 130 {
		k := apikey.Key{ID: fmt.Sprintf("key%07d", i), Name: fmt.Sprintf("other-%d", i)}
		switch i {
		case 3, 70:
			k.Name = "acme booking" + strings.Repeat("!", i)
		case 100:
			k.CustomerID = "acme"
		}
		if i == 3 || i == 70 || i == 100 {
			wanted = append(wanted, k.ID)
		}
		_, err := p.keys.Create(t.Context(), k, p.keys.Generate())
		require.NoError(t, err)
	}
	b := signedIn(t, p)
	for _, sort := range []string{"created", "name", "use", "last"} {
		for search, want := range map[string][]string{
			"acme": wanted, "acme ": wanted[:2], "Acme": nil, "acme book": wanted[:2], "cme": nil, "key0000042": {"key0000042"}, "key": nil, "other-99": {"key0000099"},
		} {
			got, _ := b.walk("./?" + url.Values{"sort": {sort}, "search": {search}}.Encode())
			require.ElementsMatch(t, want, got, "%s, %s", sort, search)
			if len(want) == 0 {
				b.want(200, "No key has a name that begins with this text")
			}
		}
	}
	b.get("./?position=x").want(400, "Invalid position")
	b.get("./?sort=name&position="+regexp.MustCompile(`position=([^&"]+)`).FindStringSubmatch(b.get("./?sort=last").shown)[1]).want(400, "Invalid position")
}

// reads counts the rows that a ledger has loaded, and may hold or refuse them.
type reads struct {
	ledger.Engine
	n    atomic.Int64
	fail atomic.Pointer[error]
	hold atomic.Pointer[chan struct{}]

	panics atomic.Bool
}

func (e *reads) Load(ctx context.Context, row string) ([]byte, error) {
	e.n.Add(1)
	if e.panics.Load() {
		panic("broken store")
	}
	if err := e.fail.Load(); err != nil {
		return nil, *err
	}
	if c := e.hold.Load(); c != nil {
		select {
		case <-*c:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return e.Engine.Load(ctx, row)
}

// readPlane is a plane of visitors whose ledger is over the engine.
func readPlane(t *testing.T, e ledger.Engine) *plane {
	t.Helper()
	counts, err := ledger.New(ledger.Config{Engine: e})
	require.NoError(t, err)
	return newPlane(t, settings{admin: visitors.admin, plans: func(c *usageplan.Config) { c.Ledger = counts }})
}

// TestListsReadTheShownKeysOnly: of 400 keys, a page of 50 reads the rows of 50 from the ledger. Each has a row for each
// period that there is, since its plan may have had another one before.
func TestListsReadTheShownKeysOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &reads{Engine: ledger.NewMemory()}
		p := readPlane(t, e)
		p.plan("gold", daily)
		for i := range 400 {
			id := p.key(fmt.Sprintf("k%09d", i), fmt.Sprint("name", i))
			p.join("gold", id)
			p.take(id, 1)
		}
		b := signedIn(t, p) // makes the summary
		for _, address := range []string{"./", "./?sort=name", "./?sort=last", "./?sort=use", "./?sort=name&search=name39", "./?sort=created&search=nothing"} {
			before := e.n.Load()
			b.get(address).want(200)
			rows := len(rowID.FindAllString(b.shown, -1))
			require.EqualValues(t, 3*rows, e.n.Load()-before, "%s with %d rows", address, rows)
		}
	})
}

// TestSumsAreMadeOnceAMinute: by one of the requests that find them too old.
func TestSumsAreMadeOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &reads{Engine: ledger.NewMemory()}
		p := readPlane(t, e)
		p.plan("gold", ledger.Quota{Limit: 1 << 30, Period: ledger.Daily})
		id := p.key("a", "a")
		p.join("gold", id)
		p.take(id, 5)
		b := signedIn(t, p)
		require.Contains(t, b.words(), "Requests today 5 ")
		p.take(id, 1)
		time.Sleep(59 * time.Second)
		require.Contains(t, b.get(home).words(), "Requests today 5 ")
		require.Contains(t, b.words(), "The sums were counted 59 seconds ago.")
		require.Contains(t, b.words(), "6 of 1,073,741,824 a day", "what a key has used is live")
		time.Sleep(time.Second)
		require.Contains(t, b.get(home).words(), "Requests today 6 ")
		require.Contains(t, b.words(), "The sums were counted just now.")
	})
}

// TestOldSumsAreShownWhileNewOnesAreMade: the request that makes them waits a moment, and the others do not.
func TestOldSumsAreShownWhileNewOnesAreMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &reads{Engine: ledger.NewMemory()}
		p := readPlane(t, e)
		p.plan("gold", daily)
		id := p.key("a", "a")
		p.join("gold", id)
		p.take(id, 5)
		begun := make(chan struct{})
		e.hold.Store(&begun)
		release := sync.OnceFunc(func() { e.hold.Store(nil); close(begun) })
		defer release()
		h, _ := newPage(t, p, byName)
		visit := func() (string, time.Duration) {
			at := time.Now()
			return newBrowser(t, h, home).get("./?search=nothing").want(200).words(), time.Since(at)
		}
		shown, took := visit()
		require.Contains(t, shown, "The sums are being counted.")
		require.Contains(t, shown, "Requests today – ")
		require.Equal(t, 2*time.Second, took)
		release()
		shown, took = visit()
		require.Contains(t, shown, "Requests today 5 ")
		require.Zero(t, took)

		time.Sleep(5 * time.Minute)
		again := make(chan struct{})
		e.hold.Store(&again)
		before := e.n.Load()
		shown, took = visit()
		require.Contains(t, shown, "The sums were counted 5 min ago, and are being counted anew.")
		require.Equal(t, 2*time.Second, took)
		for range 3 {
			shown, took = visit()
			require.Contains(t, shown, "Requests today 5 ")
			require.Zero(t, took, "others get the old ones at once")
		}
		require.EqualValues(t, 1, e.n.Load()-before, "one counting is under way")
		e.hold.Store(nil)
		close(again)
		synctest.Wait()
		shown, _ = visit()
		require.Contains(t, shown, "counted 2 seconds ago")
	})
}

// byName lets in everybody as "ann".
func byName(c *admin.PageConfig) {
	c.Links, c.Who = nil, func(*http.Request) (string, bool) { return "ann", true }
}

// TestPanicOfTheStoreDoesNotEndTheProcess: the sums are made outside of a handler, where nothing else would catch it.
func TestPanicOfTheStoreDoesNotEndTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &reads{Engine: ledger.NewMemory()}
		p := readPlane(t, e)
		p.plan("gold", daily)
		id := p.key("a", "a")
		p.join("gold", id)
		p.take(id, 5)
		h, _ := newPage(t, p, byName)
		b := newBrowser(t, h, home)
		e.panics.Store(true)
		require.Contains(t, b.get("./?search=nothing").want(200).words(), "The sums could not be counted: the store has not answered.")
		e.panics.Store(false)
		time.Sleep(5 * time.Second)
		require.Contains(t, b.get("./").want(200).words(), "Requests today 5 ")
	})
}

// TestSumsThatFailAreTriedAgain: after a pause, and the last ones are shown meanwhile.
func TestSumsThatFailAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &reads{Engine: ledger.NewMemory()}
		p := readPlane(t, e)
		p.plan("gold", daily)
		id := p.key("a", "a")
		p.join("gold", id)
		p.take(id, 5)
		h, _ := newPage(t, p, byName)
		down := errors.New("down")
		e.fail.Store(&down)
		b := newBrowser(t, h, home)
		require.Contains(t, b.get("./?search=nothing").want(200).words(), "The sums could not be counted: the store has not answered.")
		b.get("./").want(200, "gold", "unknown", "The store has not answered, so what keys below have used is unknown.")
		e.fail.Store(nil)
		require.Contains(t, b.get("./").want(200).words(), "The sums could not be counted")
		time.Sleep(5 * time.Second)
		require.Contains(t, b.get("./").want(200).words(), "Requests today 5 ")
		time.Sleep(time.Minute)
		e.fail.Store(&down)
		require.Contains(t, b.get("./?search=nothing").want(200).words(), "The sums are those of 1 min ago. The store has not answered since.")
	})
}

// While the ledger does not answer, keys and plans are shown, and what was used is unknown. The ledger is asked once, not
// for each key.
func TestOverviewWithoutALedger(t *testing.T) {
	synctest.Test(t, overviewWithoutALedger)
}

func overviewWithoutALedger(t *testing.T) {
	e := &reads{Engine: ledger.NewMemory()}
	p := readPlane(t, e)
	p.plan("gold", daily)
	for _, name := range []string{"a", "b", "c"} {
		p.join("gold", p.key(name, name))
	}
	h, _ := newPage(t, p, byName)
	down := errors.New("down")
	e.fail.Store(&down)
	text := newBrowser(t, h, home).get("./?sort=name").want(200).words()
	require.NotContains(t, text, "are live")
	require.Equal(t, 3, strings.Count(text, "enabled unknown unknown unknown"), text)
	asked := e.n.Load() // also for the sums, which are tried again only after a pause
	newBrowser(t, h, home).get("./?sort=name").want(200, "unknown")
	require.EqualValues(t, 1, e.n.Load()-asked)
	e.fail.Store(nil)
	text = newBrowser(t, h, home).get("./?sort=name").want(200).words()
	require.NotContains(t, text, "unknown")
	require.Contains(t, text, "are live")
}

// TestWhoMayNotReadDoesNotSee: what Authorize refuses is absent, and the rest is there.
func TestWhoMayNotReadDoesNotSee(t *testing.T) {
	for name, test := range map[string]struct {
		denied       func(admin.Action) bool
		status       int
		shown, never []string
	}{
		"nothing":  {func(admin.Action) bool { return false }, 200, []string{"Requests today 12", "3 of 10 a day", "plan gold", "plan hidden"}, nil},
		"anything": {func(admin.Action) bool { return true }, 403, []string{"You may not do this: GetApiKeys"}, []string{"alpha", "gold"}},
		"keys": {
			func(a admin.Action) bool { return a.Operation == "GetApiKeys" }, 200,
			[]string{"Requests today 12", "plan gold"},
			[]string{"alpha", "Keys 2"},
		},
		"plans": {
			func(a admin.Action) bool { return a.Operation == "GetUsagePlans" }, 200,
			[]string{"alpha", "Keys 2"},
			[]string{"plan gold", "Requests today", "of 10", "Most used", "no plan"},
		},
		"one plan": {
			func(a admin.Action) bool {
				return a.Operation == "GetUsagePlan" && strings.HasSuffix(a.Resource, "/usageplans/hidden")
			}, 200,
			[]string{"alpha", "3 of 10 a day", "Requests today 3 "},
			[]string{"hidden", "of 20", "Most used", "no plan"},
		},
		"usage": {
			func(a admin.Action) bool { return a.Operation == "GetUsage" }, 200,
			[]string{"alpha", "plan gold", "plan hidden"},
			[]string{"Requests today", "a day 7", "Most used", "near limit"},
		},
		"members": {
			func(a admin.Action) bool { return a.Operation == "GetUsagePlanKeys" }, 200,
			[]string{"alpha", "plan gold", "no throttle 1 – 3", "Most used"},
			nil,
		},
		"usage of one plan": {
			func(a admin.Action) bool {
				return a.Operation == "GetUsage" && strings.Contains(a.Resource, "/usageplans/hidden/")
			}, 200,
			[]string{"alpha", "3 of 10 a day", "Requests today 3 ", "plan hidden active – – –"},
			[]string{"9 of", "Most used"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inDecember(t, func(t *testing.T) {
				p := newPlane(t, settings{admin: func(c *admin.Config) {
					c.Authorize = func(_ *http.Request, a admin.Action) error {
						if test.denied(a) {
							return io.ErrUnexpectedEOF // any error
						}
						return nil
					}
				}})
				p.plan("gold", daily)
				p.plan("hidden", ledger.Quota{Limit: 20, Period: ledger.Daily})
				a, b := p.key("alpha", "alpha"), p.key("beta", "beta")
				p.join("gold", a)
				p.join("hidden", b)
				p.take(a, 3)
				p.take(b, 9)
				h, _ := newPage(t, p, byName)
				shown := newBrowser(t, h, home).get(home).want(test.status).words()
				for _, text := range test.shown {
					require.Contains(t, shown, text)
				}
				for _, text := range test.never {
					require.NotContains(t, shown, text)
				}
				if slices.Contains(test.never, "Most used") {
					newBrowser(t, h, home).get("./?sort=use").want(403, "so the keys cannot be sorted by it")
				}
			})
		})
	}
}

// TestPlansComeInPagesOfFifty: each plan once, newest first.
func TestPlansComeInPagesOfFifty(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, visitors)
		var want, got []string
		for i := range 120 {
			id := fmt.Sprintf("plan%d", i)
			p.plan(id)
			want = slices.Insert(want, 0, id)
		}
		b := signedIn(t, p)
		pages := 0
		for next := "./"; next != ""; pages++ {
			b.get(next).want(200)
			for _, m := range regexp.MustCompile(`<a href="plan\?plan=([a-z0-9]+)">`).FindAllStringSubmatch(b.shown, -1) {
				got = append(got, m[1])
			}
			next = ""
			if m := regexp.MustCompile(`<a href="([^"]+)">Older plans</a>`).FindStringSubmatch(b.shown); m != nil {
				next = html.UnescapeString(m[1])
			}
		}
		require.Equal(t, want, got)
		require.Equal(t, 3, pages)
	})
}

// TestWhoHasLeftAPlanIsNotExhausted: what it has used stays in the sums, and its quota refuses it no more.
func TestWhoHasLeftAPlanIsNotExhausted(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, visitors)
		p.plan("gold", daily)
		spent, near := p.key("spent", "spent"), p.key("near", "near")
		p.join("gold", spent, near)
		p.take(spent, 10)
		p.take(near, 9)
		require.NoError(t, p.plans.RemoveMembers(t.Context(), spent))
		shown := signedIn(t, p).get(home).words()
		require.Contains(t, shown, "Requests today 19 ")
		require.Contains(t, shown, "Near their limit 1 80 % or more used Exhausted 0 ")
		require.Contains(t, shown, spent+" – no plan")
	})
}
