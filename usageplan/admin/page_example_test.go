package admin_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
	"github.com/tallygate/tallygate/ratelimit/clientip"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
)

// exampleControl is a control plane that leaves the decision to authorize.
func exampleControl(authorize func(*http.Request, admin.Action) error) *admin.Server {
	keys, errKeys := apikey.New(apikey.Config{})
	plans, errPlans := usageplan.New(usageplan.Config{Client: apikey.ID, API: "demo", Stage: "prod"})
	control, err := admin.New(admin.Config{Keys: keys, Plans: plans, Authorize: authorize}) // for the page only
	if err := errors.Join(errKeys, errPlans, err); err != nil {
		panic(err)
	}
	return control
}

// The users of a Cognito user pool sign in to the application, which keeps their ID token in a cookie. Those of the
// group owners may administer keys and plans, and those of the group support may look at them.
func ExamplePage() {
	issuer, _ := authtest.New("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz")
	pool := auth.Cognito("eu-west-1", "eu-west-1_aQYCzHwCz", "3fe6quse1kki13s6nebi0ncnin")
	pool.Keys = issuer.JWKS() // in a program, the verifier fetches them
	users, err := auth.New(auth.Config{
		Issuers: []auth.Issuer{pool},
		Source: func(r *http.Request) (string, bool) {
			c, err := r.Cookie("__Host-id")
			if err != nil {
				return "", false
			}
			return c.Value, true
		},
	})
	if err != nil {
		panic(err)
	}
	control := exampleControl(func(r *http.Request, a admin.Action) error {
		user, _ := auth.FromContext(r.Context())
		if a.Page && (user.InGroup("owners") || user.InGroup("support") && strings.HasPrefix(a.Operation, "Get")) {
			return nil
		}
		return errors.New("not allowed")
	})
	page, err := admin.Page(admin.PageConfig{
		Control: control,
		Who: func(r *http.Request) (string, bool) {
			user, ok := auth.FromContext(r.Context())
			return user.Username, ok && user.Use == "id" && (user.InGroup("owners") || user.InGroup("support"))
		},
	})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/keys/", http.StripPrefix("/keys", users.Handler(page)))

	visit := func(target, name string, groups ...string) {
		token, _ := issuer.IDToken(authtest.User{Username: name, Client: "3fe6quse1kki13s6nebi0ncnin", Groups: groups})
		r := httptest.NewRequest(http.MethodGet, "https://admin.example"+target, nil)
		r.AddCookie(&http.Cookie{Name: "__Host-id", Value: token})
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		_, title, _ := strings.Cut(w.Body.String(), "<h1>")
		title, _, _ = strings.Cut(title, "</h1>")
		fmt.Println(name, w.Code, title)
	}
	visit("/keys/", "lena", "owners")
	visit("/keys/new-key", "lena", "owners")
	visit("/keys/", "sam", "support")
	visit("/keys/new-key", "sam", "support")
	visit("/keys/", "mallory", "gold")
	// Output:
	// lena 200 API keys
	// lena 200 New key
	// sam 200 API keys
	// sam 403 Forbidden
	// mallory 403 You are not signed in
}

