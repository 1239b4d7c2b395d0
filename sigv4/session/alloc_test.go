//go:build !race

package session_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
)

func TestRememberedSessionDoesNotAllocate(t *testing.T) {
	k := newKeys(t, session.Config{})
	v, err := sigv4.NewVerifier(sigv4.VerifierConfig{Keys: k.Key, Regions: []string{"eu-west-1"}})
	require.NoError(t, err)
	r := signed(t, issue(t, k, julian()))
	require.Zero(t, testing.AllocsPerRun(100, func() { _, err = v.Verify(r) }))
	require.NoError(t, err)
}
