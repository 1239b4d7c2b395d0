package admin

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	htmltemplate "html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/tallygate/tallygate/usageplan/internal/chart"
)

// The templates. Those whose name begins with "part-" are parts that all may use; each other one is a page, which
// defines "content". layout.html is around all of them.
//
//go:embed page
var pageFiles embed.FS

// The style and the script stand in every page, so that it needs no other request. The policy has their digests.
var (
	pageStyle  = pageFile("page.css") + chart.Style
	pageScript = pageFile("page.js")
)

// pagePolicy is the Content-Security-Policy of every answer. There is no source but the style and the script by their
// digests (CSP Level 3 section 2.3.1), so that a text which gets through as markup can load, run and restyle nothing.
var pagePolicy = "default-src 'none'; style-src '" + digestSource(pageStyle) +
	"'; script-src '" + digestSource(pageScript) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func digestSource(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func pageFile(name string) string {
	text, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		panic(err) // it is compiled in
	}
	return string(text)
}

// setPageHeaders sets what every answer has. Nothing is cached, because the next person at the browser may not see it.
// No address leaves the page as a referrer, because that of sign-in has a secret.
func setPageHeaders(h http.Header) {
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// pageTemplates returns the templates of the pages by their names. They are parsed when a page is made, so that a
// control plane without a page does not pay for them.
var pageTemplates = sync.OnceValue(func() map[string]*htmltemplate.Template {
	common := htmltemplate.Must(htmltemplate.New("").Funcs(htmltemplate.FuncMap{
		"isolate": isolate, "member": formsOf, "limits": fieldsOf,
	}).
		ParseFS(pageFiles, "page/layout.html", "page/part-*.html"))
	pages := make(map[string]*htmltemplate.Template)
	names, err := fs.Glob(pageFiles, "page/*.html")
	if err != nil {
		panic(err) // the pattern is fixed
	}
	for _, name := range names {
		base := strings.TrimSuffix(path.Base(name), ".html")
		if base != "layout" && !strings.HasPrefix(base, "part-") {
			pages[base] = htmltemplate.Must(htmltemplate.Must(common.Clone()).ParseFS(pageFiles, name))
		}
	}
	return pages
})

// isolate puts a text between U+2068 and U+2069, for places that cannot have a bdi element: the title of a page and the
// options of a list. Otherwise a name with U+202E would turn the text after it around (Unicode Standard Annex 9,
// section 2.4).
func isolate(text string) string { return "\u2068" + text + "\u2069" }

// A layout is what layout.html shows. Content is the data of the page inside, and Form the form that has failed.
type layout struct {
	Site, Title string
	Style       htmltemplate.CSS
	Script      htmltemplate.JS
	Actor       string // "" for a stranger
	ByLink      bool
	Token       string
	Key         string // the key that the address names, for the form that undoes a notice
	Notice      notice
	Form        failedForm
	Problem     string // why a form has failed that is not on the page
	Content     any

	visit *visit
}

// May reports whether the person may do something: a form that would only be refused is not shown. The operation asks
// again when it is done.
func (l layout) May(operation string, ids ...string) bool {
	return l.visit.may(operation, ids...) == nil
}

// A notice says what the form before has done. Undo is the address of the form that undoes it, "" if nothing does.
type notice struct{ Text, Undo string }

// A failedForm is what was typed into a form that has failed, for the templates. Its methods take pairs of a field and
// a value: a page has several forms of one name, such as one for each plan of a key, and only one of them has failed.
type failedForm struct {
	name, Problem string
	fields        form
	found         *bool // set if the form is on the page
}

// For returns the form itself if it is the one of that name and with those values, and otherwise one that has not
// failed.
func (f failedForm) For(name string, pairs ...string) failedForm {
	is := f.name == name && f.Problem != ""
	for i := 0; i+1 < len(pairs); i += 2 {
		is = is && f.fields.get(pairs[i]) == pairs[i+1]
	}
	if !is {
		return failedForm{}
	}
	*f.found = true
	return f
}

// Value returns what a field shows: what was typed if the form has failed, and otherwise the present value.
func (f failedForm) Value(field, present string) string {
	if f.Problem != "" {
		return f.fields.get(field)
	}
	return present
}

// Is is Value for a checkbox or an option with the given value.
func (f failedForm) Is(field, value string, present bool) bool {
	if f.Problem != "" {
		return f.fields.is(field, value)
	}
	return present
}

// render answers with a page: the template of that name, in the layout. What a template writes is collected first, so
// that a fault in it is a 500 and not half a page.
func (p *page) render(v *visit, status int, name, title string, content any) error {
	l := layout{
		Site: p.Title, Title: title, Style: htmltemplate.CSS(pageStyle), Script: htmltemplate.JS(pageScript),
		Actor: v.actor, ByLink: v.byLink, Key: v.form.get("key"), Notice: v.notice(), Content: content, visit: v,
	}
	if v.actor != "" {
		if v.secret == "" { // the first page of a person whom Who names
			v.secret = newSecret()
			v.setCookie(v.secret)
		}
		l.Token = v.token()
	}
	found := v.problem == ""
	if v.problem != "" {
		l.Form = failedForm{v.route.name, v.problem, v.form, &found}
	}
	var text bytes.Buffer
	for range 2 {
		text.Reset()
		if err := pageTemplates()[name].ExecuteTemplate(&text, "layout.html", l); err != nil {
			return err
		}
		if found {
			break
		}
		l.Problem = v.problem // the form is gone: the key has left the plan, for example, in another window
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(text.Bytes())
	return nil
}

// errMethod is the error for an address that does not take the method.
var errMethod = errors.New("the address does not take this method")

// pageError returns err as an Error. One that has an action keeps it.
func pageError(err error) *Error {
	if e, is := errors.AsType[*Error](err); is {
		return e
	}
	return refusal(err, Action{})
}

// problemText returns what a person is told about an error.
func problemText(e *Error) string {
	switch {
	case errors.Is(e, ErrDenied) && e.Action.Operation != "":
		return "You may not do this: " + e.Action.Operation + " on " + clip(e.Action.Resource) + "."
	case errors.Is(e, ErrUnavailable):
		return "The store has not answered. The change may have been made or not: look before you repeat it."
	case errors.Is(e, ErrTooLarge):
		return "The form is too long."
	}
	return e.ErrorMessage()
}

// fail answers with a page that says what is wrong, for what has no form to show it in.
func (v *visit) fail(err error) {
	status, text := http.StatusMethodNotAllowed, "This address is there for a form, or for a link. Go back to the page."
	if !errors.Is(err, errMethod) {
		e := pageError(err)
		e.SetHeader(v.w.Header())
		status, text = e.StatusCode(), problemText(e)
		if v.r.Method != http.MethodPost && errors.Is(e, ErrUnavailable) { // nothing was to be changed
			text = "The store has not answered. Load the page again in a moment."
		}
	}
	if v.page.render(v, status, "problem", http.StatusText(status), text) != nil {
		http.Error(v.w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}
