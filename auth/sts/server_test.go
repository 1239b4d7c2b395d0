package sts_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/auth/sts"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
)

const noRole = "User: " + julian + " is not authorized to perform: sts:AssumeRole on resource: "

// A caller whom the trust policy names gets credentials that verify.
func TestRoleIsAssumed(t *testing.T) {
	w := newWorld(t, nil)
	got := w.assume(t, permanent("AKIDJULIAN"), points, "SourceIdentity", "julian@example.com", "DurationSeconds", "7200",
		"Tags.member.1.Key", "team", "Tags.member.1.Value", "loyalty", "Policy", `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	s := w.session(t, got)
	require.Equal(t, "arn:aws:sts::123456789012:assumed-role/Points/mobile", s.Principal, "without the path of the role")
	require.Equal(t, []string{points, "julian@example.com"}, []string{s.Role, s.SourceIdentity})
	require.Equal(t, map[string]string{"team": "loyalty"}, s.Tags)
	require.Contains(t, s.Policy, `"Effect":"Allow"`)
	require.WithinDuration(t, time.Now().Add(2*time.Hour), s.Expires, 5*time.Second)

	require.Equal(t, s.Principal, got.Role.AssumedRoleUser.Arn)
	require.Regexp(t, "^AROA[A-Z2-7]{17}:mobile$", got.Role.AssumedRoleUser.AssumedRoleId)
	require.Equal(t, s.Expires.Format(time.RFC3339), got.Role.Credentials.Expiration)
	require.Equal(t, "julian@example.com", got.Role.SourceIdentity)
	require.Positive(t, got.Role.PackedPolicySize)
	require.NotEmpty(t, got.MetadataID)
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))

	who := w.call(t, got.credentials(), "GetCallerIdentity")
	require.Equal(t, [3]string{s.Principal, got.Role.AssumedRoleUser.AssumedRoleId, "123456789012"},
		[3]string{who.Identity.Arn, who.Identity.UserId, who.Identity.Account}, who.body)
}

func TestCallerLearnsWhoItIs(t *testing.T) {
	w := newWorld(t, nil)
	got := w.call(t, permanent("AKIDJULIAN"), "GetCallerIdentity")
	require.Equal(t, julian, got.Identity.Arn, got.body)
	require.Regexp(t, "^AIDA[A-Z2-7]{17}$", got.Identity.UserId)
	require.Equal(t, "AKIDNOBODY", w.call(t, permanent("AKIDNOBODY"), "GetCallerIdentity").Identity.Arn)

	// By a presigned URL, as aws-iam-authenticator asks.
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Region: "eu-west-1", Service: "sts",
		Credentials: func(context.Context) (sigv4.Credentials, error) { return permanent("AKIDJULIAN"), nil },
	})
	require.NoError(t, err)
	for _, tt := range []struct{ action, code string }{{"GetCallerIdentity", ""}, {"AssumeRole", "InvalidAction"}} {
		r := httptest.NewRequest(http.MethodGet, "/?"+params(tt.action), nil)
		signed, err := signer.Presign(r, time.Minute)
		require.NoError(t, err)
		got = answer(t, w.server, httptest.NewRequest(http.MethodGet, strings.TrimPrefix(signed, "https://example.com"), nil))
		require.Equal(t, tt.code, got.Error.Code, got.body)
	}
}

// Nobody assumes a role whose trust policy does not name them, and nobody learns which roles there are.
func TestRoleMayNotBeAssumedByOthers(t *testing.T) {
	w := newWorld(t, nil)
	for _, role := range []string{audit, vendor, account + "role/Absent", "arn:aws:iam::999999999999:role/team/Points", account + "role/Points"} {
		requireRefused(t, w.assume(t, permanent("AKIDJULIAN"), role), 403, "AccessDenied", noRole+role)
		requireRefused(t, w.assume(t, permanent("AKIDJULIAN"), role, "DurationSeconds", "43200"), 403, "AccessDenied", noRole+role)
	}
	requireRefused(t, w.assume(t, permanent("AKIDPARTNER"), points), 403, "AccessDenied",
		"User: "+partner+" is not authorized to perform: sts:AssumeRole on resource: "+points)
	// A key without a principal is a caller, not somebody without credentials: its policies must allow as well.
	requireRefused(t, trusting(t, allow(`{"AWS":"*"}`, everything, "")).assume(t, permanent("AKIDNOBODY"), points), 403, "AccessDenied",
		"User: AKIDNOBODY is not authorized to perform: sts:AssumeRole on resource: "+points)
}

// The client learns nothing more, but the log tells the operator why no trust policy can name the caller.
func TestLogTellsThatAPrincipalIsNoARN(t *testing.T) {
	for id, want := range map[string]bool{"AKIDNOBODY": true, "AKIDPARTNER": false} {
		var told error
		w := newWorld(t, func(c *sts.Config) { c.Observe = func(_ context.Context, e auth.Event) { told = e.Err } })
		got := w.assume(t, permanent(id), points)
		require.NotContains(t, got.body, "no ARN")
		require.ErrorIs(t, told, sts.ErrRefused)
		require.Equal(t, want, strings.Contains(told.Error(), "the Principal of its access key is no ARN"), told)
	}
}

// A deputy that is used for somebody else has not the external id.
func TestConfusedDeputyIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	denied := "User: " + partner + " is not authorized to perform: sts:AssumeRole on resource: " + vendor
	requireRefused(t, w.assume(t, permanent("AKIDPARTNER"), vendor), 403, "AccessDenied", denied)
	for _, wrong := range []string{"ticket-8", "TICKET-7", "ticket-77", "ticket-"} {
		requireRefused(t, w.assume(t, permanent("AKIDPARTNER"), vendor, "ExternalId", wrong), 403, "AccessDenied", denied)
	}
	w.session(t, w.assume(t, permanent("AKIDPARTNER"), vendor, "ExternalId", "ticket-7"))
	alone := newWorld(t, func(c *sts.Config) { c.Policies = nil })
	requireRefused(t, alone.assume(t, permanent("AKIDPARTNER"), vendor, "ExternalId", "ticket-7"), 403, "AccessDenied", denied)
}

// A session assumes the next role for one hour at most, keeps its source identity, and stays within its policy.
func TestChainedSessions(t *testing.T) {
	w := newWorld(t, nil)
	first := w.assume(t, permanent("AKIDJULIAN"), points, "SourceIdentity", "julian", "Tags.member.1.Key", "team", "Tags.member.1.Value", "a")
	s := w.session(t, w.assume(t, first.credentials(), audit, "DurationSeconds", "3600"))
	require.Equal(t, []string{audit, "julian"}, []string{s.Role, s.SourceIdentity})
	require.Empty(t, s.Tags)
	requireRefused(t, w.assume(t, first.credentials(), audit, "DurationSeconds", "3601"), 400, "ValidationError",
		"The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	session := first.Role.AssumedRoleUser.Arn
	requireRefused(t, w.assume(t, first.credentials(), audit, "SourceIdentity", "another"), 403, "AccessDenied",
		"User: "+session+" is not authorized to perform: sts:SetSourceIdentity on resource: "+audit)
	requireRefused(t, w.assume(t, first.credentials(), points), 403, "AccessDenied",
		"User: "+session+" is not authorized to perform: sts:AssumeRole on resource: "+points)

	for policy, want := range map[string]int{
		`{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"` + audit + `"}}`:                            200,
		`{"Statement":{"Effect":"Allow","Action":"execute-api:Invoke","Resource":"*"}}`:                                    403,
		`{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"` + points + `"}}`:                           403,
		`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"sts:*","Resource":"*"}]}`: 403,
	} {
		narrow := w.assume(t, permanent("AKIDJULIAN"), points, "Policy", policy)
		require.Equal(t, want, w.assume(t, narrow.credentials(), audit).status, policy)
	}
}

// A session of another key source is one as well.
func TestChainOfAnotherKeySource(t *testing.T) {
	w := newWorld(t, nil)
	require.Equal(t, audit, w.session(t, w.assume(t, permanent("ASIAELSE"), audit)).Role)
	requireRefused(t, w.assume(t, permanent("ASIAELSE"), audit, "DurationSeconds", "3601"), 400, "ValidationError",
		"The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
}

// What a session has that another issuer made, and this server cannot read, allows nothing.
func TestSessionWithAnUnknownPolicyAllowsNothing(t *testing.T) {
	w := newWorld(t, nil)
	c, err := w.sessions.Issue(session.Session{
		Principal: "arn:aws:sts::123456789012:assumed-role/Points/x", Role: points, Policy: "{", Expires: time.Now().Add(time.Hour),
	})
	require.NoError(t, err)
	requireRefused(t, w.assume(t, c, audit), 403, "AccessDenied", "Access denied.")
}

func TestSessionTokensAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		mine, yours := w.assume(t, permanent("AKIDJULIAN"), points).credentials(), w.assume(t, permanent("AKIDJULIAN"), points).credentials()
		const invalid = "The security token included in the request is invalid."
		for name, edit := range map[string]func(*sigv4.Credentials){
			"forged":       func(c *sigv4.Credentials) { c.SessionToken = c.SessionToken[:len(c.SessionToken)-4] + "AAAA" },
			"swapped":      func(c *sigv4.Credentials) { c.SessionToken = yours.SessionToken },
			"left out":     func(c *sigv4.Credentials) { c.SessionToken = "" },
			"another's id": func(c *sigv4.Credentials) { c.AccessKeyID = "AKIDJULIAN" },
			"another's key": func(c *sigv4.Credentials) {
				*c, _ = newSessions(t, 9).Issue(session.Session{Principal: julian, Expires: time.Now().Add(time.Hour)})
			},
			"5 000 bytes": func(c *sigv4.Credentials) { c.SessionToken = sigv4.Secret("TGs1." + strings.Repeat("A", 5000)) },
		} {
			c := mine
			edit(&c)
			got := w.call(t, c, "GetCallerIdentity")
			requireRefused(t, got, 403, "InvalidClientTokenId", invalid)
			t.Log(name)
		}
		stolen := mine
		stolen.Secret = yours.Secret
		require.Equal(t, "SignatureDoesNotMatch", w.call(t, stolen, "GetCallerIdentity").Error.Code)
		require.Equal(t, 200, w.call(t, mine, "GetCallerIdentity").status)
		time.Sleep(time.Hour)
		requireRefused(t, w.call(t, mine, "GetCallerIdentity"), 403, "ExpiredToken", "The security token included in the request is expired")
	})
}

// No request is carried out unless its signature covers what is carried out.
func TestSignatureCoversTheParameters(t *testing.T) {
	w := newWorld(t, nil)
	good := params("AssumeRole", "RoleArn", points, "RoleSessionName", "mobile")
	for name, tt := range map[string]struct {
		edit func(*http.Request)
		code string
	}{
		"as signed":       {func(*http.Request) {}, ""},
		"another body":    {func(r *http.Request) { body(r, strings.Replace(good, "mobile", "admins", 1)) }, "SignatureDoesNotMatch"},
		"a longer body":   {func(r *http.Request) { body(r, good+"&DurationSeconds=43200") }, "SignatureDoesNotMatch"},
		"no signature":    {func(r *http.Request) { r.Header.Del("Authorization") }, "MissingAuthenticationToken"},
		"another action":  {func(r *http.Request) { body(r, params("GetCallerIdentity")) }, "SignatureDoesNotMatch"},
		"a query":         {func(r *http.Request) { r.URL.RawQuery = "RoleArn=x" }, "MalformedInput"},
		"another service": {func(r *http.Request) { resign(t, r, "execute-api", "eu-west-1") }, "SignatureDoesNotMatch"},
		"another region":  {func(r *http.Request) { resign(t, r, "sts", "us-east-1") }, "SignatureDoesNotMatch"},
		"no algorithm":    {func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 x") }, "IncompleteSignature"},
		"PUT":             {func(r *http.Request) { r.Method = http.MethodPut }, "MalformedInput"},
		"unsigned body": {func(r *http.Request) {
			r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
			resign(t, r, "sts", "eu-west-1")
		}, "SignatureDoesNotMatch"},
	} {
		r := newRequest(good)
		sign(t, r, permanent("AKIDJULIAN"))
		tt.edit(r)
		got := answer(t, w.server, r)
		require.Equal(t, tt.code, got.Error.Code, "%s: %s", name, got.body)
	}
	open, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: w.sessions.Key, Regions: []string{"eu-west-1"}, Services: []string{"sts"}, AllowUnsignedPayload: true,
	})
	require.NoError(t, err)
	w = newWorld(t, func(c *sts.Config) { c.Verifier = open })
	r := newRequest(good)
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	resign(t, r, "sts", "eu-west-1")
	requireRefused(t, answer(t, w.server, r), 403, "SignatureDoesNotMatch", "The body is not signed.")
}

func body(r *http.Request, text string) {
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
}

func resign(t *testing.T, r *http.Request, service, region string) {
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Region: region, Service: service, MaxSpool: 1 << 20,
		Credentials: func(context.Context) (sigv4.Credentials, error) { return permanent("AKIDJULIAN"), nil },
	})
	require.NoError(t, err)
	r.Header.Del("Authorization")
	require.NoError(t, signer.Sign(r))
}

func TestParametersAreChecked(t *testing.T) {
	w := newWorld(t, nil)
	long := strings.Repeat("s", 65)
	value := func(v, member, must string) string {
		return "1 validation error detected: " + v + " at '" + member + "' failed to satisfy constraint: Member must " + must
	}
	for name, tt := range map[string]struct {
		pairs         []string
		code, message string
	}{
		"no role":      {[]string{"RoleArn", ""}, "ValidationError", value("Value ''", "roleArn", "have length greater than or equal to 20")},
		"short role":   {[]string{"RoleArn", "nothing-valid-in-here"}, "ValidationError", "nothing-valid-in-here is invalid"},
		"no partition": {[]string{"RoleArn", "arn::b:::something/test-role"}, "ValidationError", "arn::b:::something/test-role is invalid"},
		"no resource":  {[]string{"RoleArn", "arn:a:a::aaaaaaaaaa:"}, "ValidationError", "arn:a:a::aaaaaaaaaa: is invalid"},
		"a colon": {
			[]string{"RoleSessionName", "Session1:2"},
			"ValidationError",
			value("Value 'Session1:2'", "roleSessionName", `satisfy regular expression pattern: [\w+=,.@-]*`),
		},
		"long name":    {[]string{"RoleSessionName", long}, "ValidationError", value("Value '"+long+"'", "roleSessionName", "have length less than or equal to 64")},
		"a slash":      {[]string{"RoleSessionName", "a/b"}, "ValidationError", "*"},
		"a line break": {[]string{"RoleSessionName", "ab\n"}, "ValidationError", "*"},
		"too short":    {[]string{"DurationSeconds", "899"}, "ValidationError", value("Value '899'", "durationSeconds", "have value greater than or equal to 900")},
		"too long":     {[]string{"DurationSeconds", "43201"}, "ValidationError", value("Value '43201'", "durationSeconds", "have value less than or equal to 43200")},
		"beyond the role": {
			[]string{"DurationSeconds", "7201"},
			"ValidationError",
			"The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
		},
		"no number":    {[]string{"DurationSeconds", "1h"}, "MalformedInput", "*"},
		"negative":     {[]string{"DurationSeconds", "-3600"}, "ValidationError", "*"},
		"overflow":     {[]string{"DurationSeconds", "99999999999999999999"}, "MalformedInput", "*"},
		"external id":  {[]string{"ExternalId", "a b"}, "ValidationError", "*"},
		"source":       {[]string{"SourceIdentity", "a:b"}, "ValidationError", "*"},
		"policy":       {[]string{"Policy", "{}"}, "MalformedPolicyDocument", "Syntax errors in policy."},
		"an empty one": {[]string{"Policy", ""}, "ValidationError", "*"},
		"a principal": {
			[]string{"Policy", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`},
			"MalformedPolicyDocument", "Syntax errors in policy.",
		},
		"duplicate names in the policy": {
			[]string{"Policy", `{"Statement":{"Effect":"Allow","Effect":"Deny","Action":"*","Resource":"*"}}`},
			"MalformedPolicyDocument", "Syntax errors in policy.",
		},
		"policy too long": {[]string{"Policy", strings.Repeat(" ", 2049)}, "ValidationError", "*"},
		"managed policies": {
			[]string{"PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/ReadOnlyAccess"},
			"InvalidParameterValue",
			"The parameter PolicyArns is not supported.",
		},
		"transitive tags": {[]string{"TransitiveTagKeys.member.1", "team"}, "InvalidParameterValue", "The parameter TransitiveTagKeys is not supported."},
		"MFA":             {[]string{"SerialNumber", "GAHT12345678", "TokenCode", "123456"}, "InvalidParameterValue", "*"},
		"tags of one name": {
			[]string{"Tags.member.1.Key", "a", "Tags.member.1.Value", "1", "Tags.member.2.Key", "A", "Tags.member.2.Value", "2"},
			"InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
		},
		"a gap in the tags":   {[]string{"Tags.member.2.Key", "a", "Tags.member.2.Value", "1"}, "MalformedInput", "*"},
		"a tag without value": {[]string{"Tags.member.1.Key", "a"}, "ValidationError", "*"},
		"a tag without name":  {[]string{"Tags.member.1.Key", "", "Tags.member.1.Value", "1"}, "ValidationError", "*"},
		"a member too much":   {[]string{"Tags.member.1.Key", "a", "Tags.member.1.Value", "1", "Tags.member.01.Key", "b"}, "MalformedInput", "*"},
		"another version":     {[]string{"Version", "2011-06-16"}, "InvalidAction", "Could not find operation AssumeRole for version 2011-06-16"},
	} {
		got := w.assume(t, permanent("AKIDJULIAN"), points, tt.pairs...)
		if tt.message == "*" {
			tt.message = got.Error.Message
		}
		t.Log(name)
		requireRefused(t, got, 400, tt.code, tt.message)
	}
	w.session(t, w.assume(t, permanent("AKIDJULIAN"), points, "Tags", "", "PolicyArns", "", "Unknown", "x"))
	packed := []string{}
	for i := range 20 {
		at := "Tags.member." + strconv.Itoa(i+1)
		packed = append(packed, at+".Key", "k"+strconv.Itoa(i), at+".Value", strings.Repeat("v", 256))
	}
	require.Equal(t, "PackedPolicyTooLarge", w.assume(t, permanent("AKIDJULIAN"), points, packed...).Error.Code)
}

