package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// statement returns a policy of one statement; the lists are JSON.
func statement(t *testing.T, effect, action, resource string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse(fmt.Appendf(nil, `{"Version":"2012-10-17","Statement":{"Effect":%q,%s,%s}}`, effect, action, resource))
	require.NoError(t, err)
	return p
}

// on returns a request to invoke the method with the given ARN.
func on(resource string) *policy.Request {
	return &policy.Request{Resource: resource}
}

const invoke = `"Action":"execute-api:Invoke"`

func TestResourcePatterns(t *testing.T) {
	const arn = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/loyalty/a:b"
	for _, tt := range []struct {
		pattern string
		allowed bool // whether the pattern matches arn where it allows
		denied  bool // whether it matches arn where it denies
	}{
		{arn, true, true},
		{"*", true, true},
		{stage + "/GET/loyalty/*", true, true},
		{stage + "/GET/loyalty/a?b", true, true},
		{stage + "/*/loyalty/*", true, true},
		{stage + "/*", true, true},
		{stage + "/?ET/*", true, true},
		{"arn:aws:execute-api:eu-west-1:*:*", true, true},
		{"arn:*:execute-api:*:*:a1b2c3d4e5/*/GET/loyalty/a:b", true, true},
		{"arn:aws:execute-api:eu-west-?:123456789012:*/a:b", true, true},
		{stage + "/GET/loyalty/a:b*", true, true},
		{stage + "/GET/loyalty/a:b?", false, false},
		{stage + "/GET/loyalty/", false, false},
		{stage + "/GET", false, false},
		{stage + "/POST/loyalty/*", false, false},
		{stage + "/get/loyalty/*", false, false},
		{stage, false, false},
		{"arn:aws:execute-api:eu-west-2:123456789012:*", false, false},
		{"arn:aws-cn:execute-api:*:*:*", false, false},
		{"arn:aws:s3:*:*:*", false, false},
		// Patterns that end early, in an asterisk.
		{"arn:aws:execute-api:*", true, true},
		{"arn:aws:execute-api:**", true, true},
		{"arn:aws:execute-api:eu-*", true, true},
		{"arn:*:execute-api:eu-west-?*", true, true},
		{"arn:aws:execute-api:eu-west-1:*", true, true},
		{"arn:aws:execute-api:eu-west-1:1234*", true, true},
		{"arn:aws:execute-api:eu-west-1:123456789012:*", true, true},
		{"arn:aws:execute-api:us-*", false, false},
		{"arn:aws:execute-api:eu-west-2:*", false, false},
		{"arn:aws:execute-api:eu-west-1:210987654321*", false, false},
		{"arn:aws:s3:*", false, false},
		{"arn:aws:execute-api:*loyalty*", false, true}, // the first asterisk would have to match a colon
		{"arn:aws:execute-api:eu-west-1:?????????????*", false, true},
		// The asterisk would have to match a colon.
		{"arn:aws:execute-api:eu*:a1b2c3d4e5/Prod/GET:loyalty/a:b", false, false},
		{"arn:aws:execute-api:*:loyalty/a:b", false, false},
		{"arn:aws:execute-api:*:a1b2c3d4e5/Prod/GET/loyalty/a:b", false, true},
		{"arn:aws:execute-api:eu-west-1*:a1b2c3d4e5/*:b", false, true},
	} {
		t.Run(tt.pattern, func(t *testing.T) {
			p, not := fmt.Sprintf(`"Resource":%q`, tt.pattern), fmt.Sprintf(`"NotResource":%q`, tt.pattern)
			require.Equal(t, tt.allowed, statement(t, "Allow", invoke, p).Evaluate(on(arn)) == policy.Allow)
			require.Equal(t, tt.denied, statement(t, "Deny", invoke, p).Evaluate(on(arn)) == policy.Deny)
			require.Equal(t, !tt.denied, statement(t, "Allow", invoke, not).Evaluate(on(arn)) == policy.Allow)
			require.Equal(t, !tt.allowed, statement(t, "Deny", invoke, not).Evaluate(on(arn)) == policy.Deny)
		})
	}
}

