package policy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// FuzzParse checks three properties of an accepted document: json.Unmarshal accepts it too, writing and reading it
// again changes nothing, and with a statement added that denies everything, it denies.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`), stage)
	f.Add([]byte(`{"Version":"2008-10-17","Id":"i","Statement":[{"Sid":"s","Effect":"Deny","NotAction":["a:b"],"NotResource":["`+stage+`/*"]}]}`), stage+"/GET/")
	f.Add([]byte(`{"Statement":[{"Condition":{"a":[{}]}}],"Version":"x"}`), "")
	f.Fuzz(func(t *testing.T, data []byte, resource string) {
		p, err := policy.Parse(data)
		if err != nil {
			require.ErrorIs(t, err, policy.ErrInvalid)
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
		decision := p.Evaluate(policy.Invoke, resource)
		d.Statement = append(d.Statement, policy.Statement{Effect: "Deny", Action: []string{"*"}, Resource: []string{"*"}})
		denied, err := policy.New(d)
		if errors.Is(err, policy.ErrInvalid) {
			return // the statement added makes it too large
		}
		require.Equal(t, policy.Deny, denied.Evaluate(policy.Invoke, resource), "was %v", decision)
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
		require.Equal(t, want, p.Evaluate(policy.Invoke, stage+"/"+s) == policy.Allow)
		d := document("Allow", "*")
		d.Statement = append(d.Statement, document("Deny", stage+"/"+pattern).Statement...)
		for range 16 { // enough for an index by blocks
			d.Statement = append(d.Statement, document("Deny", "arn:x:x:::x").Statement...)
		}
		p, err = policy.New(d)
		require.NoError(t, err)
		require.Equal(t, want, p.Evaluate(policy.Invoke, stage+"/"+s) == policy.Deny)
	})
}
