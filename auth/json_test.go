package auth_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// Strings are read eight bytes at a time. Whatever ends or breaks a string must be found at every offset.
func TestStringsEndAtEveryOffset(t *testing.T) {
	for n := range 40 {
		for at := range n + 1 {
			for _, special := range []string{"", "\x00", "\x1f", "\n", " ", "!", `\"`, `\\`, `\n`, `\u0041`, `\u`, `\`, `"`, "é", "\x7f", "\x80", "\xff", "語", "\u2028"} {
				body := strings.Repeat("x", at) + special + strings.Repeat("y", n-at)
				text := `{"alg":"RS256","kid":"` + body + `"}`
				_, keyID, _, err := auth.ParseHeader(text)
				var want struct{ Kid string }
				wrong := json.Unmarshal([]byte(text), &want) != nil || want.Kid == "" || special == "\x80" || special == "\xff"
				require.Equal(t, wrong, err != nil, "%q", text)
				if !wrong {
					require.Equal(t, want.Kid, keyID, "%q", text)
				}
				_, err = auth.ParseClaims(`{"skipped":"` + body + `"}`)
				require.Equal(t, wrong && body != "", err != nil, "%q", text)
			}
		}
	}
}

// Random claims that encoding/json writes are read back unchanged. With a name that occurs twice they are refused.
func TestRandomClaimsAreReadBack(t *testing.T) {
	n := 700
	if heavy {
		n = 20_000
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range n {
		m := map[string]any{"iss": randomText(r), "sub": randomText(r), "aud": []string{randomText(r), randomText(r)}, "exp": r.Int64N(1e11)}
		for range r.IntN(30) {
			m["x"+strings.ToLower(randomText(r))] = randomValue(r, 0)
		}
		text := must(json.Marshal(m))
		got, err := auth.ParseClaims(string(text))
		if err != nil { // two random names fold alike, or too many runes must be folded
			require.Regexp(t, "twice|too many", err.Error(), "%s", text)
			continue
		}
		require.Equal(t, m["iss"], got.Issuer)
		require.Equal(t, m["sub"], got.Subject)
		require.Equal(t, m["aud"], got.Audience())
		require.Equal(t, m["exp"], got.Expiry.Unix())
		for name, value := range m {
			twice := fmt.Sprintf(`%s,%s:%s}`, text[:len(text)-1], must(json.Marshal(name)), must(json.Marshal(value)))
			_, err := auth.ParseClaims(twice)
			require.ErrorIs(t, err, auth.ErrMalformed, twice)
		}
	}
}

// Two names of a header that encoding/json stores in one field are found at every offset of the letter that differs. In
// a claims set they are two names.
func TestHeaderNamesThatFoldAlikeAreRefused(t *testing.T) {
	pairs := [][2]string{{"a", "A"}, {"z", "Z"}, {"k", "\u212a"}, {"K", "\u212a"}, {"s", "\u017f"}, {"S", "\u017f"}, {"é", "É"}, {"σ", "ς"}, {"ǆ", "ǅ"}, {"ꭰ", "Ꭰ"}, {"𐐨", "𐐀"}}
	for r := range rune(0x80) { // the other characters fold only to themselves
		for o := range r {
			text := string(must(json.Marshal(map[string]any{"alg": "RS256", "xxxxxxxx" + string(r): 1, "xxxxxxxx" + string(o): 1})))
			_, _, _, err := auth.ParseHeader(text)
			require.Equal(t, strings.EqualFold(string(r), string(o)), err != nil, text)
		}
	}
	for _, p := range pairs {
		for before := range 20 {
			for after := range 20 {
				x, y := strings.Repeat("B", before), strings.Repeat("_Q", after)
				text := `{"alg":"RS256","` + x + p[0] + y + `":1,"` + x + p[1] + y + `":1}`
				_, _, _, err := auth.ParseHeader(text)
				require.ErrorContains(t, err, "twice", "%q %q", p[0], p[1])
				_, err = auth.ParseClaims(text)
				require.NoError(t, err)
				_, err = auth.ParseClaims(strings.ReplaceAll(text, p[1], p[0]))
				require.ErrorContains(t, err, "twice", "%q", p[0])
			}
		}
	}
}

// The names of one text together may have about 120 runes outside ASCII that must be folded. Only the names of headers
// and key sets are folded.
func TestFoldingIsBounded(t *testing.T) {
	header := func(n int) string {
		return `{"alg":"x","` + strings.Repeat("é", 60) + `":1,"` + strings.Repeat("é", n-60) + `":1}`
	}
	_, _, _, err := auth.ParseHeader(header(110))
	require.NoError(t, err)
	long := func(n int) string { return numbered(n, `"`+strings.Repeat("é", 100)+`%d":1,`) }
	for _, text := range []string{`{` + long(3) + `"alg":"x"}`, `{"alg":"x","x":{` + long(3) + `"x":1}}`} {
		_, _, _, err = auth.ParseHeader(text)
		require.ErrorContains(t, err, "too many")
	}
	_, err = auth.ParseClaims(`{` + long(50) + `"x":1}`)
	require.NoError(t, err)
}

func randomText(r *rand.Rand) string {
	letters := []rune("abcXYZ09 \"\\/\n\t<>&éßſK語😀\u2028")
	var b strings.Builder
	for range r.IntN(12) {
		b.WriteRune(letters[r.IntN(len(letters))])
	}
	return b.String()
}

func randomValue(r *rand.Rand, depth int) any {
	switch k := r.IntN(8); {
	case k == 0 && depth < 4:
		return []any{randomValue(r, depth+1), randomValue(r, depth+1)}
	case k == 1 && depth < 4:
		return map[string]any{"a": randomValue(r, depth+1), "b" + strings.ToLower(randomText(r)): randomValue(r, depth+1)}
	case k == 2:
		return r.NormFloat64() * 1e9
	case k == 3:
		return r.Int64()
	case k == 4:
		return nil
	case k == 5:
		return r.IntN(2) == 0
	}
	return randomText(r)
}