// A resource needs six parts unless it ends in an asterisk, and must always name the service.
func TestNewRefusesWhatIsNoARN(t *testing.T) {
	for _, pattern := range []string{
		"", "arn", "arn:", "arn:*", "arn:aws", "arn:aws:*", "arn:aws:execute-api", "arn:aws:execute-api*", "arn:aws:execute-api:", "arn:aws:execute-api:eu-west-1",
		"arn:aws:execute-api:*:", "arn:aws:execute-api:*:*:", "arn:aws:execute-api:*:x", "arn:aws::*", "arn:aws:e?:*", "**", "?", "a*", "arn*", "*:*:*:*:*:*",
		"ARN:aws:execute-api:*", "execute-api:*", " arn:aws:execute-api:*",
	} {
		_, err := policy.New(document("Allow", pattern))
		require.ErrorIs(t, err, policy.ErrInvalid, pattern)
	}
}

func document(effect, resource string) policy.Document {
	return policy.Document{
		Version:   "2012-10-17",
		Statement: []policy.Statement{{Effect: effect, Action: []string{"*"}, Resource: []string{resource}}},
	}
}

func TestActionPatterns(t *testing.T) {
	for pattern, want := range map[string]bool{
		"*": true, "execute-api:Invoke": true, "EXECUTE-API:invoke": true, "execute-api:*": true, "execute-api:Inv?ke": true,
		"execute-api:i*": true, "execute-api:InvokeMore": false, "execute-api:Invok": false, "execute-api:ManageConnections": false,
		"s3:*": false, "execute-api:?": false,
	} {
		p, not := fmt.Sprintf(`"Action":%q`, pattern), fmt.Sprintf(`"NotAction":[%q]`, pattern)
		require.Equal(t, want, statement(t, "Allow", p, `"Resource":"*"`).Evaluate(on(stage)) == policy.Allow, pattern)
		require.Equal(t, !want, statement(t, "Allow", not, `"Resource":"*"`).Evaluate(on(stage)) == policy.Allow, pattern)
	}
	p := statement(t, "Allow", `"Action":"execute-api:Invoke"`, `"Resource":"*"`)
	require.Equal(t, policy.NoMatch, p.Evaluate(&policy.Request{Action: "execute`api:Invoke", Resource: stage}), "a backquote is not the lower case of an at sign")
	require.Equal(t, policy.NoMatch, p.Evaluate(&policy.Request{Action: "execute\rapi:Invoke", Resource: stage}), "a hyphen has no case")
}

func TestDenyWins(t *testing.T) {
	allow := policy.Statement{Effect: "Allow", Action: []string{"*"}, Resource: []string{"*"}}
	deny := policy.Statement{Effect: "Deny", Action: []string{"*"}, Resource: []string{stage + "/DELETE/*"}}
	for _, statements := range [][]policy.Statement{{allow, deny}, {deny, allow}} {
		p, err := policy.New(policy.Document{Version: "2008-10-17", Statement: statements})
		require.NoError(t, err)
		require.Equal(t, policy.Allow, p.Evaluate(on(stage+"/GET/")))
		require.Equal(t, policy.Deny, p.Evaluate(on(stage+"/DELETE/")))
	}
}

func TestZeroPolicyRefuses(t *testing.T) {
	require.Equal(t, policy.NoMatch, (*policy.Policy)(nil).Evaluate(on(stage)))
	require.Equal(t, policy.NoMatch, new(policy.Policy).Evaluate(on(stage)))
	require.Equal(t, "NoMatch", policy.Decision(0).String())
	require.Equal(t, "invalid Decision", policy.Decision(9).String())
}

func TestNewCopies(t *testing.T) {
	d := document("Allow", "*")
	p, err := policy.New(d)
	require.NoError(t, err)
	d.Statement[0].Resource[0], d.Statement[0].Action[0], d.Statement[0].Effect = "x", "x", "Deny"
	require.Equal(t, policy.Allow, p.Evaluate(on(stage)))
}

