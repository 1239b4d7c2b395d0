package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// linted returns the warnings about statements, without their messages.
func linted(t *testing.T, statements string) (warnings []string) {
	t.Helper()
	p, err := policy.Parse([]byte(strings.ReplaceAll(`{"Version":"2012-10-17","Statement":[`+statements+`]}`, "STAGE", stage)), ownKeys...)
	require.NoError(t, err)
	for _, w := range p.Lint() {
		require.Equal(t, w.Path+": "+w.Code+": "+w.Message, w.String())
		require.NotEmpty(t, w.Message)
		warnings = append(warnings, w.Path+" "+w.Code)
	}
	return warnings
}

// condition is a statement that allows all under one condition.
func condition(effect, operator, key, values string) string {
	return fmt.Sprintf(`{"Effect":%q,"Action":"execute-api:Invoke","Resource":"*","Condition":{%q:{%q:%s}}}`, effect, operator, key, values)
}

func TestLintWarns(t *testing.T) {
	for _, tt := range []struct {
		name, statements string
		want             []string
	}{
		{"nothing", allowGET + "," + denyAdmin, nil},
		{"redundant action", `{"Effect":"Allow","Action":["execute-api:Inv*","EXECUTE-API:invoke","execute-api:Manage*"],"Resource":"*"}`, []string{"Statement[0].Action[1] REDUNDANT_ACTION"}},
		{"the wider action comes later", `{"Effect":"Allow","Action":["execute-api:Invoke","*"],"Resource":"*"}`, []string{"Statement[0].Action[0] REDUNDANT_ACTION"}},
		{"the same action twice", `{"Effect":"Allow","Action":["execute-api:*","execute-api:*"],"Resource":"*"}`, []string{"Statement[0].Action[1] REDUNDANT_ACTION"}},
		{"the page's example of what is not redundant", `{"Effect":"Allow","Action":["execute-api:Inv*","execute-api:*oke"],"Resource":"*"}`, nil},
		{"redundant resource", `{"Effect":"Allow","Action":"*","Resource":["STAGE/GET/jane*","STAGE/GET/jane-admin","STAGE/GET/j?ne-x"]}`, []string{"Statement[0].Resource[1] REDUNDANT_RESOURCE"}},
		{"redundant by an early end", `{"Effect":"Allow","Action":"*","Resource":["STAGE/GET/a","arn:aws:execute-api:eu-*"]}`, []string{"Statement[0].Resource[0] REDUNDANT_RESOURCE"}},
		{"an early end with another region", `{"Effect":"Allow","Action":"*","Resource":["STAGE/GET/a","arn:aws:execute-api:us-*"]}`, nil},
		{"a question mark is one character", `{"Effect":"Allow","Action":"*","Resource":["STAGE/GET/a?","STAGE/GET/ab*"]}`, nil},
		{"a variable has any length", `{"Effect":"Allow","Action":"*","Resource":["STAGE/GET/????????????????","STAGE/GET/${aws:username}"]}`, nil},
		{"an asterisk in a default is an asterisk", `{"Effect":"Allow","Action":"*","Resource":["STAGE/GET/${aws:username, 'a}*'}","STAGE/GET/${aws:username, 'a}b'}"]}`, nil},
		{"an asterisk covers a variable", `{"Effect":"Allow","Action":"*","Resource":["STAGE/GET/*","STAGE/GET/${aws:username}"]}`, []string{"Statement[0].Resource[1] REDUNDANT_RESOURCE"}},
		{"redundant in the short form", `{"Effect":"Allow","Action":"*","Resource":["execute-api:/Prod/*","execute-api:/Prod/GET/a:b"]}`, []string{"Statement[0].Resource[1] REDUNDANT_RESOURCE"}},
		{"a colon in the short form", `{"Effect":"Allow","Action":"*","Resource":["execute-api:/Prod/GET/a:b","execute-api:/Prod/GET/a:b:c"]}`, nil},
		{"two forms", `{"Effect":"Allow","Action":"*","Resource":["execute-api:/Prod/*","STAGE/GET/a"]}`, nil},
		{"redundant NotResource", `{"Effect":"Deny","Action":"*","NotResource":["STAGE/GET/*","STAGE/GET/a"]}`, []string{"Statement[0].NotResource[1] REDUNDANT_RESOURCE"}},
		{"the same Sid", `{"Sid":"A",` + allowGET[1:] + `,{"Sid":"A",` + denyAdmin[1:], []string{"Statement[1].Sid UNIQUE_SIDS_RECOMMENDED"}},
		{"no Sid is no Sid twice", `{"Sid":"",` + allowGET[1:] + `,{"Sid":"",` + denyAdmin[1:], nil},
		{"the same statement", allowGET + "," + allowGET, []string{"Statement[1] REDUNDANT_STATEMENT"}},
		{"a narrower statement", `{"Effect":"Allow","Action":"execute-api:Invoke","Resource":"STAGE/GET/a"},` + allowGET, []string{"Statement[0] REDUNDANT_STATEMENT"}},
		{"a condition narrows", condition("Allow", "Bool", "aws:SecureTransport", `"true"`) + "," + allowAll, []string{"Statement[0] REDUNDANT_STATEMENT"}},
		{"a condition does not widen", condition("Deny", "Bool", "aws:SecureTransport", `"false"`) + "," + allowAll, nil},
		{"another condition", condition("Allow", "Bool", "aws:SecureTransport", `"true"`) + "," + condition("Allow", "IpAddress", "aws:SourceIp", `"203.0.113.0/24"`), nil},
		{"another principal", `{"Principal":{"AWS":"123456789012"},` + allowGET[1:] + `,{"Principal":{"AWS":"210987654321"},` + allowGET[1:], nil},
		{"everybody", `{"Principal":"*",` + allowGET[1:] + `,{"Principal":{"AWS":"210987654321"},` + allowGET[1:], []string{"Statement[1] REDUNDANT_STATEMENT"}},
		{"unreachable by a denial", allowGET + `,{"Effect":"Deny","Action":"*","Resource":"*"}`, []string{"Statement[0] unreachable"}},
		{"reachable under a condition", allowGET + "," + condition("Deny", "Bool", "aws:SecureTransport", `"false"`), nil},
		{"reachable by others", allowGET + `,{"Principal":{"AWS":"210987654321"},"Effect":"Deny","Action":"*","Resource":"*"}`, nil},
		{"unreachable by its action", `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`, []string{"Statement[0] unreachable"}},
		{"unreachable by its NotAction", `{"Effect":"Deny","NotAction":"execute-api:*","Resource":"*"}`, []string{"Statement[0] unreachable"}},
		{"unreachable by its resource", `{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::bucket"}`, []string{"Statement[0] unreachable"}},
		{"allow with NotPrincipal", `{"NotPrincipal":{"AWS":"210987654321"},` + allowGET[1:], []string{"Statement[0].NotPrincipal ALLOW_WITH_NOT_PRINCIPAL"}},
		{"allow with NotAction and a wildcard", `{"Effect":"Allow","NotAction":"execute-api:ManageConnections","Resource":"STAGE/*"}`, []string{"Statement[0].NotAction allow_with_not_action"}},
		{"allow with NotAction without a wildcard", `{"Effect":"Allow","NotAction":"execute-api:ManageConnections","Resource":"STAGE/GET/a"}`, nil},
		{"allow with NotResource", `{"Effect":"Allow","Action":"*","NotResource":"STAGE/DELETE/*"}`, []string{"Statement[0].NotResource allow_with_not_resource"}},
		{"empty condition", `{"Condition":{},` + allowGET[1:], []string{"Statement[0].Condition EMPTY_OBJECT_CONDITION"}},
		{"empty operator", `{"Condition":{"StringEquals":{}},` + allowGET[1:], []string{"Statement[0].Condition EMPTY_OBJECT_CONDITION"}},
		{"ForAllValues of one value", condition("Deny", "ForAllValues:StringEquals", "app:text", `["a","b"]`), []string{"Statement[0].Condition.ForAllValues:StringEquals.app:text FORALLVALUES_WITH_SINGLE_VALUED_KEY"}},
		{"ForAllValues of an array that denies", condition("Deny", "ForAllValues:StringEquals", "app:texts", `["a","b"]`), nil},
		{"ForAllValues of an array that allows", condition("Allow", "ForAllValues:StringEquals", "app:texts", `["a","b"]`), []string{"Statement[0].Condition.ForAllValues:StringEquals.app:texts allows_if_absent"}},
		{"ForAnyValue", condition("Allow", "ForAnyValue:StringEquals", "app:texts", `["a","b"]`), nil},
		{"a negation that allows", condition("Allow", "StringNotEquals", "app:text", `"a"`), []string{"Statement[0].Condition.StringNotEquals.app:text allows_if_absent"}},
		{"a negation that denies", condition("Deny", "StringNotEquals", "app:text", `"a"`), nil},
		{"IfExists that allows", condition("Allow", "BoolIfExists", "app:bool", `"true"`), []string{"Statement[0].Condition.BoolIfExists.app:bool allows_if_absent"}},
		{"ForAnyValue with IfExists, which allows nothing if the key is absent", condition("Allow", "ForAnyValue:StringEqualsIfExists", "app:texts", `"a"`), nil},
		{"a negation with Null", `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"app:text":"a"},"Null":{"APP:Text":"false"}}}`, nil},
		{"a key of every request", condition("Allow", "DateNotEquals", "aws:CurrentTime", `"2026-01-01T00:00:00Z"`), nil},
		{"wildcard without Like", condition("Allow", "StringEquals", "aws:UserAgent", `["curl","curl/*"]`), []string{"Statement[0].Condition.StringEquals.aws:UserAgent[1] WILDCARD_WITHOUT_LIKE_OPERATOR"}},
		{"wildcard by its variable", condition("Allow", "StringEquals", "aws:UserAgent", `"curl/${*}"`), nil},
		{"wildcard with Like", condition("Allow", "StringLike", "aws:UserAgent", `"curl/*"`), nil},
		{"bits after the prefix", condition("Allow", "IpAddress", "aws:SourceIp", `["203.0.113.0/24","203.0.113.7/24","2001:db8::1/32"]`), []string{
			"Statement[0].Condition.IpAddress.aws:SourceIp[1] IMPROVE_IP_RANGE", "Statement[0].Condition.IpAddress.aws:SourceIp[2] IMPROVE_IP_RANGE",
		}},
		{"several bounds", condition("Allow", "NumericLessThan", "aws:MultiFactorAuthAge", `["2700","3600"]`), []string{"Statement[0].Condition.NumericLessThan.aws:MultiFactorAuthAge REDUNDANT_CONDITION_VALUE_NUM"}},
		{"several numbers", condition("Allow", "NumericEquals", "aws:MultiFactorAuthAge", `["2700","3600"]`), nil},
	} {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, linted(t, tt.statements)) })
	}
}

