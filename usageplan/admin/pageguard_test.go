package admin_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan/admin"
)

// filled are values with which every form of the page succeeds on the plane of newFilled, but for those that delete.
var filled = map[string]string{
	"key": "acme000000", "plan": "gold", "to": "iron", "period": "DAY", "units": "5", "reason": "why", "nonce": "n",
	"name": "name", "description": "d", "customer": "c", "enabled": "yes", "grace": "1h", "sure": "yes", "rate": "1",
	"burst": "2", "limit": "3", "offset": "0", "stage": "demo:prod", "resource": "/a", "method": "GET", "DAY": "4",
}

// newFilled returns a plane with the key acme000000 in the plan gold, and a plan iron.
func newFilled(t *testing.T, s settings) *plane {
	t.Helper()
	p := newPlane(t, s)
	p.plan("gold", daily)
	p.plan("iron", daily)
	p.key("acme", "acme")
	p.join("gold", "acme000000")
	return p
}

// send sends a request to a route with the values of filled.
func (b *browser) sendFilled(rt admin.PageRoute) *browser {
	b.t.Helper()
	if rt.Method == http.MethodGet {
		return b.get(home + rt.Name + "?key=acme000000&plan=gold")
	}
	form := b.fields()
	for _, name := range rt.Fields {
		if name = strings.TrimSuffix(name, "*"); filled[name] != "" {
			form.Set(name, filled[name])
		}
	}
	return b.submit(home+rt.Name, form)
}

// public are the addresses that need no permission: they are about the session alone.
var public = []string{"sign-in", "sign-out"}

// asks are the operations that each form asks Config.Authorize about, when it is allowed all that comes before.
var asks = map[string][]string{
	"new-key":  {"CreateApiKey /apikeys reveals", "CreateUsagePlanKey /usageplans/gold/keys"},
	"edit-key": {"UpdateApiKey /apikeys/acme000000"}, "enable": {"UpdateApiKey /apikeys/acme000000"},
	"disable": {"UpdateApiKey /apikeys/acme000000"}, "rotate": {"RotateApiKey /apikeys/acme000000 reveals"},
	"delete-key":    {"DeleteApiKey /apikeys/acme000000"},
	"extend":        {"UpdateUsage /usageplans/gold/keys/acme000000/usage"},
	"set-remaining": {"UpdateUsage /usageplans/gold/keys/acme000000/usage"},
	"limits":        {"UpdateUsagePlanKey /usageplans/gold/keys/acme000000"},
	"join":          {"CreateUsagePlanKey /usageplans/iron/keys"},
	"move":          {"CreateUsagePlanKey /usageplans/iron/keys", "DeleteUsagePlanKey /usageplans/gold/keys/acme000000"},
	"leave":         {"DeleteUsagePlanKey /usageplans/gold/keys/acme000000"},
	"new-plan":      {"CreateUsagePlan /usageplans"}, "edit-plan": {"UpdateUsagePlan /usageplans/gold"},
	"add-stage": {"UpdateUsagePlan /usageplans/gold"}, "remove-stage": {"UpdateUsagePlan /usageplans/gold"},
	"set-method": {"UpdateUsagePlan /usageplans/gold"}, "remove-method": {"UpdateUsagePlan /usageplans/gold"},
	"add-member":    {"CreateUsagePlanKey /usageplans/gold/keys"},
	"remove-member": {"DeleteUsagePlanKey /usageplans/gold/keys/acme000000"},
	"delete-plan":   {"DeleteUsagePlan /usageplans/gold"},
}

// describe writes an action as asks does.
func describe(a admin.Action) string {
	s := a.Operation + " " + strings.TrimPrefix(a.Resource, "arn:aws:apigateway:::")
	if a.Reveals {
		s += " reveals"
	}
	return s
}

