package bench

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/MicahParks/jwkset"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// tokenLimit is the length of the longest token that auth reads.
const tokenLimit = 16 << 10

// repeated are claims sets in which one thing is repeated. The three parts are what comes before the copies, one copy,
// and what comes after them. In a copy, # is replaced by a text that is different each time, so that names differ.
var repeated = map[string][3]string{
	"spaces":                 {``, ` `, `"x":0`},
	"line-breaks":            {``, "\r\n", `"x":0`},
	"mixed-blanks":           {``, " \t\n\r", `"x":0`},
	"blanks-in-array":        {`"x":[0`, " ,\t0", `]`},
	"blanks-in-object":       {``, "\"#\" : 0 , ", `"x":0`},
	"string":                 {`"x":"`, `x`, `"`},
	"string-two-bytes":       {`"x":"`, `é`, `"`},
	"string-three-bytes":     {`"x":"`, `語`, `"`},
	"string-four-bytes":      {`"x":"`, `😀`, `"`},
	"escapes-short":          {`"x":"`, `\n`, `"`},
	"escapes-slash":          {`"x":"`, `\/`, `"`},
	"escapes-unicode":        {`"x":"`, `\u0416`, `"`},
	"escapes-surrogates":     {`"x":"`, `\ud83d\ude00`, `"`},
	"escapes-alternating":    {`"x":"`, `x\n`, `"`},
	"escapes-in-sub":         {`"sub":"`, `\n`, `"`},
	"escapes-in-sub-unicode": {`"sub":"`, `\u0416`, `"`},
	"escapes-in-scope":       {`"scope":"`, `a\t`, `"`},
	"escapes-in-names":       {``, `"\u0416#":0,`, `"x":0`},
	"escapes-in-groups":      {`"groups":["x"`, `,"\u0416"`, `]`},
	"array-digits":           {`"x":[0`, `,0`, `]`},
	"array-numbers":          {`"x":[0`, `,-12345.678`, `]`},
	"array-numbers-exponent": {`"x":[0`, `,1e1`, `]`},
	"array-numbers-long":     {`"x":[0`, `,12345678901234567890123456789012`, `]`},
	"array-numbers-precise":  {`"x":[0`, `,1.234567890123456789012345e-300`, `]`},
	"array-numbers-huge":     {`"x":[0`, `,1.234567890123456789012345e+299`, `]`},
	"array-strings-empty":    {`"x":[""`, `,""`, `]`},
	"array-strings-short":    {`"x":["a"`, `,"a"`, `]`},
	"array-strings-roles":    {`"x":["a"`, `,"realm-role-number-#"`, `]`},
	"array-strings-escaped":  {`"x":["a"`, `,"\n"`, `]`},
	"array-literals":         {`"x":[0`, `,true`, `]`},
	"array-null":             {`"x":[0`, `,null`, `]`},
	"array-false":            {`"x":[0`, `,false`, `]`},
	"array-arrays":           {`"x":[0`, `,[]`, `]`},
	"array-arrays-nested":    {`"x":[0`, `,[[[[[]]]]]`, `]`},
	"array-objects":          {`"x":[0`, `,{}`, `]`},
	"array-objects-member":   {`"x":[0`, `,{"a":0}`, `]`},
	"array-objects-nested":   {`"x":[0`, `,{"a":{"a":{"a":0}}}`, `]`},
	"arrays-members":         {``, `"#":[],`, `"x":0`},
	"deep-arrays":            {`"x":[`, `[`, `]`},
	"deep-objects":           {`"x":{"a":`, `{"a":`, `0}`},
	"members":                {``, `"#":0,`, `"x":0`},
	"members-upper":          {``, `"X#":0,`, `"x":0`},
	"members-long":           {``, `"` + strings.Repeat("n", 200) + `#":0,`, `"x":0`},
	"members-long-upper":     {``, `"` + strings.Repeat("N", 200) + `#":0,`, `"x":0`},
	"members-kelvin":         {``, "\"\u212a#\":0,", `"x":0`},
	"members-kelvin-long":    {``, "\"" + strings.Repeat("\u212a", 60) + "#\":0,", `"x":0`},
	"members-long-s":         {``, "\"\u017f#\":0,", `"x":0`},
	"members-cherokee":       {``, `"` + strings.Repeat("Ꭰ", 80) + `#":0,`, `"x":0`},
	"members-deseret":        {``, `"` + strings.Repeat("𐐀", 60) + `#":0,`, `"x":0`},
	"members-short-cherokee": {``, `"Ꭰ#":0,`, `"x":0`},
	"members-short-upper":    {``, `"XXXXXXXXXXXX#":0,`, `"x":0`},
	"members-short-long-s":   {``, `"ſſſſſſſ#":0,`, `"x":0`},
	"members-two-bytes":      {``, `"éééééééééééé#":0,`, `"x":0`},
	"members-nested":         {`"x":{`, `"#":0,`, `"x":0}`},
	"members-escaped":        {``, `"\n#":"\n",`, `"x":0`},
	"groups-empty":           {`"groups":[""`, `,""`, `]`},
	"groups-short":           {`"groups":["a"`, `,"a"`, `]`},
	"groups-roles":           {`"groups":["a"`, `,"realm-role-number-#"`, `]`},
	"groups-after-escape":    {`"groups":["a"`, `,"\u0416` + strings.Repeat("a", 70) + `"`, `]`},
	"groups-odd":             {`"groups":[0`, `,""`, `]`},
	"pool-groups-short":      {`"cognito:groups":["a"`, `,"a"`, `]`},
	"scp-short":              {`"scp":["a"`, `,"a"`, `]`},
	"scp-roles":              {`"scp":["a"`, `,"realm-role-number-#"`, `]`},
	"scope-short":            {`"scope":"a`, ` a`, `"`},
	"scope-blanks":           {`"scope":"a`, `  a`, `"`},
	"scope-long-words":       {`"scope":"`, strings.Repeat("a", 60) + `  `, `a"`},
	"scope-after-escape":     {`"scope":"\n`, ` x`, `"`},
	"scope-only-blanks":      {`"scope":"`, ` `, `"`},
	"aud-short":              {`"aud":["a"`, `,"a"`, `]`},
	"aud-roles":              {`"aud":["a"`, `,"realm-role-number-#"`, `]`},
}