// Messages name what is to be done: the other statement, the bound that decides, the network that is meant.
func TestLintSaysWhatToDo(t *testing.T) {
	for statements, want := range map[string]string{
		allowGET + "," + allowGET: "Statement[0] says the same",
		condition("Allow", "NumericLessThanEquals", "aws:MultiFactorAuthAge", `["2700","3600","900"]`): "of several values only 3600 decides",
		condition("Allow", "NumericGreaterThan", "aws:MultiFactorAuthAge", `["2700","3600","900"]`):    "of several values only 900 decides",
		condition("Allow", "IpAddress", "aws:SourceIp", `"203.0.113.7/24"`):                            "write 203.0.113.0/24",
	} {
		p := parsed(t, statements)
		require.Len(t, p.Lint(), 1)
		require.Contains(t, p.Lint()[0].Message, want)
	}
	old, err := policy.New(document("Allow", stage+"/GET/*"))
	require.NoError(t, err)
	require.Empty(t, old.Lint())
	old, err = policy.Parse([]byte(`{"Statement":` + strings.ReplaceAll(allowGET, "STAGE", stage) + `}`))
	require.NoError(t, err)
	require.Equal(t, "Version: MISSING_VERSION: without it the version is 2008-10-17, which has no policy variables: write 2012-10-17", old.Lint()[0].String())
	require.Nil(t, (*policy.Policy)(nil).Lint())
}