// No address shows or changes anything without Config.Authorize. It is told who asks, and that they are at the page.
func TestEveryRouteAsksAuthorize(t *testing.T) {
	for _, rt := range admin.PageRoutes() {
		if slices.Contains(public, rt.Name) {
			continue
		}
		allows := true
		var asked []admin.Action
		p := newFilled(t, settings{admin: func(c *admin.Config) {
			c.Authorize = func(_ *http.Request, a admin.Action) error {
				asked = append(asked, a)
				if !allows {
					return io.ErrUnexpectedEOF // any error
				}
				return nil
			}
		}})
		b := signedIn(t, p)
		allows, asked = false, nil
		before := p.keys.Stats().Revision + p.plans.Stats().Revision
		b.sendFilled(rt).want(http.StatusForbidden, "You may not do this: ")
		require.NotEmpty(t, asked, rt.Name)
		for _, a := range asked {
			require.Equal(t, "owner", a.Actor, rt.Name)
			require.True(t, a.Page, rt.Name)
			require.NotEmpty(t, a.Operation, rt.Name)
			require.True(t, strings.HasPrefix(a.Resource, "arn:aws:apigateway:::/"), a.Resource)
		}
		require.Equal(t, before, p.keys.Stats().Revision+p.plans.Stats().Revision, "%s has changed something", rt.Name)
	}
}

// Each single operation that a form needs refuses the form, and nothing is changed then.
func TestAuthorizeRefusesEachAction(t *testing.T) {
	for _, rt := range admin.PageRoutes() {
		if rt.Method != http.MethodPost || slices.Contains(public, rt.Name) {
			continue
		}
		require.NotEmpty(t, asks[rt.Name], rt.Name)
		for _, refused := range asks[rt.Name] {
			met := false
			p := newFilled(t, settings{admin: func(c *admin.Config) {
				c.Authorize = func(_ *http.Request, a admin.Action) error {
					if describe(a) == refused {
						met = true
						return io.ErrUnexpectedEOF // any error
					}
					return nil
				}
			}})
			b := signedIn(t, p)
			met = false
			before := p.keys.Stats().Revision + p.plans.Stats().Revision
			b.sendFilled(rt)
			require.Equal(t, http.StatusForbidden, b.status, "%s without %s: %s", rt.Name, refused, b.shown)
			require.True(t, met, "%s asks about %s", rt.Name, refused)
			require.Equal(t, before, p.keys.Stats().Revision+p.plans.Stats().Revision, "%s has changed something", rt.Name)
		}
	}
}

// A form that would be refused is not shown. Each other form is.
func TestFormsThatWouldBeRefusedAreHidden(t *testing.T) {
	refused := ""
	p := newFilled(t, settings{admin: func(c *admin.Config) {
		c.Authorize = func(_ *http.Request, a admin.Action) error {
			if refused == "all changes" && !strings.HasPrefix(a.Operation, "Get") || describe(a) == refused {
				return io.ErrUnexpectedEOF // any error
			}
			return nil
		}
	}})
	b := signedIn(t, p)
	pages := func() string {
		key := b.get(home + "key?key=acme000000").want(200).shown
		return key + b.get(home+"plan?plan=gold").want(200).shown
	}
	all := pages()
	for name, operations := range asks {
		mark := `action="` + name + `"`
		if strings.HasPrefix(name, "new-") {
			mark = `<a href="` + name + `">`
		}
		if name == "enable" || name == "remove-method" { // the key is enabled, and no method has a throttle
			continue
		}
		require.True(t, strings.Contains(all, mark), mark)
		if strings.HasPrefix(name, "new-") {
			operations = operations[:1] // a key can be made without a plan
		}
		for _, refused = range operations {
			require.False(t, strings.Contains(pages(), mark), "%s without %s", mark, refused)
		}
	}
	refused = "all changes"
	require.Equal(t, 2, strings.Count(pages(), `method="post"`), "only to sign out, on both pages")
	require.Contains(t, b.get(home+"plan?plan=gold").want(200).shown, "<fieldset disabled>", "the limits can still be read")
}

