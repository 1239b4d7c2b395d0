package bench

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

const stage = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod"

// common is a document as many APIs have it: who comes from the office may read, and nobody may delete.
const common = `{"Version": "2012-10-17", "Statement": [
	{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "` + stage + `/GET/*",
		"Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}},
	{"Effect": "Deny", "Action": "execute-api:Invoke", "Resource": "` + stage + `/DELETE/*"}]}`

// request is one that common allows.
var request = policy.Request{
	Action: policy.Invoke, Resource: stage + "/GET/loyalty/1", Principal: "arn:aws:iam::123456789012:user/julian",
	SourceIP: netip.MustParseAddr("203.0.113.7"), SecureTransport: true, UserAgent: "loyalty/1.0",
}

// many returns a document of n statements, each for the methods of another path.
func many(n int) policy.Document {
	d := policy.Document{Version: "2012-10-17"}
	for i := range n {
		d.Statement = append(d.Statement, policy.Statement{
			Effect: "Allow", Action: []string{policy.Invoke}, Resource: []string{fmt.Sprintf("%s/GET/service-%d/*", stage, i)},
		})
	}
	return d
}

// floor measures what each budget is a multiple of: reading the clock.
func floor(b *testing.B) {
	start := time.Now()
	b.Run("impl=floor", func(b *testing.B) {
		for b.Loop() {
			_ = time.Since(start)
		}
	})
}

// The budget is 5 × time.Since for ours, without allocations. The evaluator before has no condition to check.
func BenchmarkCommon(b *testing.B) {
	p, err := policy.Parse([]byte(common))
	require.NoError(b, err)
	require.Equal(b, policy.Allow, p.Evaluate(&request))
	floor(b)
	b.Run("impl=ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Evaluate(&request)
		}
	})
	old := former(b, policy.Document{Version: "2012-10-17", Statement: []policy.Statement{
		{Effect: "Allow", Action: []string{policy.Invoke}, Resource: []string{stage + "/GET/*"}},
		{Effect: "Deny", Action: []string{policy.Invoke}, Resource: []string{stage + "/DELETE/*"}},
	}})
	b.Run("impl=before", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			old.Evaluate(request.Action, request.Resource)
		}
	})
	b.Run("impl=cedar", func(b *testing.B) { runCedar(b, cedarCommon, true) })
}

// The budget is 10 × time.Since for ours.
func BenchmarkMany(b *testing.B) {
	d := many(100)
	p, err := policy.New(d)
	require.NoError(b, err)
	r := request
	r.Resource = stage + "/GET/service-73/1"
	require.Equal(b, policy.Allow, p.Evaluate(&r))
	floor(b)
	b.Run("impl=ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Evaluate(&r)
		}
	})
	old := former(b, d)
	b.Run("impl=before", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			old.Evaluate(r.Action, r.Resource)
		}
	})
	var text strings.Builder
	for i := range 100 {
		fmt.Fprintf(&text, "permit (principal, action, resource) when { context.path like \"/GET/service-%d/*\" };\n", i)
	}
	b.Run("impl=cedar", func(b *testing.B) { runCedar(b, text.String(), true) })
}

// cedarCommon is common in Cedar's language.
const cedarCommon = `
permit (principal, action, resource)
when { context.path like "/GET/*" && context.ip.isInRange(ip("203.0.113.0/24")) };
forbid (principal, action, resource) when { context.path like "/DELETE/*" };
`

// runCedar measures cedar-go with a request like request. Its record is built once, outside of what is measured.
func runCedar(b *testing.B, document string, want bool) {
	set, err := cedar.NewPolicySetFromBytes("policy.cedar", []byte(document))
	require.NoError(b, err)
	r := cedar.Request{
		Principal: cedar.NewEntityUID("User", "julian"),
		Action:    cedar.NewEntityUID("Action", "Invoke"),
		Resource:  cedar.NewEntityUID("API", "a1b2c3d4e5"),
		Context: cedar.NewRecord(cedar.RecordMap{
			"path": cedar.String("/GET/service-73/1"), "ip": types.IPAddr(netip.MustParsePrefix("203.0.113.7/32")),
		}),
	}
	decision, _ := cedar.Authorize(set, cedar.EntityMap{}, r)
	require.Equal(b, want, bool(decision))
	b.ReportAllocs()
	for b.Loop() {
		cedar.Authorize(set, cedar.EntityMap{}, r)
	}
}
