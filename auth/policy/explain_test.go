package policy_test

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// wild makes random documents and requests that have some of everything.
type wild struct{ *rand.Rand }

func (w wild) some(of ...string) string { return of[w.IntN(len(of))] }

func (w wild) condition() map[string]map[string][]string {
	c := map[string]map[string][]string{}
	for range w.IntN(3) {
		set := func(operator, key string, values ...string) { c[operator] = map[string][]string{key: values} }
		switch w.IntN(8) {
		case 0:
			set(w.some("StringEquals", "StringNotEquals", "StringLikeIfExists"), "aws:UserAgent", w.some("curl", "${aws:username}", "${aws:PrincipalTag/team, 'none'}"))
		case 1:
			set(w.some("IpAddress", "NotIpAddress"), "aws:SourceIp", "203.0.113.0/24")
		case 2:
			set(w.some("ForAllValues:StringLike", "ForAnyValue:StringNotLike"), "app:texts", w.some("a*", "b"), "c")
		case 3:
			set(w.some("NumericLessThan", "NumericGreaterThanEquals"), "app:number", "5")
		case 4:
			set("Null", w.some("app:bool", "aws:PrincipalTag/team", "app:binary"), w.some("true", "false"))
		case 5:
			set(w.some("DateLessThan", "DateGreaterThanIfExists"), w.some("aws:CurrentTime", "app:date"), "2026-01-01")
		case 6:
			set("Bool", w.some("app:bool", "aws:SecureTransport"), w.some("true", "false"))
		case 7:
			set(w.some("ArnLike", "ArnNotEquals"), "aws:PrincipalArn", "arn:aws:iam::*:user/${aws:username}")
		}
	}
	return c
}

func (w wild) policy(t *testing.T, principals bool) *policy.Policy {
	t.Helper()
	d := policy.Document{Version: "2012-10-17"}
	for range 1 + w.IntN(3) {
		s := policy.Statement{Effect: w.some("Allow", "Allow", "Deny"), Condition: w.condition()}
		actions := []string{w.some("*", "execute-api:*", "s3:*", "execute-api:invoke")}
		resources := []string{w.some("*", stage+"/GET/*", stage+"/?ET/a", stage+"/*/${aws:username}", "execute-api:/Prod/GET/a", "arn:aws:execute-api:us-*")}
		if w.IntN(4) == 0 {
			s.NotAction = actions
		} else {
			s.Action = actions
		}
		if w.IntN(4) == 0 {
			s.NotResource = resources
		} else {
			s.Resource = resources
		}
		who := map[string][]string{"AWS": {w.some("*", "123456789012", julian, "arn:aws:iam::123456789012:role/clerk", "arn:aws:iam::210987654321:user/maria")}}
		switch {
		case principals && w.IntN(4) == 0:
			s.NotPrincipal = who
		case principals && w.IntN(8) != 0:
			s.Principal = who
		}
		d.Statement = append(d.Statement, s)
	}
	p, err := policy.New(d, ownKeys...)
	require.NoError(t, err)
	return p
}

func (w wild) request() *policy.Request {
	r := &policy.Request{
		Resource:  stage + w.some("/GET/a", "/GET/julian", "/POST/a", "/GET/x\ny"),
		Principal: w.some("", julian, "arn:aws:sts::123456789012:assumed-role/clerk/julian", "arn:aws:iam::210987654321:user/maria", "nobody"),
		UserAgent: w.some("", "curl", "julian"), SecureTransport: w.IntN(2) == 0, Time: time.Unix(1_800_000_000, 0), Values: map[string]any{},
	}
	if w.IntN(2) == 0 {
		r.SourceIP = netip.MustParseAddr(w.some("203.0.113.7", "::ffff:203.0.113.7", "2001:db8::1"))
	}
	if w.IntN(2) == 0 {
		r.PrincipalTags = map[string]string{"Team": "none"}
	}
	for key, values := range map[string][]any{
		"app:number": {4.0, 5, "5"}, "app:texts": {[]string{}, []string{"ab", "c"}, []string{"b", "x"}}, "app:bool": {true, false},
		"app:date": {time.Unix(0, 0), time.Unix(1_800_000_000, 0)}, "app:binary": {[]byte{0}},
	} {
		if w.IntN(2) == 0 {
			r.Values[key] = values[w.IntN(len(values))]
		}
	}
	return r
}