func TestNewReportsEveryMistake(t *testing.T) {
	_, err := policy.New(policy.Document{Version: "2012-10-18", Statement: []policy.Statement{
		{},
		{Effect: "allow", Action: []string{"*", "Invoke"}, NotAction: []string{"execute-api:"}, Resource: []string{"*"}, NotResource: []string{stage}},
		{Effect: "Allow", Action: []string{"execute-api:In voke"}, Resource: []string{
			"execute-api:Prod/GET/", "arn:aws:*:*:*:x", "arn:aws:execute-api:::", "", stage + strings.Repeat("x", 513), stage + "/\x00", stage + "/\ufffd",
		}},
	}})
	require.ErrorIs(t, err, policy.ErrInvalid)
	text := strings.ReplaceAll(err.Error(), strings.Repeat("x", 513), "xxx")
	require.Equal(t, strings.Split(text, "\n"), []string{
		`policy: invalid policy document: Version: "2012-10-18" is neither 2012-10-17 nor 2008-10-17`,
		`policy: invalid policy document: Statement[0].Effect: "" is neither Allow nor Deny`,
		`policy: invalid policy document: Statement[0]: neither Action nor NotAction`,
		`policy: invalid policy document: Statement[0]: neither Resource nor NotResource`,
		`policy: invalid policy document: Statement[1].Effect: "allow" is neither Allow nor Deny`,
		`policy: invalid policy document: Statement[1]: both Action and NotAction`,
		`policy: invalid policy document: Statement[1]: both Resource and NotResource`,
		`policy: invalid policy document: Statement[1].Action[1]: "Invoke" is not of the form service:action`,
		`policy: invalid policy document: Statement[1].NotAction[0]: "execute-api:" is not of the form service:action`,
		`policy: invalid policy document: Statement[2].Action[0]: "execute-api:In voke" is not of the form service:action`,
		`policy: invalid policy document: Statement[2].Resource[0]: "execute-api:Prod/GET/" is not an ARN`,
		`policy: invalid policy document: Statement[2].Resource[1]: "arn:aws:*:*:*:x" has no service`,
		`policy: invalid policy document: Statement[2].Resource[2]: "arn:aws:execute-api:::" is not an ARN`,
		`policy: invalid policy document: Statement[2].Resource[3]: "" is not an ARN`,
		`policy: invalid policy document: Statement[2].Resource[4]: "` + stage + `xxx" has more than 512 characters`,
		`policy: invalid policy document: Statement[2].Resource[5]: "` + stage + `/\x00" has a control character or U+FFFD`,
		`policy: invalid policy document: Statement[2].Resource[6]: "` + stage + `/` + "\ufffd" + `" has a control character or U+FFFD`,
	})
	_, err = policy.New(policy.Document{Version: "2012-10-17"})
	require.EqualError(t, err, "policy: invalid policy document: Statement: missing")
	large := document("Allow", "*")
	for range 21 {
		large.Statement = append(large.Statement, document("Allow", stage+strings.Repeat("x", 512-len(stage))).Statement[0])
	}
	_, err = policy.New(large)
	require.EqualError(t, err, "policy: invalid policy document: Statement: 10775 bytes of patterns and values, at most 10240")
}

