package auth

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// tenantMark stands for the tenant in an issuer's name that many tenants share. Microsoft Entra writes it so in its
// tenant-independent discovery document, and in the issuer member of its keys:
// https://learn.microsoft.com/entra/identity-platform/access-tokens#multi-tenant-applications
const tenantMark = "{tenantid}"

// tenantID is a GUID as Entra writes it in tid, in lower case: a tenant that had two spellings would give a user two
// IDs.
var tenantID = regexp.MustCompile(`^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// everybody is a name under which Entra signs users of many tenants in, and by which no token names its issuer:
// https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc#find-your-apps-openid-configuration-document-uri
var sharedName = regexp.MustCompile(`^https://(?:login\.microsoftonline\.(?:com|us)|login\.partner\.microsoftonline\.cn|` +
	`login\.windows\.net|sts\.windows\.net)/(?:common|organizations|consumers)(?:/|$)`)

// template is an issuer's name around its tenant.
type template struct{ before, after string }

// templateOf cuts a name at the mark. False: it holds none.
func templateOf(name string) (template, bool) {
	before, after, ok := strings.Cut(name, tenantMark)
	return template{before, after}, ok
}

// of is the issuer's name for one tenant.
func (n template) of(tenant string) string { return n.before + tenant + n.after }

// is reports whether name is the issuer's for the tenant, without making it.
func (n template) is(name, tenant string) bool {
	rest, ok := strings.CutPrefix(name, n.before)
	if !ok {
		return false
	}
	rest, ok = strings.CutPrefix(rest, tenant)
	return ok && rest == n.after
}

// checkTenants prepares an issuer of many tenants: each of its names is a template.
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
		if tenants[i] = strings.ToLower(tenant); !tenantID.MatchString(tenants[i]) {
			return fmt.Errorf("tenant %q is no GUID: tokens name tenants by nothing else", tenant)
		}
	}
	s.Tenants = tenants
	if s.kind == kindCognito {
		return errors.New("a user pool has no tenants")
	}
	return nil
}

// findTenant finds the issuer of a token that names its tenant: iss must be a template with tid put in.
func (k *core) findTenant(t *Token) *issuerState {
	if !tenantID.MatchString(t.tenant) {
		return nil
	}
	for _, issuer := range k.issuers {
		if slices.ContainsFunc(issuer.templates, func(n template) bool { return n.is(t.issuer, t.tenant) }) {
			return issuer
		}
	}
	return nil
}

// allows reports whether the token's tenant is accepted now. It is asked on every request, so that a tenant that was
// taken off the list is refused at once.
func (s *issuerState) allowsTenant(t *Token) bool {
	return len(s.templates) == 0 || slices.Contains(s.Tenants, t.tenant) || s.AllowTenant != nil && s.AllowTenant(t.tenant)
}

// issuerOf is the issuer's one name in [Token.ID]: for many tenants, that of the token's tenant.
func (s *issuerState) nameFor(t *Token) string {
	if len(s.templates) == 0 {
		return s.URL
	}
	return s.templates[0].of(t.tenant)
}

// keyFits reports whether the key may sign for the token's tenant. In a set for all tenants a key may name the one issuer
// that it belongs to, or the template for all: what it names must be the token's issuer, under whichever of its names.
// Entra's keys bear the name of version 2.0 and sign tokens of version 1.0 too.
func (s *issuerState) keyFits(k *key, t *Token) bool {
	if len(s.templates) == 0 || k.issuer == "" {
		return true
	}
	name := k.issuer
	if n, ok := templateOf(name); ok {
		name = n.of(t.tenant)
	}
	return slices.ContainsFunc(s.templates, func(n template) bool { return n.is(name, t.tenant) })
}