// An explanation agrees with the evaluator: a statement applies if and only if all of its elements hold, and the
// statements that apply give the decision.
func TestExplanationAgrees(t *testing.T) {
	w := wild{rand.New(rand.NewPCG(23, 3))}
	applied := 0
	for range 2000 {
		p, r := w.policy(t, w.IntN(2) == 0), w.request()
		e := p.Explain(r)
		require.Equal(t, p.Evaluate(r), e.Decision)
		want := policy.NoMatch
		for i, s := range e.Steps {
			if strings.Contains(s.Path, "].") {
				continue
			}
			elements, conjunction := 0, true
			for _, next := range e.Steps[i+1:] {
				if !strings.HasPrefix(next.Path, s.Path+".") {
					break
				}
				elements++
				conjunction = conjunction && next.Holds
			}
			require.GreaterOrEqual(t, elements, 2)
			require.Equal(t, conjunction, s.Holds, "%v", e)
			if !s.Holds {
				continue
			}
			applied++
			want = max(want, map[string]policy.Decision{"Allow": policy.Allow, "Deny": policy.Deny}[s.Want[0]])
		}
		require.Equal(t, want, e.Decision, "%v", e)
		require.Equal(t, len(e.Steps), strings.Count(e.String(), "\n"), "a client's line break is no line of the text")
	}
	require.Greater(t, applied, 300)
}

// The explanation of a set has the steps of its policies, in the order of the fields, with their places in the set. In
// a resource policy, a statement that names no principal allows nobody, and the text says so.
func TestExplanationOfASet(t *testing.T) {
	set := policy.Set{
		Identity: []*policy.Policy{parsed(t, allowGET), nil, parsed(t, denyAdmin)}, Resource: parsed(t, allowAll),
		Session: []*policy.Policy{parsed(t, allowsNone)}, Boundary: parsed(t, allowGET),
	}
	e := set.Explain(&policy.Request{Resource: stage + "/GET/a", Principal: julian})
	require.Equal(t, policy.NoMatch, e.Decision)
	var paths []string
	for _, s := range e.Steps {
		if !strings.Contains(s.Path, "].A") && !strings.Contains(s.Path, "].R") {
			paths = append(paths, s.Path+map[bool]string{true: " yes", false: " no"}[s.Holds])
		}
	}
	require.Equal(t, []string{
		"Identity[0].Statement[0] yes", "Identity[2].Statement[0] no", "Resource.Statement[0] no", "Resource.Statement[0].Principal no",
		"Session[0].Statement[0] no", "Boundary.Statement[0] yes",
	}, paths)
	require.Contains(t, e.String(), "\nResource.Statement[0] Allow does not apply\n  no  Principal: "+julian+", want []\n")
	w := wild{rand.New(rand.NewPCG(23, 4))}
	for range 300 {
		set := policy.Set{Identity: []*policy.Policy{w.policy(t, false)}, Resource: w.policy(t, true)}
		r := w.request()
		require.Equal(t, set.Evaluate(r), set.Explain(r).Decision)
	}
}

// An explanation of a set says which policies have refused: a statement that applies may not be enough.
func TestExplanationSaysWhichPolicyRefuses(t *testing.T) {
	account := `"Principal":{"AWS":"123456789012"},"Action":"*","Resource":"*"}`
	everybody := `"Principal":"*","Action":"*","Resource":"*"}`
	for _, tt := range []struct {
		name, caller string
		set          policy.Set
		want         string
	}{
		{"allowed", julian, policy.Set{Identity: []*policy.Policy{parsed(t, allowAll)}}, ""},
		{"nothing", julian, policy.Set{}, "no statement of the identity-based policy allows it"},
		{"the account alone", julian, policy.Set{Resource: parsed(t, `{"Effect":"Allow",`+account)}, "no statement of the identity-based policy allows it"},
		{"session", julian, policy.Set{Identity: []*policy.Policy{parsed(t, allowAll)}, Session: []*policy.Policy{parsed(t, allowsNone)}}, "no statement of the session policy allows it"},
		{"boundary", julian, policy.Set{Identity: []*policy.Policy{parsed(t, allowAll)}, Boundary: parsed(t, allowsNone)}, "no statement of the permissions boundary allows it"},
		{"denial", julian, policy.Set{Identity: []*policy.Policy{parsed(t, allowAll)}, Resource: parsed(t, `{"Effect":"Deny",`+everybody)}, "a statement of the resource-based policy denies it"},
		{"another account", "arn:aws:iam::210987654321:user/maria", policy.Set{Identity: []*policy.Policy{parsed(t, allowAll)}}, "no statement of the resource-based policy allows it"},
		{"anonymous", "", policy.Set{}, "no statement of the resource-based policy allows it"},
	} {
		e := tt.set.Explain(&policy.Request{Resource: stage + "/GET/a", Principal: tt.caller})
		require.Equal(t, tt.want, e.Why, tt.name)
		require.Equal(t, tt.want == "", e.Decision == policy.Allow, tt.name)
		first, _, _ := strings.Cut(e.String(), "\n")
		require.Equal(t, strings.TrimSuffix(e.Decision.String()+": "+tt.want, ": "), first, tt.name)
	}
}