// What Lint calls redundant can be left out: no request is then decided otherwise.
func TestRedundantPartsCanBeLeftOut(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 23))
	some := func(of ...string) string { return of[random.IntN(len(of))] }
	pattern := func() string {
		if random.IntN(8) == 0 {
			return some("*", "arn:aws:execute-api:eu-*", "arn:aws:execute-api:*", "arn:aws:execute-api:*:*:*b*", "arn:*:execute-api:eu-west-?:123456789012:*", "execute-api:/*", "execute-api:/Prod/GET/a:b", "execute-api:/Prod/GET/a:b:*", "execute-api:/Prod/*/a")
		}
		var s strings.Builder
		s.WriteString(stage + "/GET/")
		for range random.IntN(5) {
			s.WriteString(some("a", "b", "*", "?", ":", "${aws:username}"))
		}
		return s.String()
	}
	redundant := 0
	for range 1500 {
		d := policy.Document{Version: "2012-10-17"}
		for range 1 + random.IntN(3) {
			s := policy.Statement{Effect: some("Allow", "Deny"), Action: []string{some("*", "execute-api:*", "execute-api:Invoke", "s3:*")}}
			for range 1 + random.IntN(3) {
				s.Resource = append(s.Resource, pattern())
			}
			if random.IntN(3) == 0 {
				s.Condition = map[string]map[string][]string{"Bool": {"aws:SecureTransport": {some("true", "false")}}}
			}
			d.Statement = append(d.Statement, s)
		}
		p, err := policy.New(d)
		require.NoError(t, err)
		for _, w := range p.Lint() {
			shorter, ok := without(t, d, w)
			if !ok {
				continue
			}
			redundant++
			for range 30 {
				r := policy.Request{Resource: stage + "/GET/", Principal: julian, SecureTransport: random.IntN(2) == 0}
				for range random.IntN(5) {
					r.Resource += some("a", "b", ":", "julian", "é")
				}
				require.Equal(t, p.Evaluate(&r), shorter.Evaluate(&r), "%v of %+v for %s", w, d, r.Resource)
			}
		}
	}
	require.Greater(t, redundant, 200)
}

