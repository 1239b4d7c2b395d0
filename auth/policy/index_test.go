package policy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// The index must find the statements that a look at each one alone finds: a document denies if a document of one of its
// statements denies, else it allows if one of these allows.
func TestDecisionIsThatOfTheStatements(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	one := func(words ...string) string { return words[rng.IntN(len(words))] }
	resource := func() string {
		switch rng.IntN(8) {
		case 0:
			return "*"
		case 1:
			return "execute-api:/" + one("Prod/", "*/", "Dev/") + one("GET/", "*") + one("pets", "pets/*", "")
		}
		return one(stage, stage, strings.TrimSuffix(stage, "Prod")+"*") + "/" + one("GET/", "GET/", "POST/", "*/", "G") +
			one("pets", "pet", "pets/", "pets/1", "p", "*", "${aws:username}", "${*}", "${aws:username, 'pets'}/*") + one("", "", "*", "?")
	}
	conditions := []map[string]map[string][]string{
		nil, nil, nil,
		{"IpAddress": {"aws:SourceIp": {"203.0.113.0/24"}}},
		{"StringLike": {"aws:UserAgent": {"a*", "?b"}}},
		{"StringNotEqualsIfExists": {"aws:UserAgent": {"${aws:username}"}}},
		{"Null": {"aws:PrincipalArn": {"true"}}},
		{"ArnLike": {"aws:PrincipalArn": {"arn:*:iam::*:user/*"}}},
	}
	principals := []map[string][]string{nil, nil, nil, {"AWS": {"*"}}, {"AWS": {"123456789012"}}, {"AWS": {bob.Principal}}}
	decided := map[policy.Decision]int{}
	for range 800 {
		d := policy.Document{Version: one("2012-10-17", "2012-10-17", "")}
		for range 1 + rng.IntN(30) {
			s := policy.Statement{
				Effect: one("Allow", "Allow", "Deny"), Action: []string{one("*", policy.Invoke, policy.Invoke, "s3:*")},
				Condition: conditions[rng.IntN(len(conditions))], Principal: principals[rng.IntN(len(principals))],
			}
			for range 1 + rng.IntN(3) {
				s.Resource = append(s.Resource, resource())
			}
			if rng.IntN(10) == 0 {
				s.Resource, s.NotResource = nil, s.Resource
			}
			d.Statement = append(d.Statement, s)
		}
		whole, err := policy.New(d)
		require.NoError(t, err)
		for range 5 {
			r := policy.Request{
				Resource:  one(stage, stage, strings.TrimSuffix(stage, "Prod")+"Dev") + "/" + one("GET", "POST", "G") + "/" + one("pets", "pets/1", "pet", "p", "*", "Bob", ""),
				Principal: one("", bob.Principal, alice.Principal, clerk.Principal), UserAgent: one("", "a", "ab", "xb", "Bob"),
			}
			if rng.IntN(2) == 0 {
				r.SourceIP = netip.MustParseAddr(one("203.0.113.7", "198.51.100.1"))
			}
			want := policy.NoMatch
			for _, s := range d.Statement {
				p, err := policy.New(policy.Document{Version: d.Version, Statement: []policy.Statement{s}})
				require.NoError(t, err)
				want = max(want, p.Evaluate(&r))
			}
			require.Equal(t, want, whole.Evaluate(&r), "%v of %v", r, d)
			decided[want]++
		}
	}
	for _, decision := range []policy.Decision{policy.NoMatch, policy.Allow, policy.Deny} {
		require.Greater(t, decided[decision], 200)
	}
}

// Prefixes of each other, equal ones and empty ones are all found.
func TestIndexFindsEveryPrefix(t *testing.T) {
	path := "/GET/" + strings.Repeat("a", 100)
	d := policy.Document{}
	for n := range 100 {
		// The n-th statement allows what begins with n letters, and the next denies exactly that length.
		d.Statement = append(d.Statement, document("Allow", stage+path[:5+n]+"*").Statement[0], document("Deny", stage+path[:5+n]).Statement[0])
	}
	for i := range d.Statement {
		d.Statement[i].Action = []string{"*"}
	}
	for from := 0; from < 200; from += 40 { // not all at once: a document may have 10 240 bytes of patterns
		part := policy.Document{Statement: d.Statement[from : from+40]}
		p, err := policy.New(part)
		require.NoError(t, err)
		for n := range 100 {
			want := policy.NoMatch
			switch first := from / 2; {
			case n >= first && n < first+20:
				want = policy.Deny
			case n >= first+20:
				want = policy.Allow
			}
			require.Equal(t, want, p.Evaluate(on(stage+path[:5+n])), fmt.Sprint(from, " ", n))
			if want == policy.Deny {
				require.Equal(t, policy.Allow, p.Evaluate(on(stage+path[:5+n]+"b")))
			}
		}
	}
}

// A document may have 256 statements, and each of them is found.
func TestEveryStatementCounts(t *testing.T) {
	d := policy.Document{}
	for i := range 256 {
		d.Statement = append(d.Statement, policy.Statement{Effect: "Deny", Action: []string{"*"}, Resource: []string{fmt.Sprintf("execute-api:/P/%d", i)}})
	}
	p, err := policy.New(d)
	require.NoError(t, err)
	for i := range 257 {
		want := policy.Deny
		if i == 256 {
			want = policy.NoMatch
		}
		require.Equal(t, want, p.Evaluate(on(fmt.Sprintf("arn:aws:execute-api:eu-west-1:123456789012:a/P/%d", i))))
	}
	d.Statement = append(d.Statement, d.Statement[0])
	_, err = policy.New(d)
	require.EqualError(t, err, "policy: invalid policy document: Statement: 257 statements, at most 256")
}
