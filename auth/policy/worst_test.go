package policy_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
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

	// A condition that is full of copies of one value, in every statement. The value may have the number of the copy.
	operator, key, value string
}

// worst lists the shapes that make a matcher try again and again without ever finding a match.
var worst = []shape{
	{"one-star", "Deny", "*", stage + "/GET/*" + strings.Repeat("a", 440) + "b", "a", "", false, "", "", ""},
	{"two-stars", "Deny", "*", stage + "/GET/*" + strings.Repeat("a", 440) + "b*", "a", "", false, "", "", ""},
	{"many-stars", "Deny", "*", stage + "/GET/" + strings.Repeat("*a", 220) + "*b*", "a", "", false, "", "", ""},
	{"marks", "Deny", "*", stage + "/GET/*" + strings.Repeat("a?", 220) + "b*", "a", "", false, "", "", ""},
	{"marks-allow", "Allow", "*", stage + "/GET/*" + strings.Repeat("a?", 220) + "b*", "a", "", false, "", "", ""},
	{"marks-alone", "Deny", "*", stage + "/GET/*" + strings.Repeat("?", 440) + "*b*", "a", "", false, "", "", ""},
	{"marks-euro", "Deny", "*", stage + "/GET/*" + strings.Repeat("€?", 220) + "b*", "€", "", false, "", "", ""},
	{"short", "Deny", "*", "arn:*aab*:a:::b", "a", ":a:::b", false, "", "", ""},
	{"short-marks", "Deny", "*", "arn:*a?Q*:a:::b", "a", ":a:::b", false, "", "", ""},
	{"short-marks-euro", "Deny", "*", "arn:*€?b*:a:::b", "€", ":a:::b", false, "", "", ""},
	{"literal", "Deny", "*", "arn:*bQ*:a:::b", "aaaaaaab", ":a:::b", false, "", "", ""},
	{"literal-allow", "Allow", "*", "arn:*:execute-api:*:*:*bQ*", "aaaaaaab", "", false, "", "", ""},
	{"not-utf8", "Deny", "*", "arn:*a?Q*:a:::b", "\xff", ":a:::b", false, "", "", ""},
	{"not-utf8-long", "Deny", "*", stage + "/GET/*a?" + strings.Repeat("a", 62) + "Q*", "\xff", "", false, "", "", ""},
	{"short-stars", "Deny", "*", "arn:*a*a*Q*:a:::b", "a", ":a:::b", false, "", "", ""},
	{"statements", "Deny", "execute-api:*v?k*e", "arn:*a?Q*:a:::b", "a", ":a:::b", true, "", "", ""},
	{"variables", "Deny", "*", stage + "/GET/*${aws:UserAgent}*${aws:PrincipalArn}*${aws:PrincipalTag/TAG-07}*b*", "a", "", false, "", "", ""},
	{"variables-short", "Deny", "*", stage + "/GET/*${aws:PrincipalTag/TAG-07}*Q*", "a", "", false, "", "", ""},
	{"variables-parts", "Allow", "*", "arn:aws:execute-api:*:*:*${aws:PrincipalTag/Tag-07}*Q*", "a", "", false, "", "", ""},
	{"like", "Deny", "*", "*", "a", "", false, "StringLike", "aws:UserAgent", "*bQ*"},
	{"like-marks", "Deny", "*", "*", "a", "", false, "StringLike", "aws:UserAgent", "*a?Q*"},
	{"like-statements", "Deny", "*", "*", "a", "", true, "StringLike", "aws:UserAgent", "*a?Q*"},
	{"like-long", "Deny", "*", "*", "a", "", false, "StringLike", "aws:UserAgent", "*" + strings.Repeat("a", 400) + "Q*"},
	{"like-variables", "Deny", "*", "*", "a", "", false, "StringLike", "aws:UserAgent", "*${aws:SourceIp}*Q*"},
	{"like-tags", "Deny", "*", "*", "a", "", true, "StringEquals", "aws:PrincipalTag/TAG-7", "x"},
	{"equals-variables", "Deny", "*", "*", "a", "", false, "StringEquals", "aws:UserAgent", "${aws:PrincipalTag/TAG-07}Q"},
	{"fold", "Deny", "*", "*", "a", "", false, "StringEqualsIgnoreCase", "aws:UserAgent", "${aws:UserAgent}Q"},
	{"arns", "Deny", "*", "*", "a", "", false, "ArnLike", "aws:PrincipalArn", "arn:*:*:*:*:*a?Q*"},
	{"set", "Deny", "*", "*", "a", "", false, "ForAnyValue:StringLike", "aws:PrincipalOrgPaths", "o*?Q*"},
	{"networks", "Deny", "*", "*", "a", "", false, "IpAddress", "aws:SourceIp", "10.0.0.1/8"},
	{"actions", "Deny", "execute-api:*n?o*x*", "*", "a", "", true, "", "", ""},
}