// without returns the policy of d without what a warning is about, and whether it is about what can be left out.
func without(t *testing.T, d policy.Document, w policy.Warning) (*policy.Policy, bool) {
	t.Helper()
	text, err := json.Marshal(d)
	require.NoError(t, err)
	var shorter policy.Document
	require.NoError(t, json.Unmarshal(text, &shorter))
	var i, j int
	switch w.Code {
	case "REDUNDANT_RESOURCE":
		_, err = fmt.Sscanf(w.Path, "Statement[%d].Resource[%d]", &i, &j)
		require.NoError(t, err)
		list := &shorter.Statement[i].Resource
		*list = append((*list)[:j], (*list)[j+1:]...)
	case "REDUNDANT_STATEMENT", "unreachable":
		_, err = fmt.Sscanf(w.Path, "Statement[%d]", &i)
		require.NoError(t, err)
		shorter.Statement = append(shorter.Statement[:i], shorter.Statement[i+1:]...)
		if len(shorter.Statement) == 0 { // a document needs one
			shorter.Statement = []policy.Statement{{Effect: "Allow", Action: []string{"s3:*"}, Resource: []string{"*"}}}
		}
	default:
		return nil, false
	}
	p, err := policy.New(shorter)
	require.NoError(t, err)
	return p, true
}