// Malformed bodies are refused before anything is decided, with or without a signature.
func TestMalformedFormsAreRefused(t *testing.T) {
	w := newWorld(t, nil)
	good := params("AssumeRole", "RoleArn", points, "RoleSessionName", "mobile")
	for name, tt := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"empty":               {"", 400, "InvalidAction"},
		"a parameter twice":   {good + "&RoleArn=" + url.QueryEscape(audit), 400, "MalformedInput"},
		"the action twice":    {good + "&Action=GetCallerIdentity", 400, "MalformedInput"},
		"an escaped name":     {good + "&Role%41rn=x", 400, "MalformedInput"},
		"a bad escape":        {good + "&a=%zz", 400, "MalformedInput"},
		"not UTF-8":           {good + "&a=%ff", 400, "MalformedInput"},
		"an empty pair twice": {good + "&&", 400, "MalformedInput"},
		"many":                {good + strings.Repeat("&a=b", 300), 400, "MalformedInput"},
		"JSON":                {`{"Action":"AssumeRole"}`, 400, "InvalidAction"},
		"64 KiB":              {good + "&a=" + strings.Repeat("a", 64<<10), 413, "RequestEntityTooLarge"},
		"unknown action":      {params("GetFederationToken"), 400, "InvalidAction"},
	} {
		for _, signed := range []bool{false, true} {
			r := newRequest(tt.body)
			if signed {
				sign(t, r, permanent("AKIDJULIAN"))
			}
			got := answer(t, w.server, r)
			require.Equal(t, []any{tt.status, tt.code}, []any{got.status, got.Error.Code}, "%s: %s", name, got.body)
		}
	}
	r := newRequest(good)
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("Action="), failing{}))
	require.Equal(t, "MalformedInput", answer(t, w.server, r).Error.Code)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// A token of the provider and the audience that the trust policy names is enough.
