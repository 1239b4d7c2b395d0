package auth_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// smallOrder lists the encodings of the points of small order on edwards25519, canonical or not. libsodium has the same
// list.
var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000", // order 1
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 2
	"0000000000000000000000000000000000000000000000000000000000000000", // order 4
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // order 8
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p, for 0
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p + 1, for 1
}

func okp(public []byte) string {
	return fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public))
}

// An Ed25519 key of small order verifies signatures that nobody made.
func TestKeysOfSmallOrderAreLeftOut(t *testing.T) {
	for _, text := range smallOrder {
		public := must(hex.DecodeString(text))
		for _, sign := range []byte{0, 0x80} {
			public[31] = public[31]&0x7f | sign
			_, err := auth.ParseKeySet(okp(public))
			require.Error(t, err, "%x", public)
			require.Regexp(t, "small order|canonical", err.Error())
		}
	}
	// The attack: S = 0 and R = A is a valid signature of every message for which the hash of R, A and the message is 7
	// modulo 8.
	public := must(hex.DecodeString(smallOrder[3]))
	signature := append(append([]byte{}, public...), make([]byte, 32)...)
	forged := 0
	for i := range 100 {
		if ed25519.Verify(public, []byte{byte(i)}, signature) {
			forged++
		}
	}
	require.Positive(t, forged, "the key is as weak as it is said to be")
}

// A key that is not a point of the curve, or is not written as in RFC 8032, is left out.
func TestKeysOffTheCurveAreLeftOut(t *testing.T) {
	off := make([]byte, 32)
	off[0] = 2 // no point has y = 2
	_, err := auth.ParseKeySet(okp(off))
	require.ErrorContains(t, err, "not a point of the curve")
	require.False(t, ed25519.Verify(off, nil, make([]byte, 64)))
	for low := byte(0xed); low != 0; low++ { // p to p + 18
		text := must(hex.DecodeString(fmt.Sprintf("%02x", low) + strings.Repeat("ff", 30) + "7f"))
		_, err := auth.ParseKeySet(okp(text))
		require.ErrorContains(t, err, "canonical")
	}
	for range 200 {
		n, err := auth.ParseKeySet(okp(must2(ed25519.GenerateKey(nil))))
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
}

func must2(public ed25519.PublicKey, _ ed25519.PrivateKey, err error) ed25519.PublicKey {
	return must(public, err)
}