// Nobody who is not signed in sees anything, whatever they ask for.
func TestStrangersSeeNothing(t *testing.T) {
	p := newFilled(t, visitors)
	h, _ := newPage(t, p)
	for _, rt := range append(admin.PageRoutes(), admin.PageRoute{Method: "GET", Name: "nothing"}) {
		b := newBrowser(t, h, home)
		before := p.keys.Stats().Revision + p.plans.Stats().Revision
		b.sendFilled(rt).want(http.StatusForbidden)
		require.Contains(t, b.shown, "You are not signed in", rt.Name)
		require.NotContains(t, b.shown, "acme", rt.Name)
		require.NotContains(t, b.shown, `name="token"`, rt.Name)
		require.Empty(t, b.header.Values("Set-Cookie"), rt.Name)
		require.Equal(t, before, p.keys.Stats().Revision+p.plans.Stats().Revision, rt.Name)
	}
}

// A form that another site sends changes nothing, even with the cookie and the token. One without the headers by which
// browsers tell that needs the token.
func TestForgedFormsChangeNothing(t *testing.T) {
	p := newFilled(t, visitors)
	b := signedIn(t, p)
	other := signedIn(t, p)
	good := b.fields("key", "acme000000")
	cookies := b.client.Jar.Cookies(b.at)
	for name, forged := range map[string]struct {
		header map[string]string
		form   url.Values
	}{
		"cross-site":        {map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, good},
		"same-site":         {map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:9999"}, good},
		"without origin":    {map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "null"}, good},
		"old browser":       {map[string]string{"Origin": "https://evil.example"}, good},
		"no token":          {nil, url.Values{"key": {"acme000000"}}},
		"null, no token":    {map[string]string{"Origin": "null"}, url.Values{"key": {"acme000000"}}},
		"empty token":       {nil, url.Values{"key": {"acme000000"}, "token": {""}}},
		"token of another":  {map[string]string{"Sec-Fetch-Site": "same-origin"}, other.fields("key", "acme000000")},
		"token of a cookie": {nil, url.Values{"key": {"acme000000"}, "token": {cookies[0].Value}}},
	} {
		header := map[string]string{"Content-Type": formType}
		maps.Copy(header, forged.header)
		b.send("POST", "disable", strings.NewReader(forged.form.Encode()), header)
		require.Equal(t, http.StatusForbidden, b.status, "%s: %s", name, b.shown)
		k, _ := p.keys.Key("acme000000")
		require.True(t, k.Enabled, name)
	}
	fresh := newBrowser(t, b.server, home)
	fresh.send("POST", "disable", strings.NewReader(good.Encode()), map[string]string{"Content-Type": formType}).
		want(403, "You are not signed in")
	k, _ := p.keys.Key("acme000000")
	require.True(t, k.Enabled)
	b.submit("disable", good).want(200, "The key is disabled") // the token is good where it belongs
}

// Other content types, which other sites could send without asking, are refused, and so are forms that are too long, or
// have a field twice, or one that is not known.
func TestOnlyFormsOfThePageAreRead(t *testing.T) {
	p := newFilled(t, visitors)
	b := signedIn(t, p)
	good := b.fields("key", "acme000000")
	for _, bad := range []struct {
		kind, body string
		status     int
	}{
		{"text/plain", good.Encode(), 400},
		{"application/json", `{"key":"acme000000"}`, 400},
		{"multipart/form-data; boundary=x", "--x--", 400},
		{"", good.Encode(), 400},
		{formType, good.Encode() + "&key=acme000000", 400},
		{formType, good.Encode() + "&Key=acme000000", 400},
		{formType, good.Encode() + "&other=x", 400},
		{formType, good.Encode() + "&%zz=x", 400},
		{formType, good.Encode() + ";key=x", 400},
		{formType, good.Encode() + strings.Repeat("&", 256), 400},
		{formType, "token=" + good.Get("token") + "&key=%ff", 400},
		{formType, good.Encode() + "&x=" + strings.Repeat("x", 2<<20), 413},
	} {
		b.send("POST", "disable", strings.NewReader(bad.body), map[string]string{"Content-Type": bad.kind, "Sec-Fetch-Site": "same-origin"})
		require.Equal(t, bad.status, b.status, "%s %.100s: %s", bad.kind, bad.body, b.shown)
	}
	k, _ := p.keys.Key("acme000000")
	require.True(t, k.Enabled)
	b.get("key?key=acme000000&key=other").want(400)
	b.get("key?key=%ff").want(400)
	b.get("key?key=acme000000&utm_source=mail").want(200)
}

