package policytest_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/auth/policy/policytest"
)

const stage = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod"

// recorder is a test that writes down how it fails.
type recorder []string

func (*recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) { *r = append(*r, fmt.Sprintf(format, args...)) }

func office(t *testing.T) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(`{"Version": "2012-10-17", "Statement": [
		{"Sid": "Read", "Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "` + stage + `/GET/*",
			"Condition": {"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:db8::/32"]}}},
		{"Effect": "Deny", "Action": "*", "Resource": "` + stage + `/*/admin"}
	]}`))
	require.NoError(t, err)
	return p
}

func TestDecidesAgrees(t *testing.T) {
	inside := netip.MustParseAddr("203.0.113.7")
	set := &policy.Set{Identity: []*policy.Policy{office(t)}}
	require.True(t, policytest.Decides(t, office(t), policy.Allow, &policy.Request{Resource: stage + "/GET/a", SourceIP: inside}))
	require.True(t, policytest.Decides(t, office(t), policy.NoMatch,
		&policy.Request{Resource: stage + "/POST/a", SourceIP: inside}, &policy.Request{Resource: stage + "/GET/a"}))
	require.True(t, policytest.Decides(t, set, policy.Deny, &policy.Request{Resource: stage + "/GET/admin", SourceIP: inside}))
}

// A failure names the request and shows what each condition saw; each request that is decided otherwise is a failure.
func TestDecidesExplainsAFailure(t *testing.T) {
	var failed recorder
	outside := &policy.Request{Resource: stage + "/GET/a", SourceIP: netip.MustParseAddr("198.51.100.7")}
	require.False(t, policytest.Decides(&failed, office(t), policy.Allow, outside, &policy.Request{Resource: stage + "/GET/admin"}))
	require.Len(t, failed, 2)
	require.Equal(t, "NoMatch for "+stage+"/GET/a, want Allow:\nNoMatch\n"+
		"Statement[0] Allow Read does not apply\n"+
		"  yes Action: execute-api:Invoke, want [execute-api:Invoke]\n"+
		"  yes Resource: "+stage+"/GET/a, want ["+stage+"/GET/*]\n"+
		"  no  IpAddress aws:SourceIp: 198.51.100.7, want [203.0.113.0/24, 2001:db8::/32]\n"+
		"Statement[1] Deny does not apply\n"+
		"  yes Action: execute-api:Invoke, want [*]\n"+
		"  no  Resource: "+stage+"/GET/a, want ["+stage+"/*/admin]", failed[0])
	require.Contains(t, failed[1], "Statement[1] Deny applies\n")
}

func TestDecidesNeedsARequest(t *testing.T) {
	var failed recorder
	require.False(t, policytest.Decides(&failed, office(t), policy.NoMatch))
	require.Equal(t, recorder{"policytest: no requests"}, failed)
}

func Example() {
	var t recorder // in a test, this is its *testing.T
	p, _ := policy.Parse([]byte(`{"Version": "2012-10-17", "Statement": {
		"Effect": "Allow", "Action": "*", "Resource": "` + stage + `/GET/*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}
	}}`))
	policytest.Decides(&t, p, policy.Allow, &policy.Request{Resource: stage + "/GET/a", SecureTransport: true})
	policytest.Decides(&t, p, policy.Allow, &policy.Request{Resource: stage + "/GET/a"})
	fmt.Println(t[0])
	// Output:
	// NoMatch for arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/a, want Allow:
	// NoMatch
	// Statement[0] Allow does not apply
	//   yes Action: execute-api:Invoke, want [*]
	//   yes Resource: arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/a, want [arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/*]
	//   no  Bool aws:SecureTransport: false, want [true]
}