// number returns a short name, a different one for each i.
func number(i int) string {
	const digits = "abcdefghijklmnopqrstuvwxyz0123456789"
	s := []byte{digits[i%36]}
	for i /= 36; i > 0; i /= 36 {
		s = append(s, digits[i%36])
	}
	return string(s)
}

// claimsOf makes a claims set of size bytes. It has n copies, or as many as there is room for, and a long string.
func claimsOf(parts [3]string, n, size int) string {
	var b strings.Builder
	b.WriteString(`{"iss":"` + issuer + `",`)
	if !strings.HasPrefix(parts[0], `"aud"`) {
		b.WriteString(`"aud":"` + audience + `",`)
	}
	b.WriteString(`"exp":9999999999,` + parts[0])
	const pad = `,"pad":"`
	for i := range n {
		next := strings.ReplaceAll(parts[1], "#", number(i))
		if b.Len()+len(next)+len(parts[2])+len(pad)+2 > size {
			break
		}
		b.WriteString(next)
	}
	b.WriteString(parts[2] + pad)
	return b.String() + strings.Repeat("x", max(size-b.Len()-2, 0)) + `"}`
}

const everywhere = 1 << 20 // more copies than there is room for

// worst are tokens of 16 KiB by what they consist of. They are complete, with a wrong signature. There are as many
// copies of each thing as there is room for (full), and as many as are accepted, with a string after them (most).
func worst(f *fixture) map[string]string {
	b64 := base64.RawURLEncoding.EncodeToString
	parts := strings.Split(f.token(1), ".")
	forged := strings.Repeat("A", len(parts[2]))
	room := (tokenLimit - len(parts[0]) - len(forged) - 2) / 4 * 3
	whole := func(claims string) string { return parts[0] + "." + b64([]byte(claims)) + "." + forged }
	rest := tokenLimit - len(parts[0]) - len(forged) - 2
	list := map[string]string{
		"token-dots":         strings.Repeat(".", tokenLimit),
		"token-letters":      strings.Repeat("a", tokenLimit),
		"token-base64":       parts[0] + "." + strings.Repeat("A", rest) + "." + forged,
		"token-base64-last":  parts[0] + "." + strings.Repeat("A", rest-1) + "!." + forged,
		"token-line-breaks":  parts[0] + "." + strings.Repeat("\n", rest) + "." + forged,
		"token-signature":    parts[0] + "." + parts[1] + "." + strings.Repeat("A", tokenLimit-len(parts[0])-len(parts[1])-2),
		"token-header":       strings.Repeat("A", tokenLimit-len(parts[1])-len(forged)-2) + "." + parts[1] + "." + forged,
		"token-unknown-kid":  b64([]byte(`{"alg":"RS256","kid":"unknown"}`)) + "." + b64([]byte(claimsOf(repeated["groups-roles"], everywhere, room))) + "." + forged,
		"token-genuine-long": f.signText(claimsOf(repeated["string"], everywhere, room)),
		"token-genuine-list": f.signText(claimsOf(repeated["groups-roles"], everywhere, room)),
	}
	for name, thing := range repeated {
		list["full-"+name] = whole(claimsOf(thing, everywhere, room))
		most := sort.Search(room, func(n int) bool { return !wellFormed(f, whole(claimsOf(thing, n+1, room))) })
		list["most-"+name] = whole(claimsOf(thing, most, room))
		// The same in a header of the greatest length that is read, before long claims.
		inHeader := func(n int) string {
			claims := strings.ReplaceAll(claimsOf(thing, n, 1400), `"iss":"`+issuer+`",`, "")
			header := b64([]byte(`{"alg":"RS256","kid":"` + f.kid + `",` + claims[1:]))
			return header + "." + b64([]byte(claimsOf(repeated["string"], everywhere, room-len(header)*3/4+64))) + "." + forged
		}
		list["header-"+name] = inHeader(everywhere)
		most = sort.Search(1500, func(n int) bool { return !wellFormed(f, inHeader(n+1)) })
		list["header-most-"+name] = inHeader(most)
	}
	maps.Copy(list, costly(f))
	return list
}

