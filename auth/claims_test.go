package auth_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// tokenOf is a good token with more members, which are given as JSON.
func tokenOf(header, members string) string {
	return signedAs(signers()["EdDSA"], header, strings.TrimSuffix(goodClaims(nil), "}")+","+members+"}")
}

const edHeader = `{"alg":"EdDSA","kid":"k1"}`

// A claim that no rule uses may have any type. Its accessor and its rule then treat it as absent.
func TestUnusedClaimsMayHaveAnyType(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{ecIssuer()}})
	odd := []string{`null`, `true`, `0`, `-1.5e3`, `{}`, `{"a":1}`, `[]`, `[1]`, `["a",1]`, `[null]`, `[["a"]]`, `[{"a":"b"}]`, `99999999999999`}
	for _, row := range []struct {
		claim string
		also  []string // values that are odd for this claim only
		want  func(auth.Token) any
		rules auth.Rules
	}{
		{"jti", []string{`["a"]`}, func(k auth.Token) any { return k.JWTID }, auth.Rules{}},
		{"client_id", []string{`["a"]`}, func(k auth.Token) any { return k.Client }, auth.Rules{}},
		{"azp", []string{`["a"]`}, func(k auth.Token) any { return k.Client }, auth.Rules{}},
		{"token_use", []string{`["id"]`, `"other"`, `""`}, func(k auth.Token) any { return k.Use }, auth.Rules{TokenUse: "id"}},
		{"typ", []string{`["ID"]`, `"other"`, `""`}, func(k auth.Token) any { return k.Use }, auth.Rules{TokenUse: "id"}},
		{"username", []string{`["a"]`}, func(k auth.Token) any { return k.Username }, auth.Rules{}},
		{"cognito:username", []string{`["a"]`}, func(k auth.Token) any { return k.Username }, auth.Rules{}},
		{"scope", []string{`""`, `"  "`, `"\t"`, `["a b"]`, `[""]`}, func(k auth.Token) any { return k.Scopes() }, auth.Rules{AnyScope: []string{"a"}}},
		{"scp", []string{`""`, `["a b"]`}, func(k auth.Token) any { return k.Scopes() }, auth.Rules{AllScopes: []string{"a"}}},
		{"groups", nil, func(k auth.Token) any { return k.Groups() }, auth.Rules{AnyGroup: []string{"a"}}},
		{"cognito:groups", []string{`"a"`}, func(k auth.Token) any { return k.Groups() }, auth.Rules{AnyGroup: []string{"a"}}},
		{"auth_time", []string{`"2026-11-28T12:00:00.000Z"`, `"1"`, `1732800000000`, `[1]`, `-5`}, func(k auth.Token) any {
			return k.AuthTime.IsZero()
		}, auth.Rules{MaxAuthAge: 200_000 * time.Hour}},
		{"tid", nil, func(k auth.Token) any { return "" }, auth.Rules{}},
	} {
		for _, value := range append(row.also, odd...) {
			if row.claim == "auth_time" && value == `0` {
				continue // 1970
			}
			raw := tokenOf(edHeader, fmt.Sprintf("%q:%s", row.claim, value))
			got, err := v.VerifyToken(t.Context(), raw)
			require.NoError(t, err, "%s %s", row.claim, value)
			if list, ok := row.want(got).([]string); ok {
				require.Empty(t, list, "%s %s", row.claim, value)
			} else {
				require.Contains(t, []any{"", true}, row.want(got), "%s %s", row.claim, value)
			}
			if !isZero(row.rules) {
				require.Error(t, verify(must(v.With(row.rules)), raw), "%s %s under a rule", row.claim, value)
			}
		}
	}
}

func isZero(r auth.Rules) bool {
	return r.TokenUse == "" && r.AnyScope == nil && r.AllScopes == nil && r.AnyGroup == nil && r.MaxAuthAge == 0
}

// A sub that is not a string is treated as absent too: the token has no ID.
func TestSubjectOfAnotherTypeNamesNobody(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{ecIssuer()}})
	for _, value := range []string{`null`, `1`, `["s"]`, `{"s":1}`, `true`, `""`} {
		raw := signedAs(signers()["EdDSA"], edHeader, fmt.Sprintf(`{"iss":%q,"aud":%q,"exp":9999999999,"sub":%s}`, plain, client, value))
		got, err := v.VerifyToken(t.Context(), raw)
		require.NoError(t, err, value)
		require.Empty(t, got.Subject+got.ID, value)
	}
}

