package usageplan_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// browser asks for the status of the client as a browser does.
func browser(m *usageplan.Meter, client string, edits ...func(*http.Request)) *httptest.ResponseRecorder {
	mux := http.NewServeMux()
	mux.Handle("/dev/usage", m.StatusHandler())
	r := httptest.NewRequest(http.MethodGet, "/dev/usage", nil)
	r.Header.Set("Verified-Client", client)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	for _, edit := range edits {
		edit(r)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

// elements reads HTML, calls see for each start tag, and returns the text outside of the style sheet, with one blank
// between words.
func elements(t *testing.T, page string, see func(xml.StartElement)) string {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var text strings.Builder
	for style := false; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return strings.Join(strings.Fields(text.String()), " ")
		}
		require.NoError(t, err)
		switch e := token.(type) {
		case xml.StartElement:
			style = e.Name.Local == "style"
			see(e)
			text.WriteByte(' ')
		case xml.EndElement:
			style = false
			text.WriteByte(' ')
		case xml.CharData:
			if !style {
				text.Write(e)
			}
		}
	}
}

func textOf(t *testing.T, page string) string { return elements(t, page, func(xml.StartElement) {}) }

// The chart has as many days as it says, also where one of them had 23 or 25 hours: half an hour after each midnight of a
// year, and before it.
func TestStatusPageHasThirtyDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is 2000-01-01 00:00 UTC
		for _, zone := range []string{"Europe/Berlin", "America/New_York", "Pacific/Apia", "America/Sao_Paulo"} {
			at, err := time.LoadLocation(zone)
			require.NoError(t, err)
			m := meter(t, usageplan.Config{
				Plans:   []usageplan.Plan{{ID: "p", Name: "p", Stages: dev, Quotas: []ledger.Quota{{Limit: 5, Period: ledger.Daily, Location: at}}}},
				Members: []usageplan.Member{{Plan: "p", Client: "a"}},
			})
			for end := time.Now().AddDate(1, 0, 0); time.Now().Before(end); time.Sleep(time.Hour) {
				if hour := time.Now().In(at).Hour(); hour > 0 && hour < 23 {
					continue
				}
				time.Sleep(30 * time.Minute)
				days := strings.Count(browser(m, "a").Body.String(), `<tr><th scope="row">`)
				require.Equal(t, 30, days, "at %v", time.Now().In(at))
			}
		}
	})
}

// The page has the figures of the status, in the location of the plan.
func TestStatusPageHasTheFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is 2000-01-01 00:00 UTC
		berlin, err := time.LoadLocation("Europe/Berlin")
		require.NoError(t, err)
		m := meter(t, usageplan.Config{
			Plans: []usageplan.Plan{{
				ID: "p", Name: "Partner", Stages: dev, Throttle: &ratelimit.Limit{Rate: 2.5, Burst: 2000},
				Quotas: []ledger.Quota{{Limit: 12_000, Period: ledger.Daily, Location: berlin}},
			}},
			Members: []usageplan.Member{{Plan: "p", Client: "a"}},
		})
		q := getCats("a")
		q.Cost = 1300
		_, err = m.Take(t.Context(), q)
		require.NoError(t, err)
		time.Sleep(24 * time.Hour)
		q.Cost = 700
		_, err = m.Take(t.Context(), q)
		require.NoError(t, err)
		_, err = m.Extend(t.Context(), usageplan.QuotaKey{Plan: "p", Client: "a"}, ledger.Adjustment{Delta: 50, Actor: "owner", Reason: "launch"})
		require.NoError(t, err)

		w := browser(m, "a")
		require.Equal(t, 200, w.Code)
		text := textOf(t, w.Body.String())
		for _, want := range []string{
			"Usage – Partner", "Plan Partner", "Today Used 700 of 12,050", "Remaining 11,350 until the reset",
			"Reset 3 Jan 00:00 Europe/Berlin", "Throttle 2.5/s requests, with bursts of 2,000", "Last 30 days",
			"1,300", // in the table
		} {
			require.Contains(t, text, want)
		}
		for _, secret := range []string{"launch", "owner"} {
			require.NotContains(t, text, secret, "what the owner writes down is not for the client")
		}
		require.Equal(t, 30, strings.Count(w.Body.String(), `<th scope="row">`), "a row for each day")
	})
}

