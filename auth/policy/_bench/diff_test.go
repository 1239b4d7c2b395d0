package bench

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/auth/policy/_bench/before"
)

// former returns d for the evaluator before, without what it does not have: conditions and principals.
func former(t testing.TB, d policy.Document) *before.Policy {
	t.Helper()
	p, err := before.New(earlier(d))
	require.NoError(t, err)
	return p
}

func earlier(d policy.Document) before.Document {
	old := before.Document{Version: d.Version}
	for _, s := range d.Statement {
		old.Statement = append(old.Statement, before.Statement{
			Effect: s.Effect, Action: s.Action, NotAction: s.NotAction, Resource: s.Resource, NotResource: s.NotResource,
		})
	}
	return old
}

// requireAlike holds the decisions of both evaluators equal, if both accept d. It reports whether they do.
func requireAlike(t *testing.T, d policy.Document, action, resource string) bool {
	t.Helper()
	old, err := before.New(earlier(d))
	if err != nil {
		return false
	}
	p, err := policy.New(d)
	require.NoError(t, err, "%v", d)
	require.Equal(t, old.Evaluate(action, resource).String(), p.Evaluate(&policy.Request{Action: action, Resource: resource}).String(),
		"%v: %s on %q", d, action, resource)
	return true
}

// Documents of many statements whose patterns and resources are made of few words, so that they often match in part.
func TestBeforeDecidesAlike(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	one := func(words ...string) string { return words[rng.IntN(len(words))] }
	pattern := func() string {
		s := one("arn:aws:", "arn:*:", "arn:a?s:", "arn:aw") + one("execute-api:", "execute-api:", "s3:")
		s += one("eu-west-1:", "eu-*:", "*:", "eu-*", "*", "") + one("123456789012:", "*:", "12*", "")
		return s + one("api/", "a*/", "*", "api") + one("Prod/", "Dev/", "*/", "*") + one("GET/", "POST/", "?ET/", "*") +
			one("pets", "pets/*", "pet?", "*", "p\u00e9ts/*", "a:b", "")
	}
	resource := func() string {
		return one("arn:aws:", "arn:aws-cn:", "arn:aws") + one("execute-api:", "s3:") + one("eu-west-1:", "eu-west-2:", "x:y:") +
			one("123456789012:", ":") + one("api/", "api2/") + one("Prod/", "Dev/") + one("GET/", "POST/") +
			one("pets", "pets/1", "p\u00e9ts/1", "a:b", "", "\xff")
	}
	compared := 0
	for range 5000 {
		d := policy.Document{Version: one("2012-10-17", "")}
		for range 1 + rng.IntN(12) {
			s := policy.Statement{Effect: one("Allow", "Deny")}
			action := []string{one("*", "execute-api:Invoke", "EXECUTE-API:*", "execute-api:Inv?ke", "s3:*")}
			if rng.IntN(5) > 0 {
				s.Action = action
			} else {
				s.NotAction = action
			}
			var list []string
			for range 1 + rng.IntN(4) {
				list = append(list, pattern())
			}
			if rng.IntN(5) > 0 {
				s.Resource = list
			} else {
				s.NotResource = list
			}
			d.Statement = append(d.Statement, s)
		}
		for range 10 {
			if requireAlike(t, d, one(policy.Invoke, "execute-api:invoke", "s3:Get"), resource()) {
				compared++
			}
		}
	}
	require.Greater(t, compared, 1000)
}

func FuzzBefore(f *testing.F) {
	f.Add("Allow", "Deny", "*", stage+"/GET/*", stage+"/*/a?b*", policy.Invoke, stage+"/GET/ab", true)
	f.Add("Deny", "Allow", "execute-api:*", "arn:aws:execute-api:*loyalty*", "arn:aws:execute-api:eu*:*:*", "execute-api:Manage", stage+"/\xff", false)
	f.Fuzz(func(t *testing.T, first, second, action, one, other, asked, resource string, not bool) {
		if len(resource) > 10_000 {
			return
		}
		d := policy.Document{Statement: []policy.Statement{
			{Effect: first, Action: []string{action}, Resource: []string{one, other}},
			{Effect: second, Action: []string{"*"}, Resource: []string{other}},
		}}
		if not {
			d.Statement[1] = policy.Statement{Effect: second, NotAction: []string{action}, NotResource: []string{one}}
		}
		requireAlike(t, d, asked, resource)
	})
}