// The page works wherever it is mounted, with and without http.StripPrefix: all of its links stay below that path.
func TestPageWorksAtAnyPath(t *testing.T) {
	p := newFilled(t, visitors)
	h, links := newPage(t, p)
	stripped := func(prefix string, next http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle(prefix+"/", http.StripPrefix(prefix, next))
		return mux
	}
	whole := http.NewServeMux()
	whole.Handle("/admin/", h)
	proxied := func(next http.Handler) http.Handler { // the server sees nothing of the path at which the browser is
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.RequestURI = strings.TrimPrefix(r.RequestURI, "/proxy")
			r.URL.Path = strings.TrimPrefix(r.URL.Path, "/proxy")
			next.ServeHTTP(w, r)
		})
	}
	for address, server := range map[string]http.Handler{
		"http://localhost/":            h,
		"http://localhost/admin/":      whole,
		"http://localhost/keys/":       stripped("/keys", h),
		"http://localhost/key/":        stripped("/key", h),
		"http://localhost/a/b/":        stripped("/a/b", h),
		"http://localhost/a/plan/":     stripped("/a", stripped("/plan", h)),
		"http://localhost/proxy/":      proxied(h),
		"http://localhost/proxy/keys/": proxied(stripped("/keys", h)),
		"https://admin.example/":       h,
		"https://admin.example/keys/":  stripped("/keys", h),
	} {
		b := newBrowser(t, server, address)
		b.post("sign-in", "link", secretOf(t, links.New())).want(200, "Signed in")
		require.Equal(t, address, b.at.String())
		b.get("key?key=acme000000").want(200, "acme")
		b.post("disable", "key", "acme000000").want(200, "The key is disabled")
		require.True(t, strings.HasPrefix(b.at.String(), address+"key?done=key-disabled&key=acme000000&"), b.at)
		b.post("enable", "key", "acme000000").want(200)
		for _, name := range []string{"./", "new-key", "new-plan", "plan?plan=gold", "key?key=acme000000"} {
			b.get(address + name).want(200)
			for _, m := range regexp.MustCompile(` (?:href|action|src|formaction|ping|srcset)="([^"]*)"`).FindAllStringSubmatch(b.shown, -1) {
				require.NotRegexp(t, `^/|^[^?#]*:|^\.\./`, m[1], "%s of %s", m[1], name)
			}
		}
		b.post("sign-out").want(403)
	}
}

// A folder without its slash leads to the one with it.
func TestFolderWithoutSlash(t *testing.T) {
	h, _ := newPage(t, newPlane(t, visitors))
	r := httptest.NewRequest("GET", "/admin?x=/", nil)
	w := httptest.NewRecorder()
	http.StripPrefix("/admin", h).ServeHTTP(w, r)
	require.Equal(t, http.StatusSeeOther, w.Code)
	require.Equal(t, "./admin/", w.Header().Get("Location"))
}