// What cannot be compared is told by its Go type, or as too large.
func TestExplanationTellsTheWrongType(t *testing.T) {
	type tier string
	p, err := policy.Parse([]byte(`{"Statement":`+condition("Allow", "StringEquals", "app:Tier", `"gold"`)+`}`), policy.Key{Name: "app:Tier", Type: "String"})
	require.NoError(t, err)
	for _, tt := range []struct {
		given any
		want  string
	}{
		{"gold", "app:Tier: gold, want"},
		{nil, "app:Tier: what cannot be compared, nil for a key of type String, want"},
		{tier("gold"), "app:Tier: what cannot be compared, a policy_test.tier for a key of type String, want"},
		{[]string{"gold"}, "app:Tier: what cannot be compared, a []string for a key of type String, want"},
		{strings.Repeat("g", 2049), "app:Tier: what cannot be compared, as it is too large, want"},
	} {
		e := p.Explain(&policy.Request{Resource: stage + "/GET/a", Values: map[string]any{"app:Tier": tt.given}})
		require.Contains(t, e.String(), tt.want)
	}
}

// A zero address is one that could not be parsed.
func TestExplanationTellsAZeroValue(t *testing.T) {
	p := parsed(t, condition("Allow", "NotIpAddress", "aws:VpcSourceIp", `"203.0.113.0/24"`))
	e := p.Explain(&policy.Request{Resource: stage + "/GET/a", Values: map[string]any{"aws:VpcSourceIp": netip.Addr{}}})
	require.Contains(t, e.String(), "no  NotIpAddress aws:VpcSourceIp: what cannot be compared, a zero netip.Addr for a key of type IPAddress, want")
}

// A gate explains what it decides, without telling anybody. What the policies do not decide is its error.
func TestGateExplains(t *testing.T) {
	c := byUser(parsed(t, allowGET+","+denyAdmin))
	c.AllowDespite = func(*http.Request, error) bool { t.Error("asked"); return true }
	g := newGate(t, c)
	for target, want := range map[string]policy.Decision{
		"GET /Prod/a": policy.Allow, "POST /Prod/a": policy.NoMatch, "GET /Prod/admin": policy.Deny, "HEAD /Prod/a": policy.NoMatch,
	} {
		method, path, _ := strings.Cut(target, " ")
		e, err := g.Explain(call(method, path))
		require.NoError(t, err)
		require.Equal(t, want, e.Decision, target)
		require.Contains(t, e.String(), "Identity[0].Statement[1] Deny")
	}
	_, err := g.Explain(httptest.NewRequest("GET", "/Prod/a", nil))
	require.ErrorIs(t, err, policy.ErrNoPrincipal)
	_, err = g.Explain(call("GET", "/Prod/a/../b"))
	require.ErrorIs(t, err, policy.ErrPath)
	_, err = (*policy.Gate)(nil).Explain(call("GET", "/"))
	require.ErrorIs(t, err, policy.ErrNotConfigured)
}

// What stands in the text is bounded and printable, whatever the client has sent.
func TestExplanationIsPrintable(t *testing.T) {
	p := parsed(t, condition("Allow", "StringEquals", "aws:UserAgent", `"curl"`))
	text := p.Explain(&policy.Request{Resource: stage + "/GET/\x1b[31m\nAllow", UserAgent: strings.Repeat("a", 2000)}).String()
	require.NotContains(t, text, "\x1b")
	require.NotContains(t, text, "\nAllow\n")
	require.Contains(t, text, "… (cut)")
	require.Less(t, len(text), 1500)
	require.Contains(t, p.Explain(&policy.Request{Resource: stage, UserAgent: strings.Repeat("a", 2049)}).String(), "what cannot be compared")
	require.Contains(t, p.Explain(&policy.Request{Resource: stage}).String(), "no  StringEquals aws:UserAgent: nothing, want [curl]")
	odd := condition("Allow", "Null", `aws:PrincipalTag/a\nStatement[9] Allow`, `"true"`)
	text = parsed(t, `{"Sid":"a\nStatement[8] Allow applies",`+odd[1:]).Explain(&policy.Request{Resource: stage}).String()
	require.Equal(t, 4, strings.Count(text, "\n"), text)
	require.Equal(t, "NoMatch", (*policy.Policy)(nil).Explain(&policy.Request{}).String())
}

// All steps of an explanation see one time, also if a second ends while it is made.
func TestExplanationSeesOneTime(t *testing.T) {
	t.Parallel() // it waits
	p := parsed(t, strings.TrimSuffix(strings.Repeat(condition("Allow", "NumericGreaterThan", "aws:EpochTime", `"0"`)+",", 50), ","))
	set := policy.Set{Identity: []*policy.Policy{p}}
	const around = 20 * time.Millisecond
	end := time.Now().Truncate(time.Second).Add(time.Second)
	time.Sleep(time.Until(end.Add(-around)))
	for time.Now().Before(end.Add(around)) {
		for _, e := range []policy.Explanation{p.Explain(&policy.Request{Resource: stage + "/GET/"}), set.Explain(&policy.Request{Resource: stage + "/GET/"})} {
			saw := map[string]bool{}
			for _, s := range e.Steps {
				if strings.HasSuffix(s.Path, "aws:EpochTime") {
					saw[s.Saw] = true
				}
			}
			require.Len(t, saw, 1)
		}
	}
}
