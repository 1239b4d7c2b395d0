package admin

import (
	"errors"
	"fmt"
	"net/http"
)

// PageConfig configures the owner's page; see [Page].
type PageConfig struct {
	// Control is the control plane whose keys, plans and stages the page shows. It is required. What the page does are
	// operations of Control: with its checks, its texts and its Authorize. Config.Authenticate, Actor and ErrorHandler
	// of Control are not asked.
	Control *Server

	// Who returns the name of the person who sends the request, as the application's own login has verified it. It
	// reports false for everybody who may not see the page at all. The name stands in the journals and in
	// [Action].Actor. Nil lets in by Links only.
	//
	// Who must not take the name from what any client can send, such as a header that no proxy of yours replaces. If there
	// are Links as well, the name "owner" is that of their holders: a person whom Who calls so is not let in by Who.
	Who func(*http.Request) (name string, ok bool)

	// Links lets in the person who has a link of it. Nil lets in by Who only. If both are set, Who comes first: a person
	// whom it knows stays that person, also after opening a link. The login in front of the page must then let pass whom
	// it does not know, because a link is for them; the example of PageConfig shows how. [Page] fails if both are nil: the
	// page is never open.
	Links *OwnerLinks

	// Title is the name of the page in its header. "" stands for "API keys".
	Title string
}

// Page returns the owner's page: keys, plans and usage in a browser, and the forms that change them. If the
// configuration has mistakes, the error joins all of them.
//
// Mount it at a path that ends in a slash, with or without [http.StripPrefix]. All links on the page are relative, and
// it looks at the last segment of a path only, so it need not know where it is. Serve it over TLS, or to browsers of
// the same machine: the cookie is Secure unless the browser has asked for a loopback address over plain HTTP. The package
// documentation says what a proxy that ends TLS must send.
func Page(c PageConfig) (http.Handler, error) {
	var errs []error
	if c.Control == nil || c.Control.config.Authorize == nil {
		errs = append(errs, fmt.Errorf("admin: %w: PageConfig.Control is required", ErrNotConfigured))
	}
	if c.Who == nil && c.Links == nil {
		errs = append(errs, fmt.Errorf("admin: %w: PageConfig needs Who or Links", ErrNotConfigured))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if c.Title == "" {
		c.Title = "API keys"
	}
	return &page{PageConfig: c}, nil
}
