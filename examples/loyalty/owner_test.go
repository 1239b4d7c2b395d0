package main

import (
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// built is the program's service over a store in memory.
func built(t *testing.T, o options) service {
	t.Helper()
	pool, _, err := userPool(options{})
	require.NoError(t, err)
	svc, err := newService(o, pool, inMemory(t), accountLimit)
	require.NoError(t, err)
	return svc
}

// signIn exchanges a link as a browser does, and returns what adds the cookie to a request.
func signIn(t *testing.T, owner http.Handler, link string) edit {
	t.Helper()
	parsed, err := url.Parse(link)
	require.NoError(t, err)
	res := send(owner, http.MethodGet, parsed.RequestURI())
	require.Equal(t, http.StatusOK, res.StatusCode)
	form := url.Values{"link": {parsed.Query().Get("link")}}.Encode()
	local := func(r *http.Request) { r.Host = "127.0.0.1:8081" }
	res = send(owner, http.MethodPost, "/sign-in", withBody(form), local, func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	})
	require.Equal(t, http.StatusSeeOther, res.StatusCode)
	require.Len(t, res.Cookies(), 1)
	return func(r *http.Request) { local(r); r.AddCookie(res.Cookies()[0]) }
}

func content(t *testing.T, res *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(text)
}

// What is signed, and what goes to a path of API Gateway's, is for the control plane. The page has the rest.
func TestPageAndControlPlaneShareAnAddress(t *testing.T) {
	svc := built(t, defaults())
	signedIn := signIn(t, svc.owner, "http://x/"+svc.links.New())
	sign := by(t, ownerAccessKey, ownerSecretKey)
	const page, plane = "text/html; charset=utf-8", "application/json"
	for _, tt := range []struct {
		name, target string
		edits        []edit
		status       int
		form         string
	}{
		{"a stranger", "/", nil, 403, page},
		{"a browser that has signed in", "/", []edit{signedIn}, 200, page},
		{"no such page", "/nowhere", []edit{signedIn}, 404, page},
		{"a link that is none", "/sign-in?link=x", nil, 403, page},
		{"signed", "/apikeys", []edit{sign}, 200, plane},
		{"signed, plans", "/usageplans", []edit{sign}, 200, plane},
		{"signed, no such operation", "/domainnames", []edit{sign}, 403, plane},
		{"signed, the page's path", "/", []edit{sign}, 403, plane},
		{"signed and signed in", "/", []edit{signedIn, sign}, 403, plane},
		{"unsigned", "/apikeys", nil, 403, plane},
		{"signed in only", "/apikeys", []edit{signedIn}, 403, plane},
		{"signed in only, one key", "/apikeys/" + apiKeyID, []edit{signedIn}, 403, plane},
		{"unsigned, tags", "/tags/arn%3Aaws%3Aapigateway%3Aeu-west-1%3A%3A%2Fapikeys%2Fx", nil, 403, plane},
		{"unsigned, stages", "/restapis/x/stages", nil, 403, plane},
		{"unsigned, account", "/account", nil, 403, plane},
		{"a bearer token", "/", []edit{bearer("x")}, 403, plane},
		{"presigned, badly", "/?X-Amz-Algorithm=AWS4-HMAC-SHA256", nil, 403, plane},
	} {
		res := send(svc.owner, http.MethodGet, tt.target, tt.edits...)
		require.Equal(t, tt.status, res.StatusCode, tt.name)
		require.Equal(t, tt.form, res.Header.Get("Content-Type"), tt.name)
	}
}

// An owner whose session has ended gets another link by a signed request. A customer gets none.
func TestOwnerGetsAnotherLink(t *testing.T) {
	o := defaults()
	o.admin = "127.0.0.1:8081"
	svc := built(t, o)
	res := send(svc.api, http.MethodPost, "/owner/link", signed(t, ownerAccessKey, ownerSecretKey, 0))
	require.Equal(t, http.StatusCreated, res.StatusCode)
	require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
	text := content(t, res)
	require.Regexp(t, `^\{"link":"http://127\.0\.0\.1:8081/sign-in\?link=[\w-]{43}"\}$`, text)
	link := strings.Split(text, `"`)[3]
	signedIn := signIn(t, svc.owner, link)
	require.Equal(t, http.StatusOK, send(svc.owner, http.MethodGet, "/", signedIn).StatusCode)
	require.Equal(t, http.StatusForbidden, send(svc.owner, http.MethodGet, strings.TrimPrefix(link, "http://127.0.0.1:8081")).StatusCode)

	for _, edits := range [][]edit{nil, {signed(t, accessKey, secretKey, 0)}, {signedIn}, {withKey(apiKey)}} {
		require.Equal(t, http.StatusForbidden, send(svc.api, http.MethodPost, "/owner/link", edits...).StatusCode)
	}
}