// Scopes are split at runs of blanks. A bad scp does not matter if there is a good scope.
func TestScopesAreSplitAtBlanks(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{ecIssuer()}})
	both := []string{"read", "write"}
	for members, want := range map[string][]string{
		`"scope":"read write"`:                      both,
		`"scope":"read  write"`:                     both,
		`"scope":" read   write "`:                  both,
		`"scope":"read\twrite"`:                     both,
		`"scope":"\r\n read \n\t write\n"`:          both,
		`"scope":"read\u0020\u0020write"`:           both,
		`"scope":["read","write"]`:                  both,
		`"scp":"read  write"`:                       both,
		`"scp":["read","write"]`:                    both,
		`"scope":"read write","scp":1`:              both,
		`"scope":"read write","scp":["admin",1]`:    both,
		`"scope":"read write","scp":["a b"]`:        both,
		`"scope":"read write","scp":"admin"`:        both,
		`"scp":{"a":1},"scope":"read write"`:        both,
		`"scp":["admin"],"scope":["read","write"]`:  both,
		`"scope":null,"scp":"read write"`:           both,
		`"scope":{"a":1},"scp":["read","write"]`:    both,
		`"scope":"read\u00a0write"`:                 {"read\u00a0write"}, // not a blank in JSON or RFC 6749
		`"scope":"readwrite"`:                       {"readwrite"},
		`"scope":"   "`:                             nil,
		`"scope":["read write"],"scp":["x","y",""]`: nil,
	} {
		raw := tokenOf(edHeader, members)
		got, err := v.VerifyToken(t.Context(), raw)
		require.NoError(t, err, members)
		require.Equal(t, want, got.Scopes(), members)
		for _, scope := range []string{"read", "write", "admin", "", " ", "read write"} {
			require.Equal(t, len(want) == 2 && (scope == "read" || scope == "write"), got.HasScope(scope), "%s %q", members, scope)
		}
	}
}

// Names are case-sensitive (RFC 7519 section 4). The name of a claim that decides must not occur in another letter case
// as well. Which claims decide depends on the rules in force.
func TestDecisiveNameInAnotherCaseIsRefused(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{ecIssuer()}})
	for _, members := range []string{
		`"userName":"ada"`, `"username":"a","userName":"b"`, `"role":"user","ROLE":"admin"`, `"Role":1,"role":2,"rOLE":3`, `"Groups":["a"]`,
		`"groups":["g"],"GROUPS":["admin"]`, `"scope":"a","Scope":"b"`, `"Client_Id":"x"`, `"AZP":1`, `"Token_Use":"id"`, `"SCP":1`, `"Auth_Time":"x"`,
		`"JTI":1,"jti":"j"`, `"Cognito:Groups":1`, `"ClientID":"x","clientid":"y"`, `"x":{"a":1,"A":2}`, `"x":[{"É":1,"é":2}]`, `"` + "\u017f" + `cope":"x"`,
		`"Typ":"x"`, `"TID":1`,
	} {
		raw := tokenOf(edHeader, members)
		require.NoError(t, verify(v, raw), members)
	}
	for _, name := range []string{"ISS", "Iss", "i\u017fs", "AUD", "Aud", "EXP", "eXp", "NBF", "IAT", `\u0049at`} {
		require.ErrorIs(t, verify(v, tokenOf(edHeader, `"`+name+`":1`)), auth.ErrMalformed, name)
	}
	for _, members := range []string{`"x":1,"x":1`, `"X":1,"X":1`, `"x":1,"\u0078":2`, `"x":{"a":1,"a":1}`, `"x":[{"É":1,"É":2}]`} {
		require.ErrorIs(t, verify(v, tokenOf(edHeader, members)), auth.ErrMalformed, members)
	}

	// Each of these would pass the rule without the other name.
	now := time.Now().Unix()
	for members, rules := range map[string]auth.Rules{
		`"token_use":"id","Token_Use":"access"`:            {TokenUse: "id"},
		`"typ":"ID","TYP":"Bearer"`:                        {TokenUse: "id"},
		`"scope":"a","SCOPE":"b"`:                          {AnyScope: []string{"a"}},
		`"scp":"a","Scope":"b"`:                            {AllScopes: []string{"a"}},
		`"scope":"a","` + "\u017f" + `cp":"b"`:             {AllScopes: []string{"a"}},
		`"groups":["a"],"Groups":["b"]`:                    {AnyGroup: []string{"a"}},
		fmt.Sprintf(`"auth_time":%d,"AUTH_TIME":1`, now-5): {MaxAuthAge: time.Hour},
	} {
		raw := tokenOf(edHeader, members)
		require.NoError(t, verify(v, raw), members)
		err := verify(must(v.With(rules)), raw)
		require.ErrorIs(t, err, auth.ErrMalformed, members)
		require.ErrorContains(t, err, "wrong case", members)
		other := must(v.With(auth.Rules{Check: rules.Check}))
		require.NoError(t, verify(other, raw), members)
	}
	is := ecIssuer()
	for _, claim := range []string{"cognito:groups", "roles", "Roles", "realm.roles"} {
		is.GroupsClaim = claim
		pool := must(newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}}).With(auth.Rules{AnyGroup: []string{"a"}}))
		member := map[string]string{
			"cognito:groups": `"cognito:groups":["a"]`, "roles": `"roles":["a"]`, "Roles": `"Roles":["a"]`, "realm.roles": `"realm":{"roles":["a"]}`,
		}[claim]
		other := map[string]string{
			"cognito:groups": `"COGNITO:groups":["b"]`, "roles": `"rOles":["b"]`, "Roles": `"roles":["b"]`, "realm.roles": `"Realm":{"roles":["b"]}`,
		}[claim]
		require.NoError(t, verify(pool, tokenOf(edHeader, member+`,"Groups":["b"]`)), "%s: another claim than the one in force", claim)
		require.ErrorIs(t, verify(pool, tokenOf(edHeader, member+","+other)), auth.ErrMalformed, claim)
	}
	is = ecIssuer()
	is.AllowClientID = true
	byClient := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
	noAud := `{"iss":"` + plain + `","exp":9999999999,"client_id":"` + client + `"`
	require.NoError(t, verify(byClient, signedAs(signers()["EdDSA"], edHeader, noAud+`}`)))
	require.ErrorIs(t, verify(byClient, signedAs(signers()["EdDSA"], edHeader, noAud+`,"Client_ID":"x"}`)), auth.ErrMalformed)
}

