package policy_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// The largest document that Parse accepts, and the longest method ARN that API Gateway serves.
const (
	largest = 10_240
	longest = 1600
)

// shape describes a document full of copies of one pattern, and an ARN full of copies of one text.
type shape struct {
	name, effect, action, resource string
	fill, tail                     string
	statements                     bool // each pattern is in a statement of its own
}

// worst lists the shapes that make a matcher try again and again without ever finding a match.
var worst = []shape{
	{"one-star", "Deny", "*", stage + "/GET/*" + strings.Repeat("a", 440) + "b", "a", "", false},
	{"two-stars", "Deny", "*", stage + "/GET/*" + strings.Repeat("a", 440) + "b*", "a", "", false},
	{"many-stars", "Deny", "*", stage + "/GET/" + strings.Repeat("*a", 220) + "*b*", "a", "", false},
	{"marks", "Deny", "*", stage + "/GET/*" + strings.Repeat("a?", 220) + "b*", "a", "", false},
	{"marks-allow", "Allow", "*", stage + "/GET/*" + strings.Repeat("a?", 220) + "b*", "a", "", false},
	{"marks-alone", "Deny", "*", stage + "/GET/*" + strings.Repeat("?", 440) + "*b*", "a", "", false},
	{"marks-euro", "Deny", "*", stage + "/GET/*" + strings.Repeat("€?", 220) + "b*", "€", "", false},
	{"short", "Deny", "*", "arn:*aab*:a:::b", "a", ":a:::b", false},
	{"short-marks", "Deny", "*", "arn:*a?Q*:a:::b", "a", ":a:::b", false},
	{"short-marks-euro", "Deny", "*", "arn:*€?b*:a:::b", "€", ":a:::b", false},
	{"literal", "Deny", "*", "arn:*bQ*:a:::b", "aaaaaaab", ":a:::b", false},
	{"literal-allow", "Allow", "*", "arn:*:execute-api:*:*:*bQ*", "aaaaaaab", "", false},
	{"not-utf8", "Deny", "*", "arn:*a?Q*:a:::b", "\xff", ":a:::b", false},
	{"not-utf8-long", "Deny", "*", stage + "/GET/*a?" + strings.Repeat("a", 62) + "Q*", "\xff", "", false},
	{"short-stars", "Deny", "*", "arn:*a*a*Q*:a:::b", "a", ":a:::b", false},
	{"statements", "Deny", "execute-api:*v?k*e", "arn:*a?Q*:a:::b", "a", ":a:::b", true},
	{"actions", "Deny", "execute-api:*n?o*x*", "*", "a", "", true},
}

// document returns the document of s, with as many patterns as fit.
func (s *shape) document() policy.Document {
	d := policy.Document{Version: "2012-10-17"}
	for size := 0; ; {
		if len(d.Statement) == 0 || s.statements {
			d.Statement = append(d.Statement, policy.Statement{Effect: s.effect, Action: []string{s.action}})
			size += len(s.action)
		}
		last := &d.Statement[len(d.Statement)-1]
		last.Resource = append(last.Resource, s.resource)
		size += len(s.resource)
		if size+len(s.action)+len(s.resource) > largest {
			return d
		}
	}
}

// arn returns the ARN of s, as long as API Gateway allows.
func (s *shape) arn() string {
	head := stage + "/GET/"
	return head + strings.Repeat(s.fill, (longest-len(head)-len(s.tail))/len(s.fill)) + s.tail
}

// None of the worst shapes matches.
func TestWorstShapesDoNotMatch(t *testing.T) {
	for _, s := range worst {
		p, err := policy.New(s.document())
		require.NoError(t, err)
		require.LessOrEqual(t, len(s.arn()), longest)
		require.Equal(t, policy.NoMatch, p.Evaluate(policy.Invoke, s.arn()), s.name)
	}
}

// BenchmarkWorst measures the slowest evaluations, which must stay below a millisecond. The floor is what net/http
// takes for a request with the same path.
func BenchmarkWorst(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	for _, s := range worst {
		p, err := policy.New(s.document())
		require.NoError(b, err)
		arn := s.arn()
		b.Run("input="+s.name+"/impl=ours", func(b *testing.B) {
			for b.Loop() {
				p.Evaluate(policy.Invoke, arn)
			}
		})
		b.Run("input="+s.name+"/impl=floor", func(b *testing.B) {
			path := server.URL + strings.TrimPrefix(arn, stage+"/GET")
			for b.Loop() {
				res, err := http.Get(path)
				if err != nil {
					b.Fatal(err)
				}
				_ = res.Body.Close() // empty; closing it lets the client reuse the connection
			}
		})
	}
}