// Every answer has the headers that keep the page to itself.
func TestEveryAnswerIsGuarded(t *testing.T) {
	p := newFilled(t, visitors)
	b := signedIn(t, p)
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.get("key?key=acme000000")
	token := b.fields()
	for _, answer := range []struct {
		method, to string
		status     int
	}{
		{"GET", "./", 200},
		{"HEAD", "./", 200},
		{"GET", "key?key=acme000000", 200},
		{"GET", "key?key=none", 404},
		{"GET", "nothing", 404},
		{"GET", "disable", 405},
		{"PUT", "./", 405},
		{"OPTIONS", "./", 405},
		{"POST", "disable", 404},
		{"GET", "sign-in?link=x", 403},
		{"POST", "sign-in", 403},
		{"POST", "sign-out", 303},
		{"GET", "./", 403},
	} {
		b.send(answer.method, answer.to, strings.NewReader(token.Encode()), map[string]string{"Content-Type": formType, "Sec-Fetch-Site": "same-origin"})
		what := answer.method + " " + answer.to
		require.Equal(t, answer.status, b.status, "%s: %s", what, b.shown)
		require.Regexp(t, `^default-src 'none'; style-src 'sha256-[^' ]+'; script-src 'sha256-[^' ]+'; `+
			`form-action 'self'; base-uri 'none'; frame-ancestors 'none'$`, b.header.Get("Content-Security-Policy"), what)
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
			"X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			require.Equal(t, []string{want}, b.header.Values(name), "%s: %s", what, name)
		}
		require.NotEmpty(t, b.header.Get("X-Amzn-RequestId"), what)
		if answer.status != 303 {
			require.Equal(t, "text/html; charset=utf-8", b.header.Get("Content-Type"), what)
		}
		if answer.status == 405 {
			require.NotEmpty(t, b.header.Get("Allow"), what)
		}
	}
}

// The digests of the policy are those of what stands in the page, and nothing else in it needs to be allowed.
func TestPolicyFitsThePage(t *testing.T) {
	p := newFilled(t, visitors)
	b := signedIn(t, p)
	for _, name := range []string{"./", "new-key", "new-plan", "plan?plan=gold", "key?key=acme000000", "nothing", "sign-in"} {
		b.get(home + name)
		for _, tag := range []string{"style", "script"} {
			m := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(b.shown, -1)
			require.Len(t, m, 1, "%s of %s", tag, name)
			sum := sha256.Sum256([]byte(m[0][1]))
			require.Contains(t, b.header.Get("Content-Security-Policy"),
				fmt.Sprintf("%s-src 'sha256-%s'", tag, base64.StdEncoding.EncodeToString(sum[:])))
		}
		markup := regexp.MustCompile(`(?s)<(style|script)>.*?</`).ReplaceAllString(b.shown, "")
		require.NotRegexp(t, `(?i)\s(style|on\w+)\s*=|javascript:|<(link|img|iframe|object|embed|base)\b|https?://`, markup, name)
	}
}

// evil are texts that would become markup, code or a template if a page did not escape them.
var evil = []string{
	"<svg onload=alert(1)>", `"><svg onload=alert(1)>`, `'"><script>alert(1)</script>`, `" autofocus onfocus=alert(1) x="`,
	"</title></textarea></style></script><svg onload=alert(1)>", "{{.Token}}", "javascript:alert(1)", "\u202egnp.exe",
}

// A name, a text or a reason is a text, whatever it contains: each page has the same elements and attributes as with a
// harmless one.
func TestTextsAreNeverMarkup(t *testing.T) {
	shapes := func(text string) (shapes []string) {
		p := newFilled(t, visitors)
		b := signedIn(t, p)
		b.get("key?key=acme000000").post("edit-key", "key", "acme000000", "name", text, "customer", text, "description", text)
		b.post("extend", "key", "acme000000", "plan", "gold", "period", "DAY", "nonce", text, "units", "1", "reason", text).want(200)
		for _, plan := range []string{"gold", "iron"} {
			b.post("edit-plan", "plan", plan, "name", text, "description", text, "rate", "1", "burst", "1", "limit", "3",
				"period", "DAY").want(200)
		}
		b.post("set-method", "plan", "gold", "stage", "demo:prod", "resource", "/"+text, "method", "GET", "rate", "1", "burst", "1")
		for _, name := range []string{"./", "key?key=acme000000", "plan?plan=gold", "new-key", "new-plan"} {
			shapes = append(shapes, strings.Join(tags(b.get(home+name).want(200).shown), ""))
		}
		return shapes
	}
	want := shapes("harmless")
	for _, text := range evil {
		require.Equal(t, want, shapes(text), text)
	}
}

