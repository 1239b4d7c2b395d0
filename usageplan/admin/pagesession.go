package admin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// The names of the cookie. A browser accepts the prefixed ones over TLS only, and the __Host- one of this host only
// (RFC 6265bis section 4.1.3).
const (
	plainCookie  = "tallygate-owner"
	secureCookie = "__Secure-" + plainCookie
	hostCookie   = "__Host-" + plainCookie
)

// secretLen is the length of newSecret. Cookies of another length are none of ours.
const secretLen = 43 // 32 bytes in base64 without padding

// identify finds out who has sent the request, and reports whether it is somebody who may see the page. The cookie is
// that of a session of Links. Behind Who it proves nothing: it is there for the tokens of forms.
func (v *visit) identify() bool {
	secrets := v.cookies()
	if v.page.Who != nil {
		if name, ok := v.page.Who(v.r); ok && name != "" && !v.page.reserved(name) {
			v.actor = name
			if len(secrets) > 0 {
				v.secret = secrets[0]
			}
			return true
		}
	}
	for _, secret := range secrets {
		if v.page.Links != nil && v.page.Links.knows(secret) {
			v.actor, v.secret, v.byLink = linkActor, secret, true
			return true
		}
	}
	return false
}

// reserved reports whether Who must not return the name. Where links let somebody in, the name of their holder decides
// what they may do. So nobody may have it by signing up under it.
func (p *page) reserved(name string) bool { return p.Links != nil && name == linkActor }

// cookies returns the secrets of the cookies that count for this request. There may be several, of pages at other paths
// of the host, in an order that says nothing. Over TLS the plain name does not count: anybody who can answer the
// browser over plain HTTP can set it.
func (v *visit) cookies() (secrets []string) {
	for _, c := range v.r.Cookies() {
		counts := c.Name == plainCookie
		if v.secure() {
			counts = c.Name == secureCookie || c.Name == hostCookie
		}
		if counts && len(c.Value) == secretLen && len(secrets) < maxCookies {
			secrets = append(secrets, c.Value)
		}
	}
	return secrets
}

// maxCookies bounds how many cookies of a request are looked up.
const maxCookies = 8

// setCookie gives the browser the secret of a session, or takes it away if it is "". It ends with the browser's own
// session, or earlier, when [OwnerLinks] ends it.
//
// It has no Path. Its path is then the folder of the request, as the browser knows it: the one at which the page is
// mounted, whatever proxies and http.StripPrefix have cut off (RFC 6265 section 5.1.4).
func (v *visit) setCookie(secret string) {
	c := &http.Cookie{
		Name: plainCookie, Value: secret, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: v.secure(),
	}
	if c.Secure {
		c.Name = secureCookie
	}
	path, _, _ := strings.Cut(v.r.RequestURI, "?")
	if c.Secure && strings.LastIndexByte(path, '/') == 0 { // at the root of the host
		c.Name, c.Path = hostCookie, "/"
	}
	if secret == "" {
		c.MaxAge = -1
	}
	http.SetCookie(v.w, c)
}

// secure reports whether the cookie is to be Secure: always, unless the browser has asked for a loopback address over
// plain HTTP. Behind a proxy that ends TLS, the Host is that of the site, or the proxy says X-Forwarded-Proto: https,
// which gains nothing for a client that lies. So over plain HTTP in a network, signing in does not work: the browser
// drops the cookie.
func (v *visit) secure() bool {
	if v.r.TLS != nil || strings.EqualFold(v.r.Header.Get("X-Forwarded-Proto"), "https") {
		return true
	}
	host := v.r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	address, err := netip.ParseAddr(host)
	return !strings.EqualFold(host, "localhost") && (err != nil || !address.IsLoopback())
}

// token returns what every form of this visit carries: a proof that the form is one of ours, for this browser and this
// person. It needs no memory, so that behind Who any process of a service accepts the forms of the others.
func (v *visit) token() string { return v.mac("form", v.actor) }

// mac returns a code that only the holder of the cookie and this page can make, over texts that say what it is for.
func (v *visit) mac(use, text string) string {
	h := hmac.New(sha256.New, []byte(v.secret))
	h.Write([]byte(use + "\x00" + text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// mayPost returns an error unless the POST comes from a form of this page. There are two walls. The first is
// [http.CrossOriginProtection], by what the browser says about itself; the second is the token, by what it has.
func (v *visit) mayPost() error {
	r := v.r
	// Under Referrer-Policy: no-referrer, browsers send "Origin: null" even with our own forms (Fetch section 3.2,
	// "append a request Origin header"). Those that do not send Sec-Fetch-Site to plain HTTP are left with that. It
	// says nothing, so it counts as absent here, and the token decides.
	if r.Header.Get("Origin") == "null" && r.Header.Get("Sec-Fetch-Site") == "" {
		r = r.Clone(r.Context())
		r.Header.Del("Origin")
	}
	if err := new(http.CrossOriginProtection).Check(r); err != nil {
		err = fmt.Errorf("%w: %w", ErrDenied, err)
		return &Error{Err: err, Message: "This form was sent by another site, so nothing was changed."}
	}
	return nil
}

// checkToken returns an error unless the form has the token of this visit.
func (v *visit) checkToken() error {
	if v.secret != "" && hmac.Equal([]byte(v.form.get("token")), []byte(v.token())) {
		return nil
	}
	return refused(ErrDenied, "This form belongs to another session, so nothing was changed. Load the page again. "+
		"Cookies must be allowed, and they need HTTPS unless the page is at localhost.")
}
