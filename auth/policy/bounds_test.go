package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// A document of thousands of mistakes has an error of a hundred and the number of the others.
func TestMistakesAreBounded(t *testing.T) {
	_, err := policy.Parse([]byte(`{"Statement":{"Effect":"Allow","Action":"*","Resource":[` + strings.Repeat(`"",`, 3000) + `""]}}`))
	require.ErrorIs(t, err, policy.ErrInvalid)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 101)
	require.Equal(t, `policy: invalid policy document: Statement[0].Resource[99]: "" is not an ARN`, lines[99])
	require.Equal(t, `policy: invalid policy document: 2901 more mistakes`, lines[100])
}

// A name that is long stands in a path in short.
func TestLongNamesAreCut(t *testing.T) {
	var keys []string
	for i := range 50 {
		keys = append(keys, fmt.Sprintf(`"k%d":"x"`, i))
	}
	_, err := policy.Parse([]byte(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","` + strings.Repeat("é", 4000) + `":1,
		"Condition":{"StringEquals":{` + strings.Join(keys, ",") + `}}}}`))
	require.ErrorIs(t, err, policy.ErrInvalid)
	require.Less(t, len(err.Error()), 10_000)
	require.ErrorContains(t, err, `Statement[0]."`+strings.Repeat("é", 50)+`…": unknown element`)
}

// Patterns that take longer for longer values of a request are bounded in number.
func TestCostlyPatternsAreBounded(t *testing.T) {
	list := func(n int, text string) []string {
		return strings.Split(strings.TrimSuffix(strings.Repeat(text+"|", n), "|"), "|")
	}
	for operator, value := range map[string]string{"StringEquals": "${app:Text}", "StringLike": "${app:Text}*", "ForAnyValue:StringLike": "a*"} {
		key := "aws:UserAgent"
		if strings.HasPrefix(operator, "For") {
			key = "app:Texts"
		}
		for n, want := range map[int]string{50: "", 51: "policy: invalid policy document: Statement: 101 patterns with variables, or with wildcards or IgnoreCase for a key of several values, at most 100"} {
			d := policy.Document{Version: "2012-10-17", Statement: []policy.Statement{{
				Effect: "Allow", Action: []string{"*"}, Resource: list(50, "execute-api:/${app:Text}"),
				Condition: map[string]map[string][]string{operator: {key: list(n, value)}},
			}}}
			_, err := policy.New(d, own...)
			if want == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, want)
			}
		}
	}
	for n, ok := range map[int]bool{33: true, 34: false} {
		for key, value := range map[string]string{"aws:UserAgent": "${app:Text}", "app:Texts": "É"} {
			operator := map[string]string{"aws:UserAgent": "StringEqualsIgnoreCase", "app:Texts": "ForAnyValue:StringEqualsIgnoreCase"}[key]
			_, err := policy.New(policy.Document{Version: "2012-10-17", Statement: []policy.Statement{{
				Effect: "Allow", Action: []string{"*"}, Resource: []string{"*"},
				Condition: map[string]map[string][]string{operator: {key: list(n, value)}},
			}}}, own...)
			require.Equal(t, ok, err == nil, "%d of %s", n, operator)
		}
	}
	// Without variables and lists of values only the size of the document counts.
	_, err := policy.New(policy.Document{Statement: []policy.Statement{{
		Effect: "Allow", Action: []string{"*"}, Resource: []string{"*"}, Condition: map[string]map[string][]string{
			"StringLike": {"aws:UserAgent": list(1000, "*a?b*")}, "ForAnyValue:StringEquals": {"app:Texts": list(1000, "a")},
		},
	}}}, own...)
	require.NoError(t, err)
}

// Brackets within brackets do not make the reader call itself.
func TestDeepNestingIsSkipped(t *testing.T) {
	const depth = 5000
	_, err := policy.Parse([]byte(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","x":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `,"y":1}}`))
	require.ErrorContains(t, err, "Statement[0].x: unknown element")
	require.ErrorContains(t, err, "Statement[0].y: unknown element")
}

// A mistake in the form does not hide those in the values, and makes no others.
func TestParseReportsEveryMistake(t *testing.T) {
	_, err := policy.Parse([]byte(`{
		"Version": "2012-10-18", "Version": "2012-10-17", "Extra": {"a": [1]},
		"Statement": [
			{"Effect": "allow", "Action": 1, "Resource": "x", "Condition": {"Bool": {"aws:SecureTransport": "maybe"}, "Equals": {"a": "b"}}},
			null,
			{"Effect": "Deny", "Principal": {"AWS": ["*", "x"], "Other": "y"}, "NotAction": [], "Resource": ["*", null, "y"], "Condition": {"IpAddress": {"aws:SourceIp": [{}, "::1", "1"]}}}
		]
	}`))
	require.ErrorIs(t, err, policy.ErrInvalid)
	require.Equal(t, []string{
		`Version: occurs twice`,
		`Extra: unknown element`,
		`Statement[0].Action[0]: found 1, expected a string`,
		`Statement[1]: found null, expected an object`,
		`Statement[2].NotAction: empty`,
		`Statement[2].Resource[1]: found null, expected a string`,
		`Statement[2].Condition.IpAddress.aws:SourceIp[0]: found {, expected a string, a number or a boolean`,
		`Version: "2012-10-18" is neither 2012-10-17 nor 2008-10-17`,
		`Statement[0].Effect: "allow" is neither Allow nor Deny`,
		`Statement[0].Condition.Bool.aws:SecureTransport[0]: "maybe" is neither true nor false`,
		`Statement[0].Condition.Equals: unknown operator "Equals"`,
		`Statement[0].Resource[0]: "x" is not an ARN`,
		`Statement[2].Principal.AWS[1]: "x" is neither "*", an account nor the ARN of a principal`,
		`Statement[2].Principal.Other[0]: "y" is of the unknown kind "Other"`,
		`Statement[2].Condition.IpAddress.aws:SourceIp[2]: "1" is neither an address nor a network`,
		`Statement[2].Resource[2]: "y" is not an ARN`,
	}, strings.Split(strings.ReplaceAll(err.Error(), "policy: invalid policy document: ", ""), "\n"))
}