// Each quota has its section. A plan without one says so, and shows no usage, as JSON does not.
func TestStatusPageOfOtherPlans(t *testing.T) {
	two := append(daily(5), ledger.Quota{Limit: 70, Period: ledger.Monthly})
	for _, tt := range []struct {
		name  string
		plan  usageplan.Plan
		takes int
		want  []string
	}{
		{"two quotas", usageplan.Plan{Quotas: two}, 2, []string{"Rate Throttle none", "Today Used 2 of 5", "This month Used 2 of 70"}},
		{"a week", usageplan.Plan{Quotas: []ledger.Quota{{Limit: 9, Period: ledger.Weekly}}}, 1, []string{"This week Used 1 of 9", "Throttle none"}},
		{"used up", usageplan.Plan{Quotas: daily(2)}, 2, []string{"Remaining 0 used up until the reset"}},
		{"no quota", usageplan.Plan{Throttle: &ratelimit.Limit{Rate: 1, Burst: 7}}, 3, []string{"Throttle 1/s requests, with bursts of 7", "There is no quota"}},
		{"closed", usageplan.Plan{Throttle: &ratelimit.Limit{Rate: 1}, Quotas: daily(2)}, 0, []string{"Throttle closed every request is refused"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.plan.ID, tt.plan.Name, tt.plan.Stages = "p", "P", dev
			m := meter(t, usageplan.Config{Default: "p", Plans: []usageplan.Plan{tt.plan}})
			for range tt.takes {
				_, err := m.Take(t.Context(), getCats("a"))
				require.NoError(t, err)
			}
			body := browser(m, "a").Body.String()
			for _, want := range tt.want {
				require.Contains(t, textOf(t, body), want)
			}
			require.Equal(t, len(tt.plan.Quotas), strings.Count(body, "<figure"))
		})
	}
}

// A member with a limit and a throttle of its own sees these.
func TestStatusPageShowsTheMembersLimits(t *testing.T) {
	m := meter(t, usageplan.Config{
		Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: daily(5), Throttle: &ratelimit.Limit{Rate: 1, Burst: 1}}},
		Members: []usageplan.Member{{
			Plan: "p", Client: "a", Limits: map[ledger.Period]int64{ledger.Daily: 40}, Throttle: &ratelimit.Limit{Rate: 6, Burst: 8},
		}},
	})
	text := textOf(t, browser(m, "a").Body.String())
	require.Contains(t, text, "Used 0 of 40")
	require.Contains(t, text, "Throttle 6/s requests, with bursts of 8")
}

// What stands in the name of a plan is text.
func TestStatusPageIsNotInjected(t *testing.T) {
	for _, name := range []string{
		`<svg onload=alert(1)>`, `</title><script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onfocus='alert(1)`,
		"</style><b>", "&lt;b&gt;", "\u202egnp.exe", "%s%!d",
	} {
		m := meter(t, usageplan.Config{Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: name, Stages: dev, Quotas: daily(5)}}})
		w := browser(m, "a")
		require.Equal(t, 200, w.Code)
		text := elements(t, w.Body.String(), func(e xml.StartElement) {
			require.NotContains(t, []string{"script", "img", "b"}, e.Name.Local)
			for _, a := range e.Attr {
				require.False(t, strings.HasPrefix(a.Name.Local, "on"), "%s of %s", a.Name.Local, e.Name.Local)
				require.NotEqual(t, "style", a.Name.Local)
				require.NotContains(t, []string{"src", "href", "action"}, a.Name.Local)
			}
		})
		require.Contains(t, text, "Plan "+strings.Join(strings.Fields(name), " "))
	}
}

