package admin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan/admin"
)

// secretOf returns the secret of a link.
func secretOf(t *testing.T, link string) string {
	t.Helper()
	secret, found := strings.CutPrefix(link, "sign-in?link=")
	require.True(t, found, link)
	require.Len(t, secret, 43)
	return secret
}

func TestLinkIsValidOnce(t *testing.T) {
	h, links := newPage(t, newPlane(t, visitors))
	secret := secretOf(t, links.New())
	newBrowser(t, h, home).post("sign-in", "link", secret).want(200, "Signed in")
	newBrowser(t, h, home).post("sign-in", "link", secret).want(403, "This link was used already")
	newBrowser(t, h, home).get("sign-in?link="+secret).want(403, "This link was used already")
}

// A preview, another tab or another site may open a link as often as it likes.
func TestGetDoesNotConsumeLink(t *testing.T) {
	h, links := newPage(t, newPlane(t, visitors))
	link := links.New()
	for _, method := range []string{"GET", "HEAD"} {
		for range 3 {
			b := newBrowser(t, h, home).send(method, link, nil, map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Purpose": "prefetch"})
			b.want(200)
			require.Empty(t, b.header.Values("Set-Cookie"))
		}
	}
	newBrowser(t, h, home).post("sign-in", "link", secretOf(t, link)).want(200, "Signed in")
}

func TestLinkEndsAfterTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, links := newPage(t, newPlane(t, visitors))
		late, early := secretOf(t, links.New()), secretOf(t, links.New())
		time.Sleep(10*time.Minute - time.Nanosecond)
		newBrowser(t, h, home).post("sign-in", "link", early).want(200, "Signed in")
		time.Sleep(time.Nanosecond)
		newBrowser(t, h, home).get("sign-in?link="+late).want(403, "older than ten minutes")
		newBrowser(t, h, home).post("sign-in", "link", late).want(403, "older than ten minutes")
	})
}

func TestForeignLinksDoNotSignIn(t *testing.T) {
	h, links := newPage(t, newPlane(t, visitors))
	secret := secretOf(t, links.New())
	for _, link := range []string{"", secret[:42], secret + "A", strings.ToLower(secret), secretOf(t, new(admin.OwnerLinks).New())} {
		b := newBrowser(t, h, home).post("sign-in", "link", link).want(403, "You are not signed in")
		require.Empty(t, b.header.Values("Set-Cookie"), link)
	}
}

// At the bound the oldest link goes, and the newest is always good.
func TestLinksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, links := newPage(t, newPlane(t, visitors))
		var all []string
		for range 65 {
			all = append(all, secretOf(t, links.New()))
			time.Sleep(time.Second)
		}
		newBrowser(t, h, home).post("sign-in", "link", all[0]).want(403)
		newBrowser(t, h, home).post("sign-in", "link", all[1]).want(200)
		newBrowser(t, h, home).post("sign-in", "link", all[64]).want(200)
	})
}

func TestSessionEndsWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := signedIn(t, newPlane(t, visitors))
		time.Sleep(time.Hour - time.Nanosecond)
		b.get(home).want(200)
		time.Sleep(time.Hour)
		b.get(home).want(403, "You are not signed in")
	})
}

func TestSessionEndsAfterTwelveHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := signedIn(t, newPlane(t, visitors))
		for range 12 * 2 {
			b.get(home).want(200)
			time.Sleep(30 * time.Minute)
		}
		b.get(home).want(403, "You are not signed in")
	})
}

func TestSignOutEndsCopiesOfTheCookie(t *testing.T) {
	b := signedIn(t, newPlane(t, visitors))
	cookies := b.client.Jar.Cookies(b.at)
	require.Len(t, cookies, 1)
	b.post("sign-out").want(403, "You are not signed in")
	require.Empty(t, b.client.Jar.Cookies(b.at), "the browser has lost it")
	thief := newBrowser(t, b.server, home)
	thief.client.Jar.SetCookies(thief.at, cookies)
	thief.get(home).want(403, "You are not signed in")
}

// A cookie that somebody else has planted before is never raised to a session.
func TestSessionIsNotFixed(t *testing.T) {
	h, links := newPage(t, newPlane(t, visitors))
	b := newBrowser(t, h, home)
	planted := &http.Cookie{Name: "tallygate-owner", Value: strings.Repeat("A", 43), Path: "/admin"}
	b.client.Jar.SetCookies(b.at, []*http.Cookie{planted})
	b.post("sign-in", "link", secretOf(t, links.New())).want(200)
	require.NotEqual(t, planted.Value, b.client.Jar.Cookies(b.at)[0].Value)
	thief := newBrowser(t, h, home)
	thief.client.Jar.SetCookies(thief.at, []*http.Cookie{planted})
	thief.get(home).want(403)
}

// Signing in again ends the session that the browser had.
func TestNewSessionReplacesOld(t *testing.T) {
	h, links := newPage(t, newPlane(t, visitors))
	b := newBrowser(t, h, home).post("sign-in", "link", secretOf(t, links.New())).want(200)
	old := b.client.Jar.Cookies(b.at)
	b.post("sign-in", "link", secretOf(t, links.New())).want(200)
	thief := newBrowser(t, h, home)
	thief.client.Jar.SetCookies(thief.at, old)
	thief.get(home).want(403)
}

// The cookie is out of reach of scripts and of other sites, and it is Secure unless the browser is on the same machine.
func TestCookieIsGuarded(t *testing.T) {
	for address, want := range map[string]string{
		"https://admin.example/keys/":       "__Secure-tallygate-owner=; HttpOnly; Secure; SameSite=Strict",
		"https://admin.example/":            "__Host-tallygate-owner=; Path=/; HttpOnly; Secure; SameSite=Strict",
		"http://admin.example/keys/":        "__Secure-tallygate-owner=; HttpOnly; Secure; SameSite=Strict",
		"http://10.0.0.7:8081/":             "__Host-tallygate-owner=; Path=/; HttpOnly; Secure; SameSite=Strict",
		"http://127.0.0.1.evil.example/":    "__Host-tallygate-owner=; Path=/; HttpOnly; Secure; SameSite=Strict",
		"http://127.0.0.1:8081/":            "tallygate-owner=; HttpOnly; SameSite=Strict",
		"http://[::1]:8081/x/":              "tallygate-owner=; HttpOnly; SameSite=Strict",
		"http://localhost/":                 "tallygate-owner=; HttpOnly; SameSite=Strict",
		"https://localhost:8443/deep/down/": "__Secure-tallygate-owner=; HttpOnly; Secure; SameSite=Strict",
	} {
		h, links := newPage(t, newPlane(t, visitors))
		b := newBrowser(t, h, address)
		b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		b.post("sign-in", "link", secretOf(t, links.New())).want(303)
		require.Equal(t, "./", b.header.Get("Location"))
		cookie := b.header.Get("Set-Cookie")
		name, rest, _ := strings.Cut(cookie, "=")
		require.Equal(t, want, name+"="+rest[43:], address)
	}
}

// A proxy that ends TLS says so, and then the cookie is Secure although the Host is the proxy's name for this machine.
func TestCookieIsSecureBehindProxy(t *testing.T) {
	h, links := newPage(t, newPlane(t, visitors))
	b := newBrowser(t, h, home)
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.send("POST", "sign-in", strings.NewReader(url.Values{"link": {secretOf(t, links.New())}}.Encode()),
		map[string]string{"Content-Type": formType, "X-Forwarded-Proto": "https"}).want(303)
	require.Contains(t, b.header.Get("Set-Cookie"), "; Secure;")
}