// The page at /admin/ behind a proxy that ends TLS, with a login and a link. The whole team may read, and the group
// owners may administer. Until somebody is in that group, the printed link lets in the owner.
func ExamplePageConfig() {
	issuer, _ := authtest.New("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz")
	pool := auth.Cognito("eu-west-1", "eu-west-1_aQYCzHwCz", "3fe6quse1kki13s6nebi0ncnin")
	pool.Keys = issuer.JWKS() // in a program, the verifier fetches them
	users, errUsers := auth.New(auth.Config{
		Issuers: []auth.Issuer{pool},
		Rules:   auth.Rules{TokenUse: "id"},
		Source: func(r *http.Request) (string, bool) {
			c, err := r.Cookie("__Host-id")
			if err != nil {
				return "", false
			}
			return c.Value, true
		},
	})
	control := exampleControl(func(r *http.Request, a admin.Action) error {
		user, _ := auth.FromContext(r.Context())
		if a.Page && (a.Actor == "owner" || user.InGroup("owners") || strings.HasPrefix(a.Operation, "Get")) {
			return nil
		}
		return errors.New("not allowed")
	})
	links := new(admin.OwnerLinks)
	page, err := admin.Page(admin.PageConfig{
		Control: control, Links: links,
		Who: func(r *http.Request) (string, bool) {
			user, ok := auth.FromContext(r.Context())
			return user.Username, ok
		},
	})
	ip, errIP := clientip.New(clientip.Config{Header: "X-Forwarded-For", Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	if err := errors.Join(errUsers, err, errIP); err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/admin/", func(w http.ResponseWriter, r *http.Request) { // not users.Handler, which refuses a link
		signed, err := users.Authenticate(r)
		if err != nil {
			signed = r.Clone(r.Context()) // the page says how to sign in
		}
		if address, ok := ip.Addr(r); ok {
			signed.RemoteAddr = address.String() // for the journals
		}
		page.ServeHTTP(w, signed)
	})
	link := "/admin/" + links.New()
	fmt.Println(strings.HasPrefix("https://shop.example"+link, "https://shop.example/admin/sign-in?link="))

	visit := func(method, target, body string, cookies ...*http.Cookie) *http.Response {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		r.RemoteAddr, r.Host = "10.0.0.1:1234", "shop.example"
		r.Header.Set("X-Forwarded-For", "203.0.113.7")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w.Result()
	}
	in := func(username string, groups ...string) *http.Cookie {
		token, _ := issuer.IDToken(authtest.User{Username: username, Client: "3fe6quse1kki13s6nebi0ncnin", Groups: groups})
		return &http.Cookie{Name: "__Host-id", Value: token}
	}
	fmt.Println("lena", visit(http.MethodGet, "/admin/new-key", "", in("lena", "owners")).StatusCode)
	fmt.Println("sam", visit(http.MethodGet, "/admin/new-key", "", in("sam")).StatusCode, visit(http.MethodGet, "/admin/", "", in("sam")).StatusCode)
	fmt.Println("a user named owner", visit(http.MethodGet, "/admin/", "", in("owner")).StatusCode)
	fmt.Println("nobody", visit(http.MethodGet, "/admin/", "").StatusCode)
	session := visit(http.MethodPost, "/admin/sign-in", strings.TrimPrefix(link, "/admin/sign-in?")).Cookies() // the button
	fmt.Println("by link", visit(http.MethodGet, "/admin/new-key", "", session...).StatusCode, session[0].Secure)
	file := visit(http.MethodGet, "/admin/usage.csv?from=2026-11-01&to=2026-11-30", "", in("sam"))
	fmt.Println(file.Header.Get("Content-Disposition"))
	// Output:
	// true
	// lena 200
	// sam 403 200
	// a user named owner 403
	// nobody 403
	// by link 200 true
	// attachment; filename="usage-2026-11-01-2026-11-30.csv"
}

// A program without a login prints a link for its owner when it starts.
func ExampleOwnerLinks() {
	control := exampleControl(func(_ *http.Request, a admin.Action) error {
		if a.Page && a.Actor == "owner" {
			return nil
		}
		return errors.New("not allowed")
	})
	links := new(admin.OwnerLinks)
	page, err := admin.Page(admin.PageConfig{Control: control, Links: links})
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(page)
	defer server.Close()
	link := server.URL + "/" + links.New()
	fmt.Println(len(link) > len(server.URL)+40, "Open this link within ten minutes")

	res, err := http.Get(link) // a browser shows a button
	if err != nil {
		panic(err)
	}
	_ = res.Body.Close()
	fmt.Println(res.StatusCode, len(res.Cookies()))

	res, err = http.Get(server.URL) // without a session
	if err != nil {
		panic(err)
	}
	_ = res.Body.Close()
	fmt.Println(res.StatusCode, res.Header.Get("Cache-Control"))
	// Output:
	// true Open this link within ten minutes
	// 200 0
	// 403 no-store
}