func TestRoleIsAssumedByToken(t *testing.T) {
	w := newWorld(t, nil)
	got := w.byToken(t, w.idToken(t, nil))
	s := w.session(t, got)
	require.Equal(t, []string{points, "arn:aws:sts::123456789012:assumed-role/Points/mobile"}, []string{s.Role, s.Principal})
	require.Equal(t, []string{"5f6d8a2e", client, "https://" + provider},
		[]string{got.ByToken.SubjectFromWebIdentityToken, got.ByToken.Audience, got.ByToken.Provider})
	for name, tt := range map[string]struct {
		trust  string
		claims map[string]any
		more   []string
		ok     bool
	}{
		"another subject":    {allow(federated, byToken, `{"StringEquals":{"`+provider+`:sub":"else"}}`), nil, nil, false},
		"the subject":        {allow(federated, byToken, `{"StringLike":{"`+provider+`:sub":"5f6d*"}}`), nil, nil, true},
		"the provider's ARN": {allow(`{"Federated":"`+account+`oidc-provider/`+provider+`"}`, byToken, ofClient), nil, nil, true},
		"another provider":   {allow(`{"Federated":"other.example"}`, byToken, `{"StringEquals":{"other.example:aud":"`+client+`"}}`), nil, nil, false},
		"azp decides":        {allow(federated, byToken, ofClient), map[string]any{"azp": "other"}, nil, false},
		"several audiences":  {allow(federated, byToken, ofClient), map[string]any{"aud": []string{client, "x"}}, nil, false},
		"amr": {
			allow(federated, byToken, `{"StringEquals":{"`+provider+`:aud":"`+client+`"},"ForAnyValue:StringEquals":{"`+provider+`:amr":"mfa"}}`),
			map[string]any{"amr": []string{"pwd", "mfa"}},
			nil, true,
		},
		"no amr": {
			allow(federated, byToken, `{"StringEquals":{"`+provider+`:aud":"`+client+`"},"ForAnyValue:StringEquals":{"`+provider+`:amr":"mfa"}}`),
			nil, nil, false,
		},
		"the session's name is the subject": {
			allow(federated, byToken, `{"StringEquals":{"`+provider+`:aud":"`+client+`","sts:RoleSessionName":"${`+provider+`:sub}"}}`),
			nil,
			[]string{"RoleSessionName", "5f6d8a2e"},
			true,
		},
		"the session's name is not": {
			allow(federated, byToken, `{"StringEquals":{"`+provider+`:aud":"`+client+`","sts:RoleSessionName":"${`+provider+`:sub}"}}`),
			nil, nil, false,
		},
		"callers with keys":   {allow(`{"AWS":"`+julian+`"}`, everything, ""), nil, nil, false},
		"everybody with keys": {allow(`{"AWS":"*"}`, everything, ""), nil, nil, false},
		"denied": {`{"Statement":[{"Effect":"Allow","Principal":` + federated + `,"Action":` + byToken + `,"Condition":` + ofClient + `},
			{"Effect":"Deny","Principal":"*","Action":"*","Condition":{"StringEquals":{"` + provider + `:sub":"5f6d8a2e"}}}]}`, nil, nil, false},
	} {
		w := trusting(t, tt.trust)
		got := w.byToken(t, w.idToken(t, tt.claims), tt.more...)
		if tt.ok {
			require.Equal(t, 200, got.status, "%s: %s", name, got.body)
			continue
		}
		t.Log(name)
		requireRefused(t, got, 403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	}
	requireRefused(t, w.byToken(t, w.idToken(t, nil), "RoleArn", account+"role/Absent"), 403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	// A caller with keys is none with a token, and the other way round.
	requireRefused(t, trusting(t, allow(federated, byToken, ofClient)).assume(t, permanent("AKIDJULIAN"), points), 403, "AccessDenied", noRole+points)
}

func TestBadTokensAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_800_000_000, 0)))
		w := newWorld(t, nil)
		stranger, err := authtest.New("https://" + provider)
		require.NoError(t, err)
		forged, err := stranger.Sign("ES256", map[string]any{"aud": client, "sub": "s"})
		require.NoError(t, err)
		const noProvider = "No OpenIDConnect provider found in your account."
		for name, tt := range map[string]struct{ token, code, message string }{
			"expired": {
				w.idToken(t, map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}), "ExpiredTokenException",
				"Token expired: current date/time 1800000000 must be before the expiration date/time 1799999940",
			},
			"not valid yet":    {w.idToken(t, map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}), "InvalidIdentityToken", "The token is not valid yet."},
			"another audience": {w.idToken(t, map[string]any{"aud": "other"}), "InvalidIdentityToken", "Incorrect token audience"},
			"another issuer":   {w.idToken(t, map[string]any{"iss": "https://evil.example"}), "InvalidIdentityToken", noProvider},
			"no subject":       {w.idToken(t, map[string]any{"sub": nil}), "InvalidIdentityToken", "Missing a required claim: sub"},
			"forged":           {forged, "InvalidIdentityToken", "Couldn't verify the signature of the token."},
			"no token": {
				"julian", "InvalidIdentityToken",
				"The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
			},
		} {
			t.Log(name)
			requireRefused(t, w.byToken(t, tt.token), 400, tt.code, tt.message)
		}
		got := w.byToken(t, strings.Repeat("t", 20_001))
		require.Equal(t, "ValidationError", got.Error.Code)
		require.NotContains(t, got.body, "tttt")
		w = newWorld(t, func(c *sts.Config) { c.Tokens = nil })
		requireRefused(t, w.byToken(t, w.idToken(t, nil)), 400, "InvalidIdentityToken", noProvider)
	})
}

