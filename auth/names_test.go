package auth

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The checks of names accept what these expressions match, and nothing else. The expressions are those of the
// specifications; package regexp is too large for the checks themselves.
func TestNamesFitTheExpressionsOfTheirSpecifications(t *testing.T) {
	const guid = `^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$`
	for name, row := range map[string]struct {
		expression string
		accepts    func(string) bool
		good       []string
	}{
		"GUID": {guid, isGUID, []string{"72f988bf-86f1-41af-91ab-2d7cd011db47"}},
		"pool": {`^eu-west-1_[a-zA-Z0-9]{1,55}$`, func(s string) bool { return isPool("eu-west-1", s) }, []string{
			"eu-west-1_aQYCzHwCz", "eu-west-1_" + strings.Repeat("a", 55),
		}},
		"Region": {
			`^(?:(us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-\d+|us-gov-[a-z]+-\d+|cn-[a-z]+-\d+|eusc-[a-z]+-[a-z]+-\d+|` +
				`us-iso-[a-z]+-\d+|us-isob-[a-z]+-\d+|eu-isoe-[a-z]+-\d+|us-isof-[a-z]+-\d+)$`,
			func(s string) bool { _, err := domainOf(s); return err == nil },
			[]string{"eu-west-1", "ap-southeast-12", "us-gov-west-1", "eusc-de-east-1", "cn-north-1", "us-isob-east-1"},
		},
		"load balancer": {
			`^arn:aws[a-z-]*:elasticloadbalancing:([a-z0-9-]+):\d{12}:loadbalancer/app/[A-Za-z0-9-]+/[0-9a-f]+$`,
			func(s string) bool { _, ok := regionOfBalancer(s); return ok },
			[]string{
				"arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/loyalty/50dc6c495c0c9188",
				"arn:aws-us-gov:elasticloadbalancing:us-gov-west-1:123456789012:loadbalancer/app/A-1/0",
			},
		},
		"trust domain":  {`^[a-z0-9._-]{1,255}$`, isTrustDomain, []string{"example.org", strings.Repeat("a", 255)}},
		"workload path": {`^(?:/[a-zA-Z0-9._-]+)+$`, workload, []string{"/ns/prod/sa/A-b_c", "/w"}},
		"shared name": {
			`^https://(?:login\.microsoftonline\.(?:com|us)|login\.partner\.microsoftonline\.cn|` +
				`login\.windows\.net|sts\.windows\.net)/(?:common|organizations|consumers)(?:/|$)`,
			isSharedName,
			[]string{"https://login.microsoftonline.com/common/v2.0", "https://sts.windows.net/consumers", "https://login.windows.net/organizations/"},
		},
	} {
		want := regexp.MustCompile(row.expression)
		for _, good := range row.good {
			require.True(t, row.accepts(good), "%s %q", name, good)
		}
		require.False(t, row.accepts(""), name)
		for range 20_000 {
			s := spoiled(row.good[rand.IntN(len(row.good))])
			dots := name == "workload path" && regexp.MustCompile(`/\.\.?(/|$)`).MatchString(s)
			require.Equal(t, want.MatchString(s) && !dots, row.accepts(s), "%s %q", name, s)
		}
	}
}

// spoiled removes, repeats or changes one to three bytes of a text.
func spoiled(s string) string {
	for range 1 + rand.IntN(3) {
		at := rand.IntN(len(s) + 1)
		end := min(at+rand.IntN(3), len(s))
		s = s[:at] + []string{"", "a", "F", "7", "-", "_", "/", ":", ".", "\n", "é", s[at:end] + s[at:end]}[rand.IntN(12)] + s[end:]
	}
	return s
}