// RFC 9068 says what issuers put into access tokens. A missing claim is accepted, except for aud. A token without a
// subject was issued to its client, and its ID cannot be the ID of a subject.
func TestTokenWithoutSubjectHasTheIDOfItsClient(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{ecIssuer()}})
	make9068 := func(typ string, members string) string {
		return signedAs(signers()["EdDSA"], fmt.Sprintf(`{"alg":"EdDSA","kid":"k1","typ":%q}`, typ),
			fmt.Sprintf(`{"iss":%q,"aud":%q,"exp":9999999999%s}`, plain, client, members))
	}
	id := func(raw string) (string, bool) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+raw)
		got, err := v.Authenticate(r)
		require.NoError(t, err)
		return auth.ID(got)
	}
	for _, row := range []struct {
		typ, members, want string
	}{
		{"at+jwt", `,"client_id":"worker"`, plain + "\tworker"},
		{"application/at+jwt", `,"client_id":"worker"`, plain + "\tworker"},
		{"at+jwt", `,"client_id":"worker","jti":"j","iat":1`, plain + "\tworker"},
		{"at+jwt", `,"client_id":"worker","sub":""`, plain + "\tworker"},
		{"at+jwt", `,"client_id":"worker","sub":null`, plain + "\tworker"},
		{"at+jwt", `,"client_id":"worker","azp":"other"`, plain + "\tworker"},
		{"JWT", `,"client_id":"worker","token_use":"access"`, plain + "\tworker"},
		{"at+jwt", `,"client_id":"worker","sub":"u"`, plain + " u"},
		{"at+jwt", `,"sub":"u"`, plain + " u"},
		{"at+jwt", `,"client_id":"worker","sub":5`, ""},      // a subject that cannot be read
		{"at+jwt", `,"client_id":"worker","sub":{}`, ""},     //
		{"at+jwt", `,"client_id":7`, ""},                     //
		{"at+jwt", `,"client_id":""`, ""},                    //
		{"at+jwt", `,"azp":"worker"`, ""},                    // the party that a user's token was issued to
		{"at+jwt", ``, ""},                                   //
		{"JWT", `,"client_id":"worker"`, ""},                 // not known to be an access token
		{"JWT", `,"client_id":"w","token_use":"id"`, ""},     //
		{"at+jwt", `,"sub":"\tworker"`, plain + " \tworker"}, // no subject is a client
		{"at+jwt", `,"sub":"worker"`, plain + " worker"},
		{"at+jwt", `,"sub":" worker"`, plain + "  worker"},
	} {
		got, found := id(make9068(row.typ, row.members))
		require.Equal(t, row.want, got, row.members)
		require.Equal(t, row.want != "", found, row.members)
	}
	// A client and a subject never have the same ID, even with two issuers and any text.
	for _, text := range []string{"worker", " worker", "\tworker", plain + "\tworker", "client_id", "a b\tc"} {
		for _, other := range []string{"worker", " worker", "\tworker", plain + " worker", "client_id", "a b\tc"} {
			c, _ := id(make9068("at+jwt", `,"client_id":`+string(must(json.Marshal(text)))))
			s, _ := id(make9068("at+jwt", `,"sub":`+string(must(json.Marshal(other)))))
			require.NotEqual(t, c, s)
		}
	}
	for _, issuer := range []string{plain + "\tx", plain + " x"} {
		is := ecIssuer()
		is.URL = issuer
		_, err := auth.New(auth.Config{Issuers: []auth.Issuer{is}})
		require.Error(t, err, "no issuer holds what ends it in an ID")
	}
}