// Access tokens of Cognito name no audience: each service that a user calls gets them.
func TestAccessTokenIsRefused(t *testing.T) {
	i, err := authtest.New("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz")
	require.NoError(t, err)
	pool := auth.Cognito("eu-west-1", "eu-west-1_aQYCzHwCz", client)
	pool.Keys = i.JWKS()
	v, err := auth.New(auth.Config{Issuers: []auth.Issuer{pool}})
	require.NoError(t, err)
	const name = "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz"
	w := newWorld(t, func(c *sts.Config) {
		c.Tokens = v
		c.Roles = []sts.Role{{ARN: points, Trust: allow(`{"Federated":"`+name+`"}`, byToken, `{"StringEquals":{"`+name+`:aud":"`+client+`"}}`)}}
	})
	user := authtest.User{Username: "julian", Client: client}
	access, err := i.AccessToken(user)
	require.NoError(t, err)
	requireRefused(t, w.byToken(t, access), 400, "InvalidIdentityToken",
		"The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	id, err := i.IDToken(user)
	require.NoError(t, err)
	w.session(t, w.byToken(t, id))
}

// The adapter of a Lambda function gives addresses without a port.
func TestAddressWithoutPort(t *testing.T) {
	w := trusting(t, allow(`{"AWS":"`+julian+`"}`, everything, `{"IpAddress":{"aws:SourceIp":"2001:db8::/32"}}`))
	for address, want := range map[string]int{"2001:db8::7": 200, "[2001:db8::7]:4711": 200, "203.0.113.7": 403, "@": 403, "": 403} {
		r := newRequest(params("AssumeRole", "RoleArn", points, "RoleSessionName", "mobile"))
		r.RemoteAddr = address
		sign(t, r, permanent("AKIDJULIAN"))
		require.Equal(t, want, answer(t, w.server, r).status, address)
	}
}

func TestProviderWithoutKeysIs503(t *testing.T) {
	i, err := authtest.New("https://" + provider)
	require.NoError(t, err)
	i.Fail(http.StatusInternalServerError)
	v, err := auth.New(auth.Config{Issuers: []auth.Issuer{auth.OIDC("https://"+provider, client)}, Transport: i})
	require.NoError(t, err)
	w := newWorld(t, func(c *sts.Config) { c.Tokens = v })
	got := w.byToken(t, w.idToken(t, nil))
	requireRefused(t, got, 503, "IDPCommunicationError", "The keys of the identity provider are not available.")
	require.Equal(t, "Receiver", got.Error.Type)
	require.Equal(t, "1", got.header.Get("Retry-After"))
}

// Each condition key of a trust policy has the value of the request.
func TestConditionsOfATrustPolicy(t *testing.T) {
	tags := []string{"Tags.member.1.Key", "team", "Tags.member.1.Value", "loyalty"}
	for name, tt := range map[string]struct {
		condition string
		more      []string
		ok        bool
	}{
		"session name":       {`{"StringLike":{"sts:RoleSessionName":"mob*"}}`, nil, true},
		"another name":       {`{"StringEquals":{"sts:RoleSessionName":"admin"}}`, nil, false},
		"source identity":    {`{"StringEquals":{"sts:SourceIdentity":"${aws:username}"}}`, []string{"SourceIdentity", "julian"}, true},
		"another source":     {`{"StringEquals":{"sts:SourceIdentity":"${aws:username}"}}`, []string{"SourceIdentity", "other"}, false},
		"no source":          {`{"StringEquals":{"sts:SourceIdentity":"${aws:username}"}}`, nil, false},
		"duration":           {`{"NumericLessThanEquals":{"sts:DurationSeconds":"3600"}}`, []string{"DurationSeconds", "3601"}, false},
		"usual duration":     {`{"NumericLessThanEquals":{"sts:DurationSeconds":"3600"}}`, nil, true},
		"a tag":              {`{"StringEquals":{"aws:RequestTag/Team":"loyalty"}}`, tags, true},
		"another tag":        {`{"StringEquals":{"aws:RequestTag/Team":"other"}}`, tags, false},
		"no tag":             {`{"StringEquals":{"aws:RequestTag/Team":"loyalty"}}`, nil, false},
		"tag as a variable":  {`{"StringEquals":{"sts:RoleSessionName":"${aws:RequestTag/TEAM}"}}`, []string{"Tags.member.1.Key", "team", "Tags.member.1.Value", "mobile"}, true},
		"another variable":   {`{"StringEquals":{"sts:RoleSessionName":"${aws:RequestTag/team}"}}`, tags, false},
		"no such variable":   {`{"StringEquals":{"sts:RoleSessionName":"${aws:RequestTag/stage}"}}`, tags, false},
		"not its variable":   {`{"StringNotEquals":{"sts:RoleSessionName":"${aws:RequestTag/stage}"}}`, tags, false},
		"default":            {`{"StringEquals":{"sts:RoleSessionName":"${aws:RequestTag/stage, 'mobile'}"}}`, nil, true},
		"names of tags":      {`{"ForAllValues:StringEquals":{"aws:TagKeys":["team","stage"]}}`, tags, true},
		"other names":        {`{"ForAllValues:StringEquals":{"aws:TagKeys":["stage"]}}`, tags, false},
		"address":            {`{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`, nil, true}, // that of httptest
		"another address":    {`{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, nil, false},
		"TLS":                {`{"Bool":{"aws:SecureTransport":"true"}}`, nil, true},
		"external id absent": {`{"StringNotEquals":{"sts:ExternalId":"x"}}`, nil, true},
	} {
		w := trusting(t, allow(`{"AWS":"`+julian+`"}`, everything, tt.condition))
		got := w.assume(t, permanent("AKIDJULIAN"), points, tt.more...)
		require.Equal(t, tt.ok, got.status == 200, "%s: %s", name, got.body)
	}
	w := newWorld(t, func(c *sts.Config) {
		c.SourceIP = func(*http.Request) (netip.Addr, bool) { return netip.MustParseAddr("203.0.113.7"), true }
		c.Roles = []sts.Role{{ARN: points, Trust: allow(`{"AWS":"`+julian+`"}`, everything, `{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`)}}
	})
	require.Equal(t, 200, w.assume(t, permanent("AKIDJULIAN"), points).status)
	unknown := newWorld(t, func(c *sts.Config) {
		c.SourceIP = func(*http.Request) (netip.Addr, bool) { return netip.Addr{}, false }
	})
	requireRefused(t, unknown.assume(t, permanent("AKIDJULIAN"), points), 403, "AccessDenied", "Access denied.")
	requireRefused(t, unknown.byToken(t, unknown.idToken(t, nil)), 403, "AccessDenied", "Access denied.")
	unparsed := newWorld(t, func(c *sts.Config) {
		c.SourceIP = func(*http.Request) (netip.Addr, bool) { return netip.Addr{}, true }
		c.Roles = []sts.Role{{ARN: points, Trust: allow(`{"AWS":"`+julian+`"}`, everything, `{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`)}}
	})
	requireRefused(t, unparsed.assume(t, permanent("AKIDJULIAN"), points), 403, "AccessDenied", "Access denied.")
	// Tags and a source identity need actions of their own.
	w = trusting(t, allow(`{"AWS":"`+julian+`"}`, `"sts:AssumeRole"`, ""))
	require.Equal(t, 200, w.assume(t, permanent("AKIDJULIAN"), points).status)
	for action, more := range map[string][]string{"sts:TagSession": tags, "sts:SetSourceIdentity": {"SourceIdentity", "julian"}} {
		requireRefused(t, w.assume(t, permanent("AKIDJULIAN"), points, more...), 403, "AccessDenied",
			"User: "+julian+" is not authorized to perform: "+action+" on resource: "+points)
	}
}

// Behind a proxy that ends TLS, the application says whether the client has used it.
func TestSecureTransportBehindAProxy(t *testing.T) {
	for _, tt := range []struct {
		name     string
		hook     func(*http.Request) bool
		tls, ok  bool
		protocol string
	}{
		{"TLS", nil, true, true, ""},
		{"no TLS", nil, false, false, "https"}, // a header that nobody asked for proves nothing
		{"TLS at the proxy", func(r *http.Request) bool { return r.Header.Get("X-Forwarded-Proto") == "https" }, false, true, "https"},
		{"no TLS at the proxy", func(r *http.Request) bool { return r.Header.Get("X-Forwarded-Proto") == "https" }, true, false, "http"},
	} {
		w := newWorld(t, func(c *sts.Config) {
			c.SecureTransport = tt.hook
			c.Roles = []sts.Role{{ARN: points, Trust: allow(`{"AWS":"`+julian+`"}`, everything, `{"Bool":{"aws:SecureTransport":"true"}}`)}}
		})
		r := newRequest(params("AssumeRole", "RoleArn", points, "RoleSessionName", "mobile"))
		if !tt.tls {
			r.TLS = nil
		}
		r.Header.Set("X-Forwarded-Proto", tt.protocol)
		sign(t, r, permanent("AKIDJULIAN"))
		require.Equal(t, tt.ok, answer(t, w.server, r).status == 200, tt.name)
	}
}

// A permissions boundary and session policies limit what identity policies allow, and need not exist. The resource of
// the set does not replace the trust policy.
func TestSetOfACaller(t *testing.T) {
	parse := func(text string) *policy.Policy {
		p, err := policy.Parse([]byte(text))
		require.NoError(t, err)
		return p
	}
	all := parse(`{"Statement":{"Effect":"Allow","Action":"sts:*","Resource":"*"}}`)
	none := parse(`{"Statement":{"Effect":"Deny","Action":"sts:*","Resource":"*"}}`)
	other := parse(`{"Statement":{"Effect":"Allow","Action":"sts:*","Resource":"` + audit + `"}}`)
	only := parse(`{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*",
		"Condition":{"StringEquals":{"aws:RequestTag/team":"loyalty"}}}}`)
	for _, tt := range []struct {
		name string
		set  policy.Set
		ok   bool
	}{
		{"nothing", policy.Set{}, false},
		{"identity", policy.Set{Identity: []*policy.Policy{all}}, true},
		{"a boundary alone", policy.Set{Boundary: all}, false},
		{"within the boundary", policy.Set{Identity: []*policy.Policy{all}, Boundary: all}, true},
		{"outside of the boundary", policy.Set{Identity: []*policy.Policy{all}, Boundary: other}, false},
		{"a boundary that denies", policy.Set{Identity: []*policy.Policy{all}, Boundary: none}, false},
		{"outside of the session policy", policy.Set{Identity: []*policy.Policy{all}, Session: []*policy.Policy{other}}, false},
		{"a tag that is not asked for", policy.Set{Identity: []*policy.Policy{only}}, false},
		{"a resource that denies", policy.Set{Identity: []*policy.Policy{all}, Resource: none}, true},
		{"a resource that allows", policy.Set{Resource: all}, false},
	} {
		w := newWorld(t, func(c *sts.Config) {
			c.Policies = func(context.Context, sigv4.Identity) (policy.Set, error) { return tt.set, nil }
		})
		got := w.assume(t, permanent("AKIDPARTNER"), vendor, "ExternalId", "ticket-7")
		require.Equal(t, tt.ok, got.status == 200, "%s: %s", tt.name, got.body)
	}
}

// A trust policy that allows more than its author can have meant is refused, and so is one that is not understood.
func TestTrustPoliciesAreChecked(t *testing.T) {
	aws := `{"AWS":"` + julian + `"}`
	for name, tt := range map[string]struct{ trust, want string }{
		"none":                 {"", "is required"},
		"no JSON":              {"{", "unexpected end of JSON"},
		"a resource":           {`{"Statement":{"Effect":"Allow","Principal":` + aws + `,"Action":"sts:AssumeRole","Resource":"*"}}`, "Statement[0]: Resource is not allowed"},
		"no principal":         {`{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole"}}`, "Principal is required"},
		"not a principal":      {`{"Statement":{"Effect":"Allow","NotPrincipal":` + aws + `,"Action":"sts:AssumeRole"}}`, "NotPrincipal is not allowed"},
		"not an action":        {`{"Statement":{"Effect":"Allow","Principal":` + aws + `,"NotAction":"sts:TagSession"}}`, "NotAction is not allowed"},
		"a wildcard":           {allow(aws, `"sts:*"`, ""), `"sts:*" is not one of`},
		"another action":       {allow(aws, `"execute-api:Invoke"`, ""), "is not one of"},
		"tokens from anybody":  {allow(`{"AWS":"*"}`, byToken, ""), "needs a Principal of kind Federated"},
		"tokens and keys":      {allow(`{"AWS":"*","Federated":"`+provider+`"}`, byToken, ofClient), "needs a Principal of kind Federated only"},
		"any token":            {allow(federated, byToken, ""), `needs a condition on login.example/tenant:aud`},
		"any audience":         {allow(federated, byToken, `{"StringLike":{"`+provider+`:aud":"*"}}`), "needs a condition"},
		"any audience of two":  {allow(federated, byToken, `{"StringLike":{"`+provider+`:aud":["a","?*"]}}`), "needs a condition"},
		"by itself":            {allow(federated, byToken, `{"StringEquals":{"`+provider+`:aud":"${`+provider+`:aud}"}}`), "needs a condition"},
		"if it exists":         {allow(federated, byToken, `{"StringEqualsIfExists":{"`+provider+`:aud":"a"}}`), "needs a condition"},
		"a negation":           {allow(federated, byToken, `{"StringNotEquals":{"`+provider+`:sub":"a"}}`), "needs a condition"},
		"another key":          {allow(federated, byToken, `{"StringEquals":{"sts:RoleSessionName":"a"}}`), "needs a condition"},
		"another provider":     {allow(federated, byToken, `{"StringEquals":{"other.example:aud":"a"}}`), "other.example:aud"},
		"one of two providers": {allow(`{"Federated":["`+provider+`","other.example"]}`, byToken, ofClient), `"other.example" needs a condition`},
		"an unknown key":       {allow(aws, everything, `{"StringEquals":{"sts:External":"a"}}`), "sts:External"},
		"a tag twice":          {allow(aws, everything, `{"StringEquals":{"aws:RequestTag/team":"a","AWS:RequestTag/team":"b"}}`), `aws:RequestTag/team: occurs twice`},
		"tag keys twice":       {allow(aws, everything, `{"ForAllValues:StringEquals":{"aws:TagKeys":"a","aws:tagkeys":"b"}}`), `aws:tagkeys: occurs twice`},
		"an unknown operator":  {allow(aws, everything, `{"StringSame":{"sts:ExternalId":"a"}}`), "StringSame"},
		"a name twice":         {`{"Statement":{"Effect":"Allow","Principal":` + aws + `,"Principal":"*","Action":"sts:AssumeRole"}}`, "twice"},
		"no statement":         {`{"Statement":[]}`, "Statement"},
	} {
		_, err := sts.New(sts.Config{
			Verifier: verifier(t, newSessions(t, 1), "sts"), Sessions: newSessions(t, 1), Roles: []sts.Role{{ARN: points, Trust: tt.trust}},
		})
		require.ErrorIs(t, err, sts.ErrNotConfigured, name)
		require.ErrorContains(t, err, "Config.Roles[0].Trust: ", name)
		require.ErrorContains(t, err, tt.want, name)
	}
}

func TestNewReportsAllMistakesAtOnce(t *testing.T) {
	_, err := sts.New(sts.Config{
		Keys: []policy.Key{{Name: "aws:x", Type: "String"}},
		Roles: []sts.Role{
			{ARN: "Points"}, {ARN: points, MaxDuration: time.Minute}, {ARN: account + "role/other/Points", Trust: allow(`{"AWS":"*"}`, everything, "")},
		},
	})
	for _, text := range []string{
		"Verifier is required", "Sessions is required", "Keys: ", "Roles[0].ARN", "Roles[1].MaxDuration", "Roles[1].Trust", "Roles[2]: another role",
	} {
		require.ErrorContains(t, err, "sts: the server is not configured: Config."+text)
	}
}

func TestZeroServerRefuses(t *testing.T) {
	var none *sts.Server
	for _, s := range []*sts.Server{none, {}} {
		requireRefused(t, answer(t, s, newRequest(params("GetCallerIdentity"))), 500, "InternalFailure", "Internal error.")
	}
}

func TestFailingPoliciesAre503(t *testing.T) {
	down := errors.New("down")
	var told []auth.Event
	w := newWorld(t, func(c *sts.Config) {
		c.Policies = func(context.Context, sigv4.Identity) (policy.Set, error) { return policy.Set{}, down }
		c.Observe = func(_ context.Context, e auth.Event) { told = append(told, e) }
		c.RequestID = func(*http.Request) string { return "the id" }
	})
	requireRefused(t, w.assume(t, permanent("AKIDJULIAN"), points), 503, "ServiceUnavailable", "Please try again.")
	require.Len(t, told, 1)
	require.ErrorIs(t, told[0].Err, down)
	require.ErrorContains(t, told[0].Err, "sts: AssumeRole: ")
	require.Equal(t, []string{"sts", "failed", "unavailable", julian, "the id"},
		[]string{told[0].Layer, told[0].Outcome, told[0].Reason, told[0].Client, told[0].RequestID})
}

// A key source that has failed is no reason to think that a key is wrong.
func TestFailingKeySourceIs503(t *testing.T) {
	v, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Regions: []string{"eu-west-1"}, Services: []string{"sts"},
		Keys: func(context.Context, sigv4.Scope) (sigv4.Key, error) { return sigv4.Key{}, errors.New("down") },
	})
	require.NoError(t, err)
	w := newWorld(t, func(c *sts.Config) { c.Verifier = v })
	requireRefused(t, w.assume(t, permanent("AKIDJULIAN"), points), 503, "ServiceUnavailable", "Please try again.")
	w = newWorld(t, func(c *sts.Config) { c.Verifier = new(sigv4.Verifier) })
	requireRefused(t, w.assume(t, permanent("AKIDJULIAN"), points), 500, "InternalFailure", "Internal error.")
}

// What a stranger sends does not fill the log.
func TestErrorsAreShort(t *testing.T) {
	var told error
	w := newWorld(t, func(c *sts.Config) { c.Observe = func(_ context.Context, e auth.Event) { told = e.Err } })
	long := strings.Repeat("9", 60_000)
	for _, pair := range [][2]string{
		{"DurationSeconds", long},
		{"RoleSessionName", long},
		{"RoleArn", long},
		{long, "a"},
		{"Tags." + long, "a"},
		{"WebIdentityToken", long[:20_000]},
	} {
		got := w.byToken(t, "a.b.c", pair[0], pair[1])
		require.Equal(t, 400, got.status)
		require.Less(t, len(told.Error()), 1024, pair[0][:4])
		require.Less(t, len(got.body), 1024, pair[0][:4])
	}
}
