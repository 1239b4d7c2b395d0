package admin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan/admin"
)

func TestFormIsReadAsItWasSent(t *testing.T) {
	for text, want := range map[string]url.Values{
		"":                        {},
		"a=1&b=2":                 {"a": {"1"}, "b": {"2"}},
		"b=%F0%9F%98%80+%2B":      {"b": {"\U0001F600 +"}},
		"many=1&many=2&a=":        {"many": {"1", "2"}, "a": {""}},
		"a=one%0D%0Atwo%0Dthree":  {"a": {"one\ntwo\nthree"}},
		"a=%3Csvg+onload%3D1%3E&": {"a": {"<svg onload=1>"}},
	} {
		got, err := admin.ParseForm(text, "a", "b", "many*")
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"c=1", "A=1", "a=1&a=1", "a*=1", "many*=1", "a=%ff", "a=%C0%80", "many=1&many=%ff", "a=%", "%zz=1", "a=1;b=2",
		strings.Repeat("&", 256),
	} {
		_, err := admin.ParseForm(text, "a", "b", "many*")
		require.ErrorIs(t, err, admin.ErrInvalid, text)
	}
}

// A form that is accepted has only known names, each once unless it may come more often, and only UTF-8. Written and
// read again, it is the same.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{
		"token=t&key=acme000000", "key=a&key=b", "many=1&many=2", "key=%0D%0A", "key=%ff", "%6bey=1", "key=1;many=2", "key", "=", "&&&",
		"key=%F0%9F%98%80", "key=%0D%0D%0A", "key=%ED%A0%80", "many*=1", "KEY=1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		form, err := admin.ParseForm(text, "token", "key", "many*")
		if err != nil {
			require.ErrorIs(t, err, admin.ErrInvalid)
			return
		}
		for name, values := range form {
			require.Contains(t, []string{"token", "key", "many"}, name)
			require.True(t, len(values) == 1 || name == "many")
			for _, value := range values {
				require.True(t, utf8.ValidString(value))
				require.NotContains(t, value, "\r")
			}
		}
		again, err := admin.ParseForm(form.Encode(), "token", "key", "many*")
		require.NoError(t, err)
		require.Equal(t, form, again)
	})
}

// Whatever a person sends who may do everything, the page answers with its headers, and never with a fault of the
// server. What is left is whole: no membership lacks its plan.
func FuzzPage(f *testing.F) {
	for _, rt := range admin.PageRoutes() {
		form := url.Values{}
		for _, name := range rt.Fields {
			if name = strings.TrimSuffix(name, "*"); filled[name] != "" {
				form.Set(name, filled[name])
			}
		}
		f.Add(rt.Method == "POST", rt.Name, form.Encode())
	}
	f.Add(false, "plan", "plan=gold&position=bQAAAAAAAAAA&done=plan-edited")
	f.Add(true, "edit-plan", "plan=gold&name=n&rate=1e308&burst=9223372036854775807&limit=9007199254740992&period=MONTH&offset=27")
	f.Add(true, "set-method", "plan=gold&stage=demo%3Aprod&resource=%7E1%7B%7D%2F%2F&method=*&rate=0&burst=0")
	f.Fuzz(func(t *testing.T, post bool, name, query string) {
		if strings.ContainsAny(name, "?#%\\") || len(name)+len(query) > 10_000 {
			t.Skip("no address that a browser sends")
		}
		p := newFilled(t, visitors)
		b := signedIn(t, p)
		b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		target := &url.URL{Path: "/admin/" + name}
		if post {
			b.send("POST", target.String(), strings.NewReader(query+"&"+b.fields().Encode()),
				map[string]string{"Content-Type": formType, "Sec-Fetch-Site": "same-origin"})
		} else {
			target.RawQuery = url.PathEscape(query)
			b.get(target.String())
		}
		require.Contains(t, []int{200, 303, 400, 403, 404, 405, 409, 413}, b.status, b.shown)
		require.Equal(t, "no-store", b.header.Get("Cache-Control"))
		for _, m := range p.plans.Memberships("acme000000") {
			_, found := p.plans.Plan(m.Plan)
			require.True(t, found, m.Plan)
		}
	})
}
