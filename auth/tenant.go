package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// tenantMark is the placeholder for the tenant in an issuer name. Microsoft Entra writes it in its tenant-independent
// discovery document and in the issuer member of its keys:
// https://learn.microsoft.com/entra/identity-platform/access-tokens#multi-tenant-applications
const tenantMark = "{tenantid}"

// isSharedName reports whether a URL is that of an endpoint where Entra signs in users of many tenants. No token has
// such an iss:
// https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc#find-your-apps-openid-configuration-document-uri
func isSharedName(url string) bool {
	rest, secure := strings.CutPrefix(url, "https://")
	host, path, _ := strings.Cut(rest, "/")
	tenant, _, _ := strings.Cut(path, "/")
	switch host {
	case "login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn",
		"login.windows.net", "sts.windows.net":
		return secure && (tenant == "common" || tenant == "organizations" || tenant == "consumers")
	}
	return false
}

// template is an issuer name, split at the tenant.
type template struct{ before, after string }

// templateOf splits a name at tenantMark. It reports false if the name has none.
func templateOf(name string) (template, bool) {
	before, after, ok := strings.Cut(name, tenantMark)
	return template{before, after}, ok
}

// of returns the issuer name of one tenant. Example: the template https://sts.windows.net/{tenantid}/ and the tenant
// 72f988bf-86f1-41af-91ab-2d7cd011db47 make https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/.
func (n template) of(tenant string) string { return n.before + tenant + n.after }

// is reports whether name equals of(tenant). It does not allocate.
func (n template) is(name, tenant string) bool {
	rest, ok := strings.CutPrefix(name, n.before)
	if !ok {
		return false
	}
	rest, ok = strings.CutPrefix(rest, tenant)
	return ok && rest == n.after
}

// checkTenants checks the tenants of an issuer and sets its templates. If one of its names has tenantMark, all must.
func (s *issuerState) checkTenants() error {
	marked := false
	for _, name := range append([]string{s.URL}, s.Aliases...) {
		if n, ok := templateOf(name); ok && !strings.Contains(n.after, tenantMark) {
			s.templates = append(s.templates, n)
		}
		marked = marked || strings.Contains(name, "{")
	}
	switch {
	case len(s.templates) == 0 && (s.Tenants != nil || s.AllowTenant != nil):
		return fmt.Errorf("tenants are named, but the URL holds no %s", tenantMark)
	case !marked:
		return nil
	case len(s.templates) <= len(s.Aliases):
		return fmt.Errorf("%s must stand once in the URL and in each alias", tenantMark)
	}
	tenants := make([]string, len(s.Tenants))
	for i, tenant := range s.Tenants {
		if tenants[i] = strings.ToLower(tenant); !isGUID(tenants[i]) {
			return fmt.Errorf("tenant %q is no GUID: tokens name tenants only by GUIDs", tenant)
		}
	}
	s.Tenants = tenants
	if s.kind == kindCognito {
		return errors.New("a user pool has no tenants")
	}
	return nil
}

// findTenant returns the issuer of a token that names its tenant, or nil: iss must be a template with tid inserted.
// Whether the tenant is accepted is not checked here but by allowsTenant, when the signature has been verified. So an
// error can name the tenant.
func (k *core) findTenant(t *claimSet) *issuerState {
	// Entra writes the GUID in lower case. If two spellings of a tenant were accepted, a user would have two IDs.
	if !isGUID(t.tenant) {
		return nil
	}
	for _, issuer := range k.issuers {
		if slices.ContainsFunc(issuer.templates, func(n template) bool { return n.is(t.Issuer, t.tenant) }) {
			return issuer
		}
	}
	return nil
}

// allowsTenant reports whether the token's tenant is accepted now. It is called on every request, also for cached
// tokens, because the answer of AllowTenant may change.
func (s *issuerState) allowsTenant(t *claimSet) bool {
	return len(s.templates) == 0 || slices.Contains(s.Tenants, t.tenant) || s.AllowTenant != nil && s.AllowTenant(t.tenant)
}

// nameFor returns the issuer's name in [Token].ID, which is the same for all aliases. If there are tenants, it is the
// name for the token's tenant.
func (s *issuerState) nameFor(t *claimSet) string {
	if len(s.templates) == 0 {
		return s.URL
	}
	return s.templates[0].of(t.tenant)
}

// keyFits reports whether the key may sign for the token's tenant. A key in a set for all tenants may have a member
// issuer: the issuer that it belongs to, or the template for all of them. That must be the token's issuer under any of
// its names: Entra's keys have the name of version 2.0, but also sign tokens of version 1.0.
func (s *issuerState) keyFits(k *key, t *claimSet) bool {
	if len(s.templates) == 0 || k.issuer == "" {
		return true
	}
	name := k.issuer
	if n, ok := templateOf(name); ok {
		name = n.of(t.tenant)
	}
	return slices.ContainsFunc(s.templates, func(n template) bool { return n.is(name, t.tenant) })
}
