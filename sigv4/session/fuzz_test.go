package session

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// FuzzCapsule: bytes that are read as a capsule are written as one that reads the same.
func FuzzCapsule(f *testing.F) {
	full := capsule{"secret", Session{Principal: "p", Role: "r", SourceIdentity: "s", Policy: "{}", Tags: map[string]string{"a": "b"}}}
	f.Add(full.append(nil))
	f.Add((&capsule{}).append(nil))
	f.Add([]byte{1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c, again capsule
		if c.read(b) != nil {
			return
		}
		require.NoError(t, again.read(c.append(nil)))
		require.Equal(t, c, again)
	})
}

// FuzzToken: no token opens that was not issued.
func FuzzToken(f *testing.F) {
	s, err := newSeal(sigv4.Secret(strings.Repeat("k", 32)))
	require.NoError(f, err)
	f.Add("ASIA", s.close("ASIB", []byte("capsule")))
	f.Add("ASIA", prefix)
	f.Add("ASIA", prefix+strings.Repeat("A", 64))
	f.Fuzz(func(t *testing.T, id, token string) {
		_, err := open([]seal{s}, id, token)
		if id != "ASIB" {
			require.ErrorIs(t, err, sigv4.ErrUnknownKey)
		}
	})
}