// report reads the usage of each key of the plan by the control plane: its days, and what is left today.
func report(t *testing.T, owner http.Handler, plan string) (days map[string][][]any) {
	t.Helper()
	end := time.Now().UTC()
	days = make(map[string][][]any)
	answer := manage(t, owner, 200, "GET", "/usageplans/"+plan+"/usage?limit=500&startDate="+
		end.AddDate(0, 0, 1-demoDays).Format(time.DateOnly)+"&endDate="+end.Format(time.DateOnly), "")
	for key, values := range answer["values"].(map[string]any) {
		for _, pair := range values.([]any) {
			days[key] = append(days[key], pair.([]any))
		}
	}
	return days
}

// The demo's usage is what the control plane reports: of each key in each plan, with a full month that no quota was
// exceeded in.
func TestDemoHasAMonthOfUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(26*24*time.Hour + 15*time.Hour) // Thursday, 2000-01-27
		o := defaults()
		o.demo = true
		svc := built(t, o)
		names := make(map[string]demoKey)
		for _, k := range demoKeys {
			names[k.name] = k
		}
		keys := make(map[string]demoKey) // by id
		for _, item := range manage(t, svc.owner, 200, "GET", "/apikeys?limit=500", "")["item"].([]any) {
			key := item.(map[string]any)
			if k, is := names[key["name"].(string)]; is {
				keys[key["id"].(string)] = k
				require.Equal(t, !k.disabled, key["enabled"], k.name)
				require.Equal(t, k.customer, key["customerId"], k.name)
			}
		}
		require.Len(t, keys, len(demoKeys))
		plans, seen := 0, 0
		for _, item := range manage(t, svc.owner, 200, "GET", "/usageplans?limit=500", "")["item"].([]any) {
			plan := item.(map[string]any)
			if plan["id"] == planID {
				continue
			}
			plans++
			for id, days := range report(t, svc.owner, plan["id"].(string)) {
				requirePlausible(t, keys[id], days)
				seen++
			}
		}
		require.Equal(t, len(demoPlans), plans)
		require.Equal(t, len(demoKeys), seen)
	})
}

// requirePlausible checks a key's days: pairs of what was used and what was left.
func requirePlausible(t *testing.T, k demoKey, days [][]any) {
	t.Helper()
	require.Len(t, days, demoDays, k.name)
	var work, free, weekdays, weekends float64
	for i, pair := range days {
		used, ago := pair[0].(float64), demoDays-1-i
		require.Equal(t, ago >= k.until, used > 0, "%s, %d days ago", k.name, ago)
		if ago == 0 || ago < k.until {
			continue
		}
		switch time.Now().UTC().AddDate(0, 0, -ago).Weekday() {
		case time.Saturday, time.Sunday:
			free, weekends = free+used, weekends+1
		default:
			work, weekdays = work+used, weekdays+1
		}
	}
	if k.weekend < 0.9 {
		require.Less(t, free/weekends, work/weekdays, k.name)
	}
	used, left := days[demoDays-1][0].(float64), days[demoDays-1][1].(float64)
	switch k.name {
	case "points-checker":
		require.Zero(t, left, "used up")
	case "miles-widget":
		require.Equal(t, []float64{930, 70}, []float64{used, left}, "near the limit")
	case "student-project":
		require.EqualValues(t, 1000+k.extension, used+left, "extended today")
	}
}

// What is in a folder may be real, so the demo adds nothing to it. Without -demo it is all there.
func TestDemoWantsANewFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	_, stop := start(t, "-data", dir, "-demo")
	require.NoError(t, stop())
	err := run(t.Context(), []string{"-addr", "127.0.0.1:0", "-admin", "127.0.0.1:0", "-data", dir, "-demo"}, io.Discard)
	require.ErrorContains(t, err, "-demo fills a new folder only")

	s, err := openStore(dir, false)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	pool, _, err := userPool(options{})
	require.NoError(t, err)
	svc, err := newService(defaults(), pool, s, accountLimit)
	require.NoError(t, err)
	require.Len(t, manage(t, svc.owner, 200, "GET", "/apikeys?limit=500", "")["item"], len(demoKeys)+2)
	for _, item := range manage(t, svc.owner, 200, "GET", "/usageplans?limit=500", "")["item"].([]any) {
		if plan := item.(map[string]any); plan["name"] == "Enterprise" {
			require.Len(t, report(t, svc.owner, plan["id"].(string)), 3)
		}
	}
}
