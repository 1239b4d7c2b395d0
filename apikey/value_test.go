package apikey_test

import (
	"hash/crc32"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
)

// A value of API Gateway's form has 40 letters and digits, each with the same probability.
func TestGeneratedValuesAreUniform(t *testing.T) {
	keys := newVerifier(t, apikey.Config{})
	seen := map[rune]int{}
	const n = 5000
	for range n {
		v := string(keys.Generate())
		require.Regexp(t, `^[A-Za-z0-9]{40}$`, v)
		for _, c := range v {
			seen[c]++
		}
	}
	require.Len(t, seen, 62)
	mean := n * 40 / 62
	for c, count := range seen { // 3226 each, standard deviation 56: seven of them
		require.InDelta(t, mean, count, 400, "%c", c)
	}
}

func TestAppSyncValuesExpireOnTheHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(17*time.Minute + time.Second)
		now := time.Now()
		for _, tt := range []struct {
			name    string
			expires time.Time
			want    time.Time
		}{
			{"default", time.Time{}, now.Add(7 * 24 * time.Hour)},
			{"least", now.Add(24 * time.Hour), now.Add(24 * time.Hour)},
			{"most", now.Add(365 * 24 * time.Hour), now.Add(365 * 24 * time.Hour)},
			{"another zone", now.Add(48 * time.Hour).In(time.FixedZone("", 30*60)), now.Add(48 * time.Hour)},
		} {
			v, expires, err := apikey.AppSync(tt.expires)
			require.NoError(t, err, tt.name)
			require.Regexp(t, `^da2-[a-z2-7]{26}$`, string(v))
			require.Equal(t, tt.want.UTC().Truncate(time.Hour), expires, tt.name)
		}
		for _, life := range []time.Duration{24*time.Hour - 1, 365*24*time.Hour + 1, -time.Hour} {
			_, _, err := apikey.AppSync(now.Add(life))
			require.ErrorIs(t, err, apikey.ErrInvalid)
		}

		time.Sleep(300 * time.Millisecond)
		day := time.Now().Add(24 * time.Hour)
		time.Sleep(time.Microsecond) // on the way to the call
		_, _, err := apikey.AppSync(day)
		require.NoError(t, err, "a day from now")

		v := newVerifier(t, apikey.Config{})
		value, expires, err := apikey.AppSync(time.Time{})
		require.NoError(t, err)
		k, err := v.Create(t.Context(), apikey.Key{Enabled: true, Expires: expires}, value)
		require.NoError(t, err)
		require.NotEqual(t, string(value), k.ID)
		time.Sleep(time.Until(expires) - 1)
		_, err = v.VerifyKey(t.Context(), string(value))
		require.NoError(t, err)
		time.Sleep(time.Nanosecond)
		_, err = v.VerifyKey(t.Context(), string(value))
		require.ErrorIs(t, err, apikey.ErrExpired)
		_, err = v.Update(t.Context(), k.ID, func(k *apikey.Key) error { k.Expires = k.Expires.Add(time.Hour); return nil })
		require.NoError(t, err, "an expired key can be revived")
		_, err = v.VerifyKey(t.Context(), string(value))
		require.NoError(t, err)
	})
}

// A value with a prefix is found by the pattern, its checksum is the CRC-32 of what comes before, and a value with one
// wrong character is refused without a lookup.
func TestPrefixedValuesAreFoundAndChecked(t *testing.T) {
	for _, prefix := range []string{"ak", "abcde1", "zz9"} {
		v := newPrefixed(t, prefix)
		pattern := regexp.MustCompile(v.Pattern())
		for range 100 {
			made := v.Generate()
			s := string(made)
			require.Len(t, s, 40)
			require.Equal(t, s, pattern.FindString("GET /x?key="+s+"&a=b"))

			// The checksum again, by another algorithm.
			sum, ok := new(big.Int).SetString(swapCase(s[34:]), 62)
			require.True(t, ok)
			require.Equal(t, uint64(crc32.ChecksumIEEE([]byte(s[:34]))), sum.Uint64())

			_, err := v.Create(t.Context(), apikey.Key{Enabled: true}, made)
			require.NoError(t, err)
			_, err = v.VerifyKey(t.Context(), s)
			require.NoError(t, err)
			for i := len(prefix) + 1; i < len(s); i++ { // CRC-32 finds every error in one character
				bad := []byte(s)
				bad[i] ^= 1
				_, err := v.VerifyKey(t.Context(), string(bad))
				require.ErrorIs(t, err, apikey.ErrMalformed, "%s at %d", bad, i)
			}
			_, err = v.VerifyKey(t.Context(), s[:39]+flip(s[39]))
			require.ErrorIs(t, err, apikey.ErrMalformed)
		}
		_, err := v.Create(t.Context(), apikey.Key{}, apikey.Secret(prefix+strings.Repeat("a", 30)))
		require.NoError(t, err, "without the underscore it is a value like others")
	}
	for _, bad := range []string{"a", "abcdefg", "1a", "aB", "a-b", "a_", "é1"} {
		_, err := apikey.New(apikey.Config{Prefix: bad})
		require.ErrorIs(t, err, apikey.ErrInvalid, bad)
	}
}

// Without a prefix, the pattern still matches what Generate returns.
func TestPatternWithoutPrefix(t *testing.T) {
	v := newVerifier(t, apikey.Config{})
	require.Regexp(t, "^"+v.Pattern()+"$", string(v.Generate()))
}

// swapCase maps our digits, 0-9A-Za-z, to those of math/big, 0-9a-zA-Z.
func swapCase(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'A' {
			return c ^ 0x20
		}
		return c
	}, s)
}

func flip(c byte) string {
	if c == '0' {
		return "1"
	}
	return "0"
}