// costly are combinations: many members with an array, a header with many members before such claims, and padding
// outside ASCII.
func costly(f *fixture) map[string]string {
	b64 := base64.RawURLEncoding.EncodeToString
	parts := strings.Split(f.token(1), ".")
	forged := strings.Repeat("A", len(parts[2]))
	names := func(unit string, n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(unit, "#", number(i)))
		}
		return b.String()
	}
	header := b64([]byte(`{"alg":"RS256","kid":"` + f.kid + `",` + names(`"X#":0,`, 120) + `"y":0}`))
	list := map[string]string{}
	for name, row := range map[string]struct {
		header string
		thing  [3]string
	}{
		"numbers":                    {parts[0], repeated["array-numbers-exponent"]},
		"groups":                     {parts[0], repeated["groups-empty"]},
		"scopes":                     {parts[0], repeated["scp-short"]},
		"members":                    {parts[0], repeated["members-two-bytes"]},
		"members-escaped":            {parts[0], repeated["members-escaped"]},
		"members-and-objects":        {parts[0], [3]string{names(`"éééééééééééé#":0,`, 100) + `"x":[0`, `,{"a":0}`, `]`}},
		"members-and-numbers":        {parts[0], [3]string{names(`"XXXXXXXXXXXX#":0,`, 80) + `"x":[0`, `,1e1`, `]`}},
		"header-members-and-numbers": {header, repeated["array-numbers-exponent"]},
		"header-members-and-scopes":  {header, repeated["scp-short"]},
	} {
		room := (tokenLimit - len(row.header) - len(forged) - 2) / 4 * 3
		token := func(n int) string {
			text := strings.ReplaceAll(claimsOf(row.thing, n, room), "xxxx", "éé")
			return row.header + "." + b64([]byte(text)) + "." + forged
		}
		most := sort.Search(room, func(n int) bool { return !wellFormed(f, token(n+1)) })
		list["costly-"+name] = token(most)
	}
	return list
}

// wellFormed reports whether a forged token is refused for its signature alone.
func wellFormed(f *fixture, raw string) bool {
	err := ours(f)(raw)
	return err != nil && err.Error() == "auth: signature does not match"
}

// signText signs any claims.
func (f *fixture) signText(claims string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(`{"alg":"`+f.algorithm+`","kid":"`+f.kid+`"}`)) + "." + b64([]byte(claims))
	return text + "." + b64(must(f.method.Sign(text, f.private)))
}

// Each input is nearly as long as a token may be.
func TestWorstTokensAreLong(t *testing.T) {
	for name, raw := range worst(fixtures()["RS256"]) {
		require.LessOrEqual(t, len(raw), tokenLimit, name)
		require.Greater(t, len(raw), tokenLimit-300, name)
	}
}

// BenchmarkWorst measures hostile tokens of 16 KiB. impl=floor is the first verification of a valid RS256 token of the
// usual size; no hostile token may cost more than twice as much.
func BenchmarkWorst(b *testing.B) {
	f := fixtures()["RS256"]
	inputs := worst(f)
	valid := f.tokens(256)
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		b.Run("input="+name, func(b *testing.B) {
			v := f.ours(auth.Config{CacheBytes: 64 * 2500}) // too little for the genuine ones
			b.Run("impl=ours", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_, _ = v.VerifyToken(context.Background(), inputs[name])
				}
			})
			run(b, "floor", unseen(f), valid, true)
		})
	}
}

// BenchmarkWorstKeys measures a forged token whose kid several keys have, so that each key is tried. The floor is as
// many valid tokens.
func BenchmarkWorstKeys(b *testing.B) {
	f := fixtures()["RS256"]
	valid := f.tokens(256)
	forged := worst(f)["full-string"]
	for _, n := range []int{2, 4} {
		b.Run(fmt.Sprintf("input=keys-%d", n), func(b *testing.B) {
			many := *f
			many.jwks = sameKid(f.kid, n)
			run(b, "ours", ours(&many), []string{forged}, false)
			verify := unseen(f)
			b.Run("impl=floor", func(b *testing.B) {
				for i := 0; b.Loop(); i += n {
					for k := range n {
						if err := verify(valid[(i+k)%len(valid)]); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		})
	}
}

// sameKid is a key set of n RSA keys with the same kid.
func sameKid(kid string, n int) []byte {
	var set jwkset.JWKSMarshal
	for range n {
		public := must(rsa.GenerateKey(rand.Reader, 2048)).Public()
		k := must(jwkset.NewJWKFromKey(public, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{ALG: "RS256", KID: kid, USE: jwkset.UseSig}}))
		set.Keys = append(set.Keys, k.Marshal())
	}
	return must(json.Marshal(set))
}
