package admin

import "net/http"

// A signInView is what signin.html shows: a link to exchange, or why there is none.
type signInView struct {
	Link string // to be exchanged by the button; "" if there is none
	Used bool   // there was a link, and it is not valid
	Who  bool   // the application has a login of its own
}

// showSignIn answers the GET of a link with a button, and changes nothing: mail programs and chats open links to
// preview them, and another site can open one in the owner's browser.
func (p *page) showSignIn(v *visit) error {
	link := v.form.get("link")
	if p.Links == nil || link == "" {
		return p.stranger(v)
	}
	if !p.Links.valid(link) {
		return p.expired(v)
	}
	return p.renderSignIn(v, http.StatusOK, signInView{Link: link})
}

// signIn exchanges a link for a session. A session that the browser had before ends.
func (p *page) signIn(v *visit) error {
	if p.Links == nil {
		return p.stranger(v)
	}
	secret, ok := p.Links.exchange(v.form.get("link"))
	if !ok {
		return p.expired(v)
	}
	for _, old := range v.cookies() {
		p.Links.end(old)
	}
	v.setCookie(secret)
	v.redirect("./")
	return nil
}

// signOut ends the session at once, also for copies of its cookie. Behind Who there is none, and the application's own
// login decides.
func (p *page) signOut(v *visit) error {
	if p.Links != nil {
		for _, secret := range v.cookies() {
			p.Links.end(secret)
		}
	}
	v.setCookie("")
	v.redirect("./")
	return nil
}

func (p *page) expired(v *visit) error {
	return p.renderSignIn(v, http.StatusForbidden, signInView{Used: true, Who: p.Who != nil})
}

// stranger answers a request of nobody who is known. The status is 403 and not 401, because a 401 has to name a scheme
// by which browsers can authenticate (RFC 9110 section 15.5.2), and a link is none.
func (p *page) stranger(v *visit) error {
	return p.renderSignIn(v, http.StatusForbidden, signInView{Who: p.Who != nil})
}

func (p *page) renderSignIn(v *visit, status int, view signInView) error {
	v.actor, v.byLink = "", false // even if somebody is signed in, this page has nothing of theirs
	return p.render(v, status, "signin", "Sign in", view)
}
