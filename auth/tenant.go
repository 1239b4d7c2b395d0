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
var everybody = regexp.MustCompile(`^https://(?:login\.microsoftonline\.(?:com|us)|login\.partner\.microsoftonline\.cn|` +
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
func (p *party) checkTenants() error {
	marked := false
	for _, name := range append([]string{p.URL}, p.Aliases...) {
		if n, ok := templateOf(name); ok && !strings.Contains(n.after, tenantMark) {
			p.templates = append(p.templates, n)
		}
		marked = marked || strings.Contains(name, "{")
	}
	switch {
	case len(p.templates) == 0 && (p.Tenants != nil || p.AllowTenant != nil):
		return fmt.Errorf("tenants are named, but the URL holds no %s", tenantMark)
	case !marked:
		return nil
	case len(p.templates) <= len(p.Aliases):
		return fmt.Errorf("%s must stand once in the URL and in each alias", tenantMark)
	}
	tenants := make([]string, len(p.Tenants))
	for i, tenant := range p.Tenants {
		if tenants[i] = strings.ToLower(tenant); !tenantID.MatchString(tenants[i]) {
			return fmt.Errorf("tenant %q is no GUID: tokens name tenants by nothing else", tenant)
		}
	}
	p.Tenants = tenants
	if p.kind == kindCognito {
		return errors.New("a user pool has no tenants")
	}
	return nil
}

// ofTenant finds the issuer of a token that names its tenant: iss must be a template with tid put in.
func (k *core) ofTenant(t *Token) *party {
	if !tenantID.MatchString(t.tenant) {
		return nil
	}
	for _, p := range k.parties {
		if slices.ContainsFunc(p.templates, func(n template) bool { return n.is(t.issuer, t.tenant) }) {
			return p
		}
	}
	return nil
}

// allows reports whether the token's tenant is accepted now. It is asked on every request, so that a tenant that was
// taken off the list is refused at once.
func (p *party) allows(t *Token) bool {
	return len(p.templates) == 0 || slices.Contains(p.Tenants, t.tenant) || p.AllowTenant != nil && p.AllowTenant(t.tenant)
}

// issuerOf is the issuer's one name in [Token.ID]: for many tenants, that of the token's tenant.
func (p *party) issuerOf(t *Token) string {
	if len(p.templates) == 0 {
		return p.URL
	}
	return p.templates[0].of(t.tenant)
}

// signs reports whether the key may sign for the token's tenant. In a set for all tenants a key may name the one issuer
// that it belongs to, or the template for all: what it names must be the token's issuer, under whichever of its names.
// Entra's keys bear the name of version 2.0 and sign tokens of version 1.0 too.
func (p *party) signs(k *key, t *Token) bool {
	if len(p.templates) == 0 || k.issuer == "" {
		return true
	}
	name := k.issuer
	if n, ok := templateOf(name); ok {
		name = n.of(t.tenant)
	}
	return slices.ContainsFunc(p.templates, func(n template) bool { return n.is(name, t.tenant) })
}