// Whatever a field of a form or an address has, and whatever the page then says about it, the page has no element with
// attributes that it does not have for harmless texts.
func TestTypedTextsAreNeverMarkup(t *testing.T) {
	known := make(map[string]bool)
	p := newFilled(t, visitors)
	b := signedIn(t, p)
	token := b.fields().Get("token")
	visit := func(text string) {
		for _, rt := range admin.PageRoutes() {
			if slices.Contains(public, rt.Name) {
				continue
			}
			for _, field := range rt.Fields {
				form := url.Values{"token": {token}}
				for _, other := range rt.Fields {
					if other = strings.TrimSuffix(other, "*"); filled[other] != "" && other != "sure" {
						form.Set(other, filled[other])
					}
				}
				form.Set(strings.TrimSuffix(field, "*"), text)
				b.submit(home+rt.Name, form)
				for _, tag := range tags(b.shown) {
					require.True(t, known[tag] || text == "harmless", "%s by %q as %s of %s", tag, text, field, rt.Name)
					known[tag] = true
				}
			}
		}
		for _, address := range []string{
			"key?key=%s", "plan?plan=%s", "plan?plan=gold&position=%s", "?done=%s", "key?key=acme000000&done=%s", "%s", "sign-in?link=%s",
		} {
			b.get(home + fmt.Sprintf(address, url.QueryEscape(text)))
			for _, tag := range tags(b.shown) {
				require.True(t, known[tag] || text == "harmless", "%s by %q in %s", tag, text, address)
				known[tag] = true
			}
		}
	}
	visit("harmless")
	visit("harmless") // some pages differ at the second time
	for _, text := range evil[:4] {
		visit(text)
	}
}

// tags returns the elements of a page and the names of their attributes.
func tags(page string) []string {
	page = regexp.MustCompile(`(?s)<(style|script)>.*?</`).ReplaceAllString(page, "<$1></")
	page = regexp.MustCompile(`="[^"]*"`).ReplaceAllString(page, "")
	return regexp.MustCompile(`<[^>]*>`).FindAllString(page, -1)
}

// Where an element cannot isolate a text, characters do.
func TestDirectionOfWritingIsIsolated(t *testing.T) {
	p := newFilled(t, visitors)
	b := signedIn(t, p).get("key?key=acme000000")
	b.post("edit-key", "key", "acme000000", "name", "a\u202eb", "customer", "", "description", "").want(200, "<h1><bdi>a\u202eb</bdi></h1>")
	require.Contains(t, b.shown, "<title>\u2068a\u202eb\u2069 – \u2068API keys\u2069</title>")
	b.post("edit-plan", "plan", "iron", "name", "i\u202en", "description", "", "rate", "", "burst", "", "limit", "", "period", "DAY").want(200)
	b.get("new-key").want(200, ">\u2068i\u202en\u2069</option>")
}

// On a phone, tables of the class stack are no tables for CSS, and browsers then take the roles of their elements away.
// So each element has its role explicitly. A caption cannot have one (ARIA in HTML, section 4).
func TestStackedTablesKeepTheirRoles(t *testing.T) {
	roles := map[string]string{
		"table": "table", "thead": "rowgroup", "tbody": "rowgroup", "tr": "row", "td": "cell",
	}
	files, err := filepath.Glob("page/*.html")
	require.NoError(t, err)
	found := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, table := range regexp.MustCompile(`(?s)<table class="stack.*?</table>`).FindAllString(string(text), -1) {
			found++
			for _, tag := range regexp.MustCompile(`<(table|thead|tbody|tr|th|td)\b[^>]*>`).FindAllStringSubmatch(table, -1) {
				role := roles[tag[1]]
				if tag[1] == "th" {
					role = map[bool]string{true: "columnheader", false: "rowheader"}[strings.Contains(tag[0], `scope="col"`)]
				}
				require.Contains(t, tag[0], `role="`+role+`"`, file)
			}
		}
	}
	require.Equal(t, 4, found)
}