// document returns the document of s, with as many patterns or values as fit.
func (s *shape) document() policy.Document {
	d := policy.Document{Version: "2012-10-17"}
	for n, size := 0, 0; ; n++ {
		if len(d.Statement) == 0 || s.statements {
			d.Statement = append(d.Statement, policy.Statement{Effect: s.effect, Action: []string{s.action}})
			size += len(s.action)
			if s.operator != "" {
				d.Statement[len(d.Statement)-1].Condition = map[string]map[string][]string{s.operator: {s.key: nil}}
				size += len(s.operator) + len(s.key) + len(s.resource)
			}
		}
		last := &d.Statement[len(d.Statement)-1]
		text := s.resource
		if s.operator != "" {
			text = strings.ReplaceAll(s.value, "#", strconv.Itoa(n))
			last.Resource = []string{s.resource}
			last.Condition[s.operator][s.key] = append(last.Condition[s.operator][s.key], text)
		} else {
			last.Resource = append(last.Resource, text)
		}
		size += len(text)
		whole := len(s.action) + len(s.operator) + len(s.key) + len(s.resource) + len(text) + 2
		most := 256
		switch variables := strings.Contains(s.resource+s.value, "${"); {
		case variables && strings.Contains(s.operator, "IgnoreCase"):
			most = 33
		case variables, strings.HasPrefix(s.operator, "For"):
			most = 100
		case !s.statements:
			most = largest
		}
		if size+whole > largest || n+1 == most {
			return d
		}
	}
}

// arn returns the ARN of s, as long as API Gateway allows.
func (s *shape) arn() string {
	head := stage + "/GET/"
	return head + strings.Repeat(s.fill, (longest-len(head)-len(s.tail))/len(s.fill)) + s.tail
}

// request returns the request of s. Its values are as long as they may be.
func (s *shape) request() *policy.Request {
	long := strings.Repeat(s.fill, 2048/len(s.fill))
	return &policy.Request{
		Resource: s.arn(), UserAgent: long, SourceIP: netip.MustParseAddr("203.0.113.7"),
		Principal: "arn:aws:iam::123456789012:user/" + long[:1000], SessionIssuer: "arn:aws:iam::123456789012:role/" + long[:1000],
		PrincipalTags: tags, Values: map[string]any{"aws:PrincipalOrgPaths": strings.Split(strings.Repeat("o-aaaaaaaaaaaaaaaa/,", 64)[:64*20-1], ",")},
	}
}

// tags are as many as a session may have ("IAM and AWS STS quotas").
var tags = func() map[string]string {
	m := make(map[string]string)
	for i := range 50 {
		m[fmt.Sprintf("tag-%02d", i)] = strings.Repeat("a", 256)
	}
	return m
}()

// None of the worst shapes matches.
func TestWorstShapesDoNotMatch(t *testing.T) {
	for _, s := range worst {
		p, err := policy.New(s.document())
		require.NoError(t, err)
		require.LessOrEqual(t, len(s.arn()), longest)
		require.Equal(t, policy.NoMatch, p.Evaluate(s.request()), s.name)
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
		r, arn := s.request(), s.arn()
		b.Run("input="+s.name+"/impl=ours", func(b *testing.B) {
			for b.Loop() {
				p.Evaluate(r)
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
