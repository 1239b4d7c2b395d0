//go:build !race

package policy_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// The budget is three allocations. The gate needs one, for the ARN of the method, and one more for what Facts may keep.
func TestGateAllocatesTheARN(t *testing.T) {
	identity := []*policy.Policy{parsed(t, allowGET+","+denyAdmin)}
	r := call("GET", "/Prod/loyalty/1")
	for _, tt := range []struct {
		name   string
		change func(*policy.GateConfig)
		want   float64
	}{
		{"usual", func(*policy.GateConfig) {}, 1},
		{"observed", func(c *policy.GateConfig) { c.Observe = func(context.Context, policy.Event) {} }, 1},
		{"facts", func(c *policy.GateConfig) {
			c.Facts = func(_ *http.Request, about *policy.Request) { about.SourceVPCE = "vpce-1" }
		}, 2},
	} {
		c := byUser(nil)
		c.Policies = func(*http.Request) (policy.Set, error) { return policy.Set{Identity: identity}, nil }
		c.Principal = func(*http.Request) (string, bool) { return julian, true }
		tt.change(&c)
		g := newGate(t, c)
		require.NoError(t, g.Check(r))
		require.Equal(t, tt.want, testing.AllocsPerRun(100, func() { _ = g.Check(r) }), tt.name)
	}
}