// A list may have as many names of usual length as fit into a token.
func TestLongListsAreRead(t *testing.T) {
	is := ecIssuer()
	is.GroupsClaim = "realm_access.roles"
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
	plainGroups := newVerifier(t, auth.Config{Issuers: []auth.Issuer{ecIssuer()}})
	for _, row := range []struct {
		n     int
		text  string
		token int // bytes, about
	}{
		{256, `"realm-%04d-manage"`, 7000},
		{300, `"realm-%04d-manage"`, 8000},
		{500, `"realm-%04d-manage"`, 13000},
		{550, `"realm-%04d-manage"`, 15000},
		{750, `"realm-%04d"`, 13500},
	} {
		list := strings.TrimSuffix(numbered(row.n, row.text+","), ",")
		for _, member := range []string{`"realm_access":{"roles":[%s]}`, `"x":[%s]`, `"groups":[%s]`, `"scp":[%s]`, `"cognito:groups":[%s]`} {
			raw := tokenOf(edHeader, fmt.Sprintf(member, list))
			require.InDelta(t, row.token, len(raw), float64(row.token)/8)
			got, err := v.VerifyToken(t.Context(), raw)
			require.NoError(t, err, "%d in %s", row.n, member)
			switch member[1] {
			case 'r':
				require.Len(t, got.Groups(), row.n)
			case 'g':
				got, err = plainGroups.VerifyToken(t.Context(), raw)
				require.NoError(t, err)
				require.Len(t, got.Groups(), row.n)
			case 's':
				require.Len(t, got.Scopes(), row.n)
			}
		}
		aud := fmt.Sprintf(`{"iss":%q,"exp":9999999999,"aud":[%s,%q]}`, plain, list, client)
		require.NoError(t, verify(v, signedAs(signers()["EdDSA"], edHeader, aud)), "aud of %d", row.n)
	}
}

// Claims may hold what the documentation says. Longer claims may hold less than shorter ones.
func TestDocumentedBoundsOnClaimsHold(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{ecIssuer()}})
	of := func(elements, members, size int) string {
		text := `"list":[` + strings.TrimSuffix(strings.Repeat(`"a",`, elements), ",") + `]` + numbered(members, `,"claim%03d":1`)
		have := len(goodClaims(nil)) + len(text)
		return tokenOf(edHeader, text+`,"pad":"`+strings.Repeat("x", max(size-have, 0))+`"`)
	}
	for _, row := range []struct {
		elements, members, size int
		want                    error
	}{
		{700, 14, 12_000, nil},
		{0, 200, 12_000, nil},
		{300, 110, 12_000, nil},
		{780, 14, 12_000, auth.ErrMalformed},
		{700, 60, 12_000, auth.ErrMalformed},
		{0, 249, 6000, nil},
		{1400, 60, 7000, nil},
		{700, 200, 6000, nil},
		{1000, 0, 4100, nil},
		{0, 256, 6000, auth.ErrMalformed},
		{2500, 0, 10_000, auth.ErrMalformed},
	} {
		raw := of(row.elements, row.members, row.size)
		require.LessOrEqual(t, len(raw), 16<<10)
		require.ErrorIs(t, verify(v, raw), row.want, "%+v", row)
	}

	// An administrator of many realms, with the roles of many clients and with escaped names outside ASCII.
	is := ecIssuer()
	is.GroupsClaim = "realm_access.roles"
	members := `"realm_access":{"roles":[` + numbered(255, `"realm-%04d-manage",`) + `"admin"]},"resource_access":{` +
		numbered(60, `"client-%02d":{"roles":["view","manage"]},`) + `"account":{"roles":[]}},"groups":["x"` + numbered(20, `,"\u0413\u0440\u0443\u043f\u043f\u0430 %d"`) + `]`
	got, err := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}}).VerifyToken(t.Context(), tokenOf(edHeader, members))
	require.NoError(t, err)
	require.Len(t, got.Groups(), 256)

	// The header is charged to the same budget.
	header := `{"alg":"EdDSA","kid":"k1"` + numbered(100, `,"n%02d":0`) + `}`
	with := func(elements int) string {
		return signedAs(signers()["EdDSA"], header, strings.TrimSuffix(goodClaims(nil), "}")+`,"x":[0`+strings.Repeat(`,0`, elements)+`],"pad":"`+strings.Repeat("x", 9800)+`"}`)
	}
	require.NoError(t, verify(v, with(300)))
	require.ErrorIs(t, verify(v, with(740)), auth.ErrMalformed)
}
