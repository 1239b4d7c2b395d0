package main

import (
	"net/http"
	"strings"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
)

// A service is the API, and what the owner has at another address, which the links open to browsers.
type service struct {
	api, owner http.Handler
	links      *admin.OwnerLinks
}

// ownerPage puts the owner's page and the control plane at one address: what is signed, or goes to a path of the
// control plane, is for the control plane. A browser signs nothing, so the page has the rest, from "/" on.
func ownerPage(control *admin.Server, links *admin.OwnerLinks) (http.Handler, error) {
	page, err := admin.Page(admin.PageConfig{Control: control, Links: links, Title: "Loyalty API"})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if signsRequest(r) || ofControlPlane(r.URL.EscapedPath()) {
			control.ServeHTTP(w, r)
			return
		}
		page.ServeHTTP(w, r)
	}), err
}

// signsRequest reports whether r has a signature, in the header or in the query, or another kind of proof, which the
// control plane refuses.
func signsRequest(r *http.Request) bool {
	return r.Header.Get("Authorization") != "" || r.URL.Query().Has("X-Amz-Algorithm")
}

// ofControlPlane reports whether a path is one of API Gateway's. Without a signature they are refused as there.
func ofControlPlane(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "apikeys", "usageplans", "tags", "account", "restapis":
		return true
	}
	return false
}

// newLink answers POST /owner/link with a link to the owner's page, for an owner whose session has ended.
func newLink(o options, links *admin.OwnerLinks) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		reply(w, http.StatusCreated, map[string]string{"link": o.pageLink(links)})
	})
}

// pageLink returns a link that opens the owner's page, once and within ten minutes.
func (o options) pageLink(links *admin.OwnerLinks) string {
	return "http://" + o.admin + "/" + links.New()
}

// newOwner returns what the admin address serves.
func newOwner(
	o options, keys *apikey.Verifier, plans *usageplan.Meter, account ratelimit.Limit, links *admin.OwnerLinks,
) (http.Handler, error) {
	control, err := newControl(o, keys, plans, account)
	if err != nil {
		return nil, err
	}
	return ownerPage(control, links)
}
