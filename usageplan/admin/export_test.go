package admin

import (
	"net/url"
	"strings"
)

// A PageRoute is an address of the owner's page, for tests that go through all of them.
type PageRoute struct {
	Method, Name string
	Fields       []string
}

// PageRoutes returns the addresses of the owner's page.
func PageRoutes() (all []PageRoute) {
	for _, rt := range pageRoutes {
		all = append(all, PageRoute{rt.method, rt.name, strings.Fields(rt.fields)})
	}
	return all
}

// ParseForm is parseForm.
func ParseForm(text string, fields ...string) (url.Values, error) {
	f, err := parseForm(text, fields)
	return url.Values(f), err
}
