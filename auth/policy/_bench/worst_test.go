package bench

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// The largest document, and the longest ARN of a method.
const (
	largest = 10_240
	longest = 1600
)

// worst are patterns that make a matcher try again and again without ever finding a match, and what the resource is
// full of. The documents have as many copies of them as fit. Package policy has more of these shapes in its own
// benchmark.
var worst = []struct{ name, pattern, fill string }{
	{"two-stars", stage + "/GET/*" + strings.Repeat("a", 440) + "b*", "a"},
	{"many-stars", stage + "/GET/" + strings.Repeat("*a", 220) + "*b*", "a"},
	{"marks", stage + "/GET/*" + strings.Repeat("a?", 220) + "b*", "a"},
	{"short-marks", "arn:aws:execute-api:*a?Q*", "a"},
	{"literal", "arn:aws:execute-api:*:*:*bQ*", "aaaaaaab"},
	{"no-match-early", stage + "/POST/*" + strings.Repeat("a", 100) + "b*", "a"},
}

func BenchmarkWorst(b *testing.B) {
	for _, w := range worst {
		d := policy.Document{Version: "2012-10-17", Statement: []policy.Statement{{Effect: "Deny", Action: []string{"*"}}}}
		for n := len(w.pattern); n < largest; n += len(w.pattern) {
			d.Statement[0].Resource = append(d.Statement[0].Resource, w.pattern)
		}
		head := stage + "/GET/"
		resource := head + strings.Repeat(w.fill, (longest-len(head))/len(w.fill))
		p, err := policy.New(d)
		require.NoError(b, err)
		r := policy.Request{Resource: resource}
		require.Equal(b, policy.NoMatch, p.Evaluate(&r))
		b.Run("input="+w.name+"/impl=ours", func(b *testing.B) {
			for b.Loop() {
				p.Evaluate(&r)
			}
		})
		old := former(b, d)
		b.Run("input="+w.name+"/impl=before", func(b *testing.B) {
			for b.Loop() {
				old.Evaluate(policy.Invoke, resource)
			}
		})
	}
}
