package policy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// soon finds work that explodes: what takes a millisecond at most may take a minute, so no busy machine is the reason.
func soon(t *testing.T, evaluate func()) {
	t.Helper()
	start := time.Now()
	evaluate()
	require.Less(t, time.Since(start), time.Minute)
}

// FuzzParse checks three properties of an accepted document: json.Unmarshal accepts it too, writing and reading it
// again changes nothing, and with a statement added that denies everything, it denies. An evaluation must be over soon.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`), stage)
	f.Add([]byte(`{"Version":"2008-10-17","Id":"i","Statement":[{"Sid":"s","Effect":"Deny","NotAction":["a:b"],"NotResource":["`+stage+`/*"]}]}`), stage+"/GET/")
	f.Add([]byte(`{"Statement":[{"Condition":{"a":[{}]}}],"Version":"x"}`), "")
	f.Add([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["123456789012","*"]},"Action":"*","Resource":"`+stage+`/${aws:username, 'x'}*",
		"Condition":{"StringNotLikeIfExists":{"aws:UserAgent":["a*?","${*}"]},"NumericLessThan":{"aws:EpochTime":1e3},"Bool":{"aws:SecureTransport":false},
		"ForAllValues:ArnLike":{"app:Arns":"arn:*:*::x:${app:Text}"},"IpAddress":{"aws:SourceIp":["203.0.113.0/24","::1"]},"Null":{"aws:PrincipalTag/x":true}}}]}`), stage+"/julian")
	f.Add([]byte(`{"Statement":[{"Effect":"Deny","NotPrincipal":"*","Action":"*","Resource":"execute-api:/*","Condition":{"DateLessThan":{"aws:CurrentTime":"2020-01"},"BinaryEquals":{"app:Binary":"AA=="}}}]}`), stage)
	f.Fuzz(func(t *testing.T, data []byte, resource string) {
		p, err := policy.Parse(data, own...)
		if err != nil {
			require.ErrorIs(t, err, policy.ErrInvalid)
			require.Less(t, len(err.Error()), 200_000)
			require.Nil(t, p)
			return
		}
		data = bytes.TrimPrefix(data, []byte("\ufeff"))
		require.True(t, json.Valid(data))
		var d policy.Document
		require.NoError(t, json.Unmarshal(data, &d))
		text, err := json.Marshal(d)
		require.NoError(t, err)
		var again policy.Document
		err = json.Unmarshal(text, &again)
		if len(text) <= 10_240 { // escaping may make it too long
			require.NoError(t, err)
			require.Equal(t, d, again)
		}
		r := policy.Request{
			Resource: resource, Principal: "arn:aws:iam::123456789012:user/" + resource, SourceIP: netip.MustParseAddr("203.0.113.7"), UserAgent: resource,
			PrincipalTags: map[string]string{"x": resource}, Values: map[string]any{"app:Text": resource, "app:Texts": []string{resource, "a"}, "app:Arns": []string{resource}},
		}
		var decision policy.Decision
		soon(t, func() { decision = p.Evaluate(&r) })
		require.Equal(t, decision, p.Evaluate(&r))
		d.Statement = append(d.Statement, policy.Statement{Effect: "Deny", Action: []string{"*"}, Resource: []string{"*"}})
		denied, err := policy.New(d, own...)
		if errors.Is(err, policy.ErrInvalid) {
			return // the statement added makes it too large
		}
		require.Equal(t, policy.Deny, denied.Evaluate(&r), "was %v", decision)
	})
}

// FuzzCondition checks what holds for every condition. What a request is allowed by a condition, it is denied by the
// same condition. An operator and its negation are never both true. IfExists changes nothing for a key that is there.
func FuzzCondition(f *testing.F) {
	f.Add("StringEquals", "StringNotEquals", "app:Text", "a*", "${*}", "a*", true)
	f.Add("StringLike", "StringNotLike", "app:Text", "a*?", "${aws:username, 'x'}", "a\u00e9\xff", true)
	f.Add("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "app:Arn", "K", "", "\u212a", true)
	f.Add("ArnEquals", "ArnNotLike", "app:Arn", "arn:*:*:*:*:*", "arn:aws:s3:::${app:Arn}", "arn:aws:s3:::a:b", true)
	f.Add("NumericEquals", "NumericNotEquals", "aws:EpochTime", "1e3", "-0.5", "", false)
	f.Add("NumericLessThan", "NumericGreaterThanEquals", "aws:EpochTime", "1000", "1000", "", true)
	f.Add("DateEquals", "DateNotEquals", "aws:CurrentTime", "1970-01-01T00:16:40Z", "2020-01", "", false)
	f.Add("IpAddress", "NotIpAddress", "aws:SourceIp", "203.0.113.0/24", "::1", "", true)
	f.Add("ForAllValues:StringLike", "ForAnyValue:StringNotLike", "app:Texts", "a*", "b", "ab", true)
	f.Fuzz(func(t *testing.T, operator, negation, key, one, other, has string, there bool) {
		statement := func(effect, operator string) *policy.Policy {
			p, err := policy.New(policy.Document{Version: "2012-10-17", Statement: []policy.Statement{{
				Effect: effect, Action: []string{"*"}, Resource: []string{"*"}, Condition: map[string]map[string][]string{operator: {key: {one, other}}},
			}}}, own...)
			if err != nil {
				require.ErrorIs(t, err, policy.ErrInvalid)
				return nil
			}
			return p
		}
		r := policy.Request{Time: time.Unix(1000, 5)}
		if there {
			r.Principal, r.UserAgent, r.SourceIP = "arn:aws:iam::123456789012:user/"+has, has, netip.MustParseAddr("::ffff:203.0.113.7")
			r.Values = map[string]any{"app:Text": has, "app:Arn": has, "app:Texts": []string{has, "ab"}, "app:Arns": []string{has}, "app:Binary": has, "app:Number": float64(len(has))}
		}
		allow, deny := statement("Allow", operator), statement("Deny", operator)
		require.Equal(t, allow == nil, deny == nil)
		if allow == nil {
			return
		}
		var allowed, denied bool
		soon(t, func() { allowed, denied = allow.Evaluate(&r) == policy.Allow, deny.Evaluate(&r) == policy.Deny })
		require.True(t, !allowed || denied, "allowed and not denied")
		if ifExists := statement("Allow", operator+"IfExists"); ifExists != nil && allowed {
			require.Equal(t, policy.Allow, ifExists.Evaluate(&r))
		}
		opposites := map[string]string{
			"StringEquals": "StringNotEquals", "StringLike": "StringNotLike", "StringEqualsIgnoreCase": "StringNotEqualsIgnoreCase",
			"ArnEquals": "ArnNotEquals", "ArnLike": "ArnNotLike", "NumericEquals": "NumericNotEquals", "DateEquals": "DateNotEquals", "IpAddress": "NotIpAddress",
			"ForAllValues:StringLike": "ForAnyValue:StringNotLike",
		}
		if opposites[operator] == negation {
			not := statement("Allow", negation)
			require.NotNil(t, not)
			require.False(t, allowed && not.Evaluate(&r) == policy.Allow, "both hold")
			require.True(t, denied || statement("Deny", negation).Evaluate(&r) == policy.Deny || strings.HasPrefix(operator, "For"), "neither denies")
		}
	})
}

// FuzzVariable checks that a pattern with variables matches exactly what the equivalent regular expression does, in
// which the values are literal text.
func FuzzVariable(f *testing.F) {
	f.Add("/GET/${app:Text}/*", "*", "/GET/*/1")
	f.Add("/*${app:Text}${*}?${app:Text}*", "a?", "/xa?*ya?")
	f.Add("/${aws:username, 'a*'}${$}{app:Text}", "", "/a*${app:Text}")
	f.Fuzz(func(t *testing.T, pattern, value, s string) {
		if len(s) > 10_000 || strings.Count(pattern, "${") > 50 {
			return // the regular expression would be slow
		}
		p, err := policy.New(document("Allow", stage+"/"+pattern), own...)
		if err != nil {
			require.ErrorIs(t, err, policy.ErrInvalid)
			return
		}
		inserted := utf8.ValidString(value) && !strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }) && len(value) <= 2048
		variables := regexp.MustCompile(`(?i)\$\{app:text(?:, '.*?')?\}`)
		rest := variables.ReplaceAllString(pattern, "")
		rest = strings.NewReplacer("${*}", "", "${?}", "", "${$}", "").Replace(rest)
		if strings.Contains(rest, "${") || strings.ContainsAny(pattern, "'") {
			return // another variable
		}
		var expression strings.Builder
		for at := 0; at < len(pattern); {
			switch found := variables.FindStringIndex(pattern[at:]); {
			case found != nil && found[0] == 0:
				expression.WriteString(regexp.QuoteMeta(strings.ToValidUTF8(value, "")))
				at += found[1]
			case strings.HasPrefix(pattern[at:], "${"):
				expression.WriteString(regexp.QuoteMeta(pattern[at+2 : at+3]))
				at += len("${*}")
			case pattern[at] == '*':
				expression.WriteString(".*")
				at++
			case pattern[at] == '?':
				expression.WriteString(".")
				at++
			default:
				_, n := utf8.DecodeRuneInString(pattern[at:])
				expression.WriteString(regexp.QuoteMeta(pattern[at : at+n]))
				at += n
			}
		}
		if len(expression.String()) > 20_000 {
			return
		}
		want := regexp.MustCompile(`(?s)\A`+expression.String()+`\z`).MatchString(s) && (inserted || !variables.MatchString(pattern))
		r := policy.Request{Resource: stage + "/" + s, Values: map[string]any{"app:Text": value}}
		soon(t, func() { require.Equal(t, want, p.Evaluate(&r) == policy.Allow) })
	})
}

// FuzzMatch checks that a pattern allows and denies exactly what the equivalent regular expression matches. This must
// hold for a resource that is not UTF-8 as well: a dot in package regexp also matches one character, or one invalid
// byte.
func FuzzMatch(f *testing.F) {
	f.Add("/GET/loyalty/?", "/GET/loyalty/\u00e9")
	f.Add("/*a?b*", "/GET/\xff\xc3a\u20acb")
	f.Add("/*"+strings.Repeat("a?", 100)+"*?", "/"+strings.Repeat("\u20aca", 120))
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(s) > 10_000 {
			return // the regular expression would be slow
		}
		p, err := policy.New(document("Allow", stage+"/"+pattern))
		if err != nil {
			require.ErrorIs(t, err, policy.ErrInvalid)
			return
		}
		text := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
		want := regexp.MustCompile(`(?s)\A` + text + `\z`).MatchString(s)
		require.Equal(t, want, p.Evaluate(on(stage+"/"+s)) == policy.Allow)
		d := document("Allow", "*")
		d.Statement = append(d.Statement, document("Deny", stage+"/"+pattern).Statement...)
		for range 16 { // enough for an index by blocks
			d.Statement = append(d.Statement, document("Deny", "arn:x:x:::x").Statement...)
		}
		p, err = policy.New(d)
		require.NoError(t, err)
		require.Equal(t, want, p.Evaluate(on(stage+"/"+s)) == policy.Deny)
	})
}
