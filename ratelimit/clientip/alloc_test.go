//go:build !race

package clientip_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit/clientip"
)

func TestResolvingDoesNotAllocate(t *testing.T) {
	for _, test := range []struct {
		config clientip.Config
		remote string
		line   string
	}{
		{clientip.Config{}, "192.0.2.1:1234", ""},
		{clientip.Config{}, "[2001:db8::1]:1234", ""},
		{clientip.Config{Header: "X-Forwarded-For", Trusted: proxies}, "10.0.0.1:1", "203.0.113.1, 198.51.100.7, 10.2.2.2"},
		{clientip.Config{Header: "Forwarded", Hops: 1}, "10.0.0.1:1", `for=203.0.113.1, for="[2001:db8::1]:80";proto=https`},
	} {
		r := newResolver(t, test.config)
		req := request(test.remote, test.config.Header, test.line)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if _, ok := r.Prefix(req); !ok {
				t.Error("refused")
			}
		}), test.line)
	}
}