func TestParseRefuses(t *testing.T) {
	const good = `"Effect":"Allow","Action":"*","Resource":"*"`
	for _, tt := range []struct{ document, want string }{
		{``, "EOF"},
		{`null`, "document: found null, expected an object"},
		{`[]`, "document: found [, expected an object"},
		{`{"Version":"2012-10-17","Statement":{` + good + `}} {}`, "document: text after it"},
		{`{"Version":"2012-10-17","Statement":{` + good + `}`, "EOF"},
		{`{"Version":"2012-10-17","Version":"2012-10-17"}`, `Version: occurs twice`},
		{`{"version":"2012-10-17"}`, `version: unknown element`},
		{`{"Version":20121017}`, "Version: found 20121017, expected a string"},
		{`{"Version":null}`, "Version: found null, expected a string"},
		{`{"Id":["a"]}`, "Id: found [, expected a string"},
		{`{"Statement":null}`, "Statement[0]: found null, expected an object"},
		{`{"Statement":"Allow"}`, `Statement[0]: found "Allow", expected an object`},
		{`{"Statement":[null]}`, "Statement[0]: found null, expected an object"},
		{`{"Statement":[{` + good + `},[]]}`, "Statement[1]: found [, expected an object"},
		{`{"Statement":{` + good + `,"Effect":"Allow"}}`, `Statement[0].Effect: occurs twice`},
		{`{"Statement":{` + good + `,"\u0045ffect":"Allow"}}`, `Statement[0].Effect: occurs twice`},
		{`{"Statement":[{"effect":"Allow"}]}`, `Statement[0].effect: unknown element`},
		{`{"Statement":[{` + good + `,"Principal":"1"}]}`, `Statement[0].Principal: found "1", expected an object`},
		{`{"Statement":{` + good + `,"Principal":["*"]}}`, `Statement[0].Principal: found [, expected an object`},
		{`{"Statement":[{` + good + `,"NotPrincipal":{}}]}`, `Statement[0].NotPrincipal: empty`},
		{`{"Statement":[{` + good + `,"Condition":{"Bool":{"a:b":"true"}}}]}`, `Statement[0].Condition.Bool.a:b: unknown key "a:b"`},
		{`{"Statement":[{` + good + `,"Condition":{"Bool":{"a:b":[]}}}]}`, `Statement[0].Condition.Bool.a:b: empty`},
		{`{"Statement":[{` + good + `,"Condition":{"Bool":{},"Null":{"a:b":true}}}]}`, `Statement[0].Condition.Null.a:b: unknown key "a:b"`},
		{`{"Statement":[{` + good + `,"Condition":{"Bool":{},"Bool":{}}}]}`, `Statement[0].Condition.Bool: occurs twice`},
		{`{"Statement":[{` + good + `,"Condition":{},"Condition":{}}]}`, `Statement[0].Condition: occurs twice`},
		{`{"Statement":[{` + good + `,"Condition":null}]}`, `Statement[0].Condition: found null, expected an object`},
		{`{"Statement":[{` + good + `,"Condition":[]}]}`, `Statement[0].Condition: found [, expected an object`},
		{`{"Statement":[{` + good + `,"Condition":{"Bool":[]}}]}`, `Statement[0].Condition.Bool: found [, expected an object`},
		{`{"Statement":[{` + good + `,"Condition":""}]}`, `Statement[0].Condition: found "", expected an object`},
		{`{"Condition":{},"Statement":{` + good + `}}`, `policy: invalid policy document: Condition: unknown element`},
		{`{"Statement":[{"Action":[]}]}`, "Statement[0].Action: empty"},
		{`{"Statement":[{"Action":null}]}`, "Statement[0].Action: found null, expected a string or an array"},
		{`{"Statement":[{"Action":["*",1]}]}`, "Statement[0].Action[1]: found 1, expected a string"},
		{`{"Statement":[{"Resource":[["*"]]}]}`, "Statement[0].Resource[0]: found [, expected a string"},
		{`{"Statement":[{"Effect":["Allow"]}]}`, "Statement[0].Effect: found [, expected a string"},
		{`{"Statement":[{` + good + `,}]}`, "invalid character"},
		{`{"Id":"` + "\xff" + `"}`, "document: not UTF-8"},
		{"\xff\xfe{\x00}\x00", "document: not UTF-8"},
		{"\ufeff\ufeff{}", "invalid character"},
		{"{}\ufeff", "document: text after it"},
		{`{"Id":"` + strings.Repeat("a", 10_240) + `"}`, "document: 10249 bytes, at most 10240"},
		{`{"Id":"\\\"` + strings.Repeat(" ", 10_240) + `"}`, "document: 10253 bytes, at most 10240"},
		{strings.Repeat(" ", 64<<10) + `{}`, "document: 65538 bytes with white space, at most 65536"},
		{`{"Version":"2012-10-17","Statement":[]}`, "Statement: empty"},
		{`{"Version":"2012-10-17"}`, "Statement: missing"},
		{`{"Version":"","Statement":{` + good + `}}`, "Version: empty"},
		{`{"Version":"2008-10-18","Statement":{` + good + `}}`, `Version: "2008-10-18" is neither 2012-10-17 nor 2008-10-17`},
		{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"` + stage + `/${aws:name}"}}`, `Statement[0].Resource[0]: "` + stage + `/${aws:name}" has the unknown variable "aws:name"`},
	} {
		t.Run(tt.document[:min(60, len(tt.document))], func(t *testing.T) {
			p, err := policy.Parse([]byte(tt.document))
			require.ErrorIs(t, err, policy.ErrInvalid)
			require.ErrorContains(t, err, tt.want)
			require.Nil(t, p)
		})
	}
}

func TestDocumentSurvivesJSON(t *testing.T) {
	const text = `{"Version":"2012-10-17","Id":"i","Statement":[` +
		`{"Sid":"a","Effect":"Allow","Action":["execute-api:Invoke"],"NotResource":["*"]},` +
		`{"Effect":"Deny","NotAction":["a:b","c:d"],"Resource":["` + stage + `/*"]}]}`
	var d policy.Document
	require.NoError(t, json.Unmarshal([]byte(text), &d))
	got, err := json.Marshal(d)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
	before := d
	require.Error(t, json.Unmarshal([]byte(`{"Version":"2008-10-17","Principal":"*"}`), &d))
	require.Equal(t, before, d, "an error leaves the document as it was")
}

// Tools write documents in these forms and IAM accepts them.
func TestParseAcceptsIAMGrammar(t *testing.T) {
	const good = `"Effect":"Allow","Action":"*","Resource":"*"`
	for _, document := range []string{
		`{"Statement":{` + good + `}}`,
		`{"Version":"2008-10-17","Statement":[{` + good + `}]}`,
		`{"Version":"2012-10-17","Statement":[{` + good + `,"Condition":{}}]}`,
		`{"Statement":[{"Condition":{ },` + good + `}]}`,
		`{"Statement":[{"Condition":{"StringEquals":{},"ForAnyValue:StringLike":{}},` + good + `}]}`,
		`{"Id":"","Statement":{"Sid":"",` + good + `}}`,
		`{"Statement":{"Effect":"Allow","Action":["*"],"Resource":["*"]},"Version":"2012-10-17"}`,
		`{"Statement":{"Effect":"Allow","Action":["s3.x:Get*","execute-api:Invoke"],"Resource":"*"}}`,
		"\ufeff" + `{"Statement":{` + good + `}}`,
		" \t\r\n" + strings.Repeat(" ", 20_000) + `{"Statement":{` + good + `}}` + "\n",
	} {
		p, err := policy.Parse([]byte(document))
		require.NoError(t, err, document)
		require.Equal(t, policy.Allow, p.Evaluate(on(stage+"/GET/")), document)
	}
	p, err := policy.Parse([]byte(`{"Statement":[{` + good + `},{"Effect":"Deny","Condition":{},"Action":"*","Resource":"` + stage + `/GET/admin"}]}`))
	require.NoError(t, err)
	require.Equal(t, policy.Deny, p.Evaluate(on(stage+"/GET/admin")), "an empty condition does not take a denial back")
}

// Version 2008-10-17 has no policy variables, and it is the default: there "${" is ordinary text.
func TestVariablesAreTextBefore2012(t *testing.T) {
	for _, version := range []string{"", "2008-10-17"} {
		d := document("Allow", stage+"/GET/${aws:username}/*")
		d.Version = version
		p, err := policy.New(d)
		require.NoError(t, err)
		require.Equal(t, policy.Allow, p.Evaluate(on(stage+"/GET/${aws:username}/x")))
		require.Equal(t, policy.NoMatch, p.Evaluate(on(stage+"/GET/julian/x")))
	}
	p, err := policy.New(document("Allow", stage+"/GET/${aws:username}/*"))
	require.NoError(t, err)
	require.Equal(t, policy.NoMatch, p.Evaluate(on(stage+"/GET/${aws:username}/x")))
}

// A question mark matches one character, of any length in bytes. A byte that is not UTF-8 counts as one character.
func TestQuestionMarkIsOneCharacter(t *testing.T) {
	for _, tt := range []struct {
		path string
		n    int // characters
	}{
		{"", 0},
		{"a", 1},
		{"/", 1},
		{"?", 1},
		{"*", 1},
		{"\u00e9", 1},
		{"e\u0301", 2}, // a letter and a combining accent: two code points
		{"\u20ac", 1},
		{"\U0001F600", 1},
		{"\U0001F600\u00e9", 2},
		{"\u00e9a", 2},
		{"a\u00e9", 2},
		{"\ufffd", 1},
		{"\xff", 1},
		{"\xc3", 1},          // the first byte of two
		{"\xa9", 1},          // the second
		{"\xe2\x82", 2},      // two bytes of three
		{"\xc0\xaf", 2},      // an overlong slash is not valid
		{"\xed\xa0\x80", 3},  // a surrogate is not valid
		{"\xf0\x9f\x98a", 4}, // three bytes of four, then a letter
		{"\xc3\xa9\xa9", 2},  // a character and a stray continuation byte
		{"%C3%A9", 6},        // nothing is decoded: an ARN has the decoded path already
		{strings.Repeat("\u20ac", 200), 200},
	} {
		for n := max(0, tt.n-4); n <= tt.n+4; n++ {
			marks := strings.Repeat("?", n)
			for pattern, want := range map[string]bool{
				"x" + marks + "x":   n == tt.n, // at the beginning
				"*x" + marks + "x":  n == tt.n, // at the end
				"*x" + marks + "x*": n == tt.n, // anywhere
				"x*" + marks + "x":  n <= tt.n,
				"x" + marks + "*x":  n <= tt.n,
				"x*" + marks + "*x": n <= tt.n,
				"?" + marks + "?":   n == tt.n,
			} {
				d := document("Allow", "*")
				d.Statement = append(d.Statement, document("Deny", stage+"/GET/"+pattern).Statement...)
				p, err := policy.New(d)
				require.NoError(t, err)
				require.Equal(t, want, p.Evaluate(on(stage+"/GET/x"+tt.path+"x")) == policy.Deny, "%q %q", pattern, tt.path)
			}
		}
	}
}

// A resource may have 512 characters, each of any length in bytes.
func TestResourceLengthIsInCharacters(t *testing.T) {
	long := stage + "/" + strings.Repeat("\u20ac", 511-len(stage))
	p, err := policy.New(document("Allow", long))
	require.NoError(t, err)
	require.Equal(t, policy.Allow, p.Evaluate(on(long)))
	_, err = policy.New(document("Allow", long+"\u20ac"))
	require.ErrorContains(t, err, "has more than 512 characters")
}

// TestWildcardsMatchLikeRegexp compares patterns with the equivalent regular expressions. It covers short words of few
// letters, pieces of more than 64 bytes (one block), policies of one and of many patterns, and resources that are
// longer than a method ARN may be.
func TestWildcardsMatchLikeRegexp(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	word := func(alphabet []string, most int) string {
		var b strings.Builder
		for range rng.IntN(most) {
			b.WriteString(alphabet[rng.IntN(len(alphabet))])
		}
		return b.String()
	}
	letters := strings.Fields("a b \u00e9 \u20ac")
	raw := append(strings.Fields("a b \u00e9 \u20ac \xa9 \xc3 \xe2\x82"), "\xff")
	wild := append(strings.Fields("* ?"), letters...)
	matched := 0
	check := func(pattern, s string) {
		re := regexp.MustCompile(`(?s)\A` + strings.NewReplacer("*", ".*", "?", ".").Replace(pattern) + `\z`)
		p := crowded(t, stage+"/"+pattern)
		if rng.IntN(2) == 0 {
			p = statement(t, "Allow", invoke, fmt.Sprintf(`"Resource":%q`, stage+"/"+pattern))
		}
		got := p.Evaluate(on(stage+"/"+s)) == policy.Allow
		require.Equal(t, re.MatchString(s), got, "%q %q", pattern, s)
		if got {
			matched++
		}
	}
	for range 20_000 {
		check(word(wild, 12), word(raw, 12))
	}
	require.Greater(t, matched, 500)
	for _, most := range []int{200, 2000} {
		matched = 0
		for range 1_000 {
			s := word(letters, most)
			runes := []rune(s)
			from := rng.IntN(len(runes) + 1)
			piece := runes[from : from+min(rng.IntN(len(runes)-from+1), rng.IntN(400))]
			piece = append([]rune(nil), piece...)
			marks := rng.IntN(2) * 10
			for i := range piece {
				switch n := rng.IntN(200); {
				case n == 0:
					piece[i] = 'x'
				case n <= marks:
					piece[i] = '?'
				}
			}
			check("*"+string(piece)+"*", s)
			check("*"+string(piece)+"**"+word(letters, 3)+"*", s)
		}
		require.Greater(t, matched, 500)
	}
}

// crowded returns a policy that allows pattern and has enough other patterns for an index by blocks.
func crowded(t *testing.T, pattern string) *policy.Policy {
	t.Helper()
	d := document("Allow", pattern)
	for range 16 {
		d.Statement = append(d.Statement, document("Deny", "arn:x:x:::x").Statement...)
	}
	p, err := policy.New(d)
	require.NoError(t, err)
	return p
}

// An asterisk may match no characters, in a long resource as well.
func TestAsteriskMayMatchNothing(t *testing.T) {
	for pattern, want := range map[string]policy.Decision{
		"***x***y?*": policy.Allow, "*****xyz***": policy.Allow, "*x*yz*": policy.Allow, "*x**y**z*": policy.Allow,
		"**xyz??????**": policy.NoMatch, "*x****z?*y*": policy.NoMatch,
	} {
		p := crowded(t, stage+"/"+pattern)
		for _, n := range []int{1, 5, 255, 256, 257, 1500, 5000} {
			s := "xyz" + strings.Repeat("a", n)
			if n < 6 || want == policy.Allow {
				require.Equal(t, want, p.Evaluate(on(stage+"/"+s)), "%s %d", pattern, n)
			}
			s = strings.Repeat("a", n) + "xyz"
			require.Equal(t, want, p.Evaluate(on(stage+"/"+s)), "%s %d", pattern, n)
		}
	}
}

// A pattern is found at every offset in a block and across blocks, and so is a pattern of many blocks.
func TestMatchAtEveryOffset(t *testing.T) {
	p := crowded(t, stage+"/*x?y?z*")
	for n := range 200 {
		for _, c := range []string{"b", "\u00e9", "\u20ac", "\U0001F600", "\xff"} {
			s := strings.Repeat("a", n) + "x" + c + "y" + c + "z" + strings.Repeat("a", 300)
			require.Equal(t, policy.Allow, p.Evaluate(on(stage+"/"+s)), "%d %q", n, c)
			s = strings.Replace(s, "y", "y"+c, 1)
			require.Equal(t, policy.NoMatch, p.Evaluate(on(stage+"/"+s)), "%d %q", n, c)
		}
	}
	long := strings.Repeat("\U0001F600", 420)
	for _, mark := range []string{"", "?"} {
		p = crowded(t, stage+"/*x"+mark+long+"*")
		for _, n := range []int{0, 1, 100, 1000} {
			s := strings.Repeat("a", n) + "x" + strings.Repeat("\u00e9", len(mark)) + long
			require.Equal(t, policy.Allow, p.Evaluate(on(stage+"/"+s)), n)
			require.Equal(t, policy.NoMatch, p.Evaluate(on(stage+"/"+strings.TrimSuffix(s, "\U0001F600"))), n)
		}
	}
}