// The page stays out of caches and frames, and its policy allows its one style sheet.
func TestStatusPageHasStrictHeaders(t *testing.T) {
	m := meter(t, usageplan.Config{Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: daily(5)}}})
	w := browser(m, "a")
	styles := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindAllStringSubmatch(w.Body.String(), -1)
	require.Len(t, styles, 1)
	sum := sha256.Sum256([]byte(styles[0][1]))
	want := map[string]string{
		"Content-Type":            "text/html; charset=utf-8",
		"Cache-Control":           "no-store",
		"Vary":                    "Accept",
		"Referrer-Policy":         "no-referrer",
		"X-Content-Type-Options":  "nosniff",
		"X-Frame-Options":         "DENY",
		"Content-Security-Policy": "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	}
	for name, value := range want {
		require.Equal(t, value, w.Header().Get(name), name)
	}
	require.NotEmpty(t, w.Header().Get("X-Amzn-RequestId"))

	as := browser(m, "a", func(r *http.Request) { r.Header.Del("Accept") })
	require.Equal(t, "application/json", as.Header().Get("Content-Type"))
	require.Equal(t, "no-store", as.Header().Get("Cache-Control"))
	require.Equal(t, "Accept", as.Header().Get("Vary"))
	require.Empty(t, as.Header().Get("Content-Security-Policy"))
}

// A client that asks for a page gets the refusals of every other client.
func TestStatusPageIsRefusedAsJSON(t *testing.T) {
	broken := meter(t, usageplan.Config{
		Default: "p", Ledger: brokenLedger(t), Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: daily(5)}},
	})
	open := meter(t, usageplan.Config{Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev}}})
	for name, tt := range map[string]struct {
		meter  *usageplan.Meter
		client string
		edit   func(*http.Request)
		status int
	}{
		"no client":     {open, "", func(*http.Request) {}, 403},
		"no plan":       {open, "a", func(*http.Request) {}, 403},
		"method":        {open, "a", func(r *http.Request) { r.Method = http.MethodPost }, 405},
		"broken ledger": {broken, "a", func(*http.Request) {}, 503},
	} {
		w := browser(tt.meter, tt.client, tt.edit)
		require.Equal(t, tt.status, w.Code, name)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"), name)
		require.Regexp(t, `^\{"message":"[A-Za-z ]+"\}$`, w.Body.String(), name)
		require.Empty(t, w.Header().Get("Vary"), name)
	}
}

// If the ledger fails while the days are read, the answer is 503 and not half a page.
func TestStatusPageIsWholeOrRefused(t *testing.T) {
	m := meter(t, usageplan.Config{Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: daily(5)}}})
	_, err := m.Take(t.Context(), getCats("a"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := browser(m, "a", func(r *http.Request) { *r = *r.WithContext(ctx) })
	require.Equal(t, 503, w.Code)
	require.NotContains(t, w.Body.String(), "<")
}

// HEAD has the header of GET, over a real connection.
func TestStatusPageAnswersHead(t *testing.T) {
	m := meter(t, usageplan.Config{Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: daily(5)}}})
	mux := http.NewServeMux()
	mux.Handle("GET /dev/usage", m.StatusHandler())
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, accept := range []string{"text/html", "*/*"} {
		var headers [2]http.Header
		for i, method := range []string{http.MethodGet, http.MethodHead} {
			r, err := http.NewRequest(method, server.URL+"/dev/usage", nil)
			require.NoError(t, err)
			r.Header.Set("Verified-Client", "a")
			r.Header.Set("Accept", accept)
			res, err := server.Client().Do(r)
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, 200, res.StatusCode)
			require.Equal(t, method == http.MethodHead, len(body) == 0)
			headers[i] = res.Header
			for _, own := range []string{"Date", "X-Amzn-Requestid", "Content-Length", "Transfer-Encoding"} {
				headers[i].Del(own)
			}
		}
		require.Equal(t, headers[0], headers[1])
	}
}

// A Lambda function that meters does not contain a template engine.
func TestMeterDoesNotDependOnTemplates(t *testing.T) {
	deps, err := exec.Command("go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	require.Contains(t, string(deps), "/usageplan/internal/chart\n")
	require.NotContains(t, string(deps), "/template\n")
}
