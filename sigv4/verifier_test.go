package sigv4_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// now is when the requests of the tests are signed and verified.
var now = time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)

var keyring = sigv4.Keyring{
	iamKeyID:    {Secret: iamSecret, Principal: "julianwood"},
	"ASIATEMP":  {Secret: iamSecret, SessionToken: "token==", Expires: now.Add(time.Hour)},
	"ASIAENDED": {Secret: iamSecret, SessionToken: "token==", Expires: now},
}

// unusableToo is the key ring as a source that is no Keyring, which can return a Key that cannot be used.
func unusableToo(ctx context.Context, s sigv4.Scope) (sigv4.Key, error) {
	switch s.AccessKeyID {
	case "AKIDEMPTY":
		return sigv4.Key{}, nil
	case "AKIDSHORT":
		return sigv4.Key{SigningKey: "not of 32 bytes"}, nil
	case "AKIDBOTH0":
		return sigv4.Key{Secret: iamSecret, SigningKey: sigv4.DeriveKey(iamSecret, s.Date, s.Region, s.Service)}, nil
	}
	return keyring.Key(ctx, s)
}

var euWest = sigv4.VerifierConfig{Keys: keyring.Key, Regions: []string{"eu-west-1"}}

func get(target string) *http.Request { return httptest.NewRequest("GET", target, nil) }

// signed returns a request signed by the key at the instant now.
func signed(tb testing.TB, r *http.Request, c sigv4.SignerConfig) *http.Request {
	tb.Helper()
	if c.Credentials == nil {
		c.Credentials = as(iamKeyID, iamSecret)
	}
	if c.Region == "" {
		c.Region = "eu-west-1"
	}
	require.NoError(tb, newSigner(tb, c).SignAt(r, now))
	return r
}

func TestVerifyTellsWhoSigned(t *testing.T) {
	v := newVerifier(t, euWest)
	id, err := v.VerifyAt(signed(t, get("/Prod/loyalty"), sigv4.SignerConfig{}), now)
	require.NoError(t, err)
	want := sigv4.Identity{AccessKeyID: iamKeyID, Principal: "julianwood", Region: "eu-west-1", Service: "execute-api", Time: now}
	require.Equal(t, want, id)
}

// Each row changes a signed request; the answer is AWS's.
var refusals = []struct {
	name    string
	change  func(*http.Request)
	want    error
	status  int
	code    string
	message string
}{
	{
		"unsigned", func(r *http.Request) { r.Header.Del("Authorization") }, sigv4.ErrMissing,
		403, "MissingAuthenticationTokenException", "Missing Authentication Token",
	},
	{
		"bearer token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer abc") }, sigv4.ErrMalformedAuthorization,
		403, "IncompleteSignatureException",
		"Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): 'w1Xc6WwWEogNEZQP/dkBTThsJT4MNlKmzQanIm970rY='.",
	},
	{
		"bearer token with an equals sign", func(r *http.Request) { r.Header.Set("Authorization", "Bearer a=b") }, sigv4.ErrMissingParameter,
		403, "IncompleteSignatureException",
		"Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. " +
			"Authorization header requires 'SignedHeaders' parameter. Authorization=Bearer a=b",
	},
	{
		"parameters missing", func(r *http.Request) {
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=A/b/c/d/e")
			r.Header.Del("X-Amz-Date")
		}, sigv4.ErrMissingParameter,
		403, "IncompleteSignatureException",
		"Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. " +
			"Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. " +
			"Authorization=AWS4-HMAC-SHA256 Credential=A/b/c/d/e",
	},
	{
		"query parameters missing", func(r *http.Request) {
			r.Header.Del("Authorization")
			r.RequestURI += "?X-Amz-Signature=00"
		}, sigv4.ErrMissingParameter,
		403, "IncompleteSignatureException",
		"AWS query-string parameters must include 'X-Amz-Algorithm'. AWS query-string parameters must include 'X-Amz-Credential'. " +
			"AWS query-string parameters must include 'X-Amz-SignedHeaders'. AWS query-string parameters must include 'X-Amz-Date'. " +
			"Re-examine the query-string parameters.",
	},
	{
		"two mechanisms", func(r *http.Request) { r.RequestURI += "?X-Amz-Algorithm=AWS4-HMAC-SHA256" }, sigv4.ErrTwoMechanisms,
		403, "InvalidSignatureException", "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
	},
	{
		"date", func(r *http.Request) { r.Header.Set("X-Amz-Date", "201") }, sigv4.ErrMalformedDate,
		403, "IncompleteSignatureException",
		"Date must be in ISO-8601 'basic format'. Got '201'. See http://en.wikipedia.org/wiki/ISO_8601",
	},
	{
		"expired", func(r *http.Request) { r.Header.Set("X-Amz-Date", "20261124T055459Z") }, sigv4.ErrExpired,
		403, "InvalidSignatureException",
		"Signature expired: 20261124T055459Z is now earlier than 20261124T055500Z (20261124T060000Z - 5 min.)",
	},
	{
		"not yet current", func(r *http.Request) { r.Header.Set("X-Amz-Date", "20261124T060501Z") }, sigv4.ErrNotYetValid,
		403, "InvalidSignatureException",
		"Signature not yet current: 20261124T060501Z is still later than 20261124T060500Z (20261124T060000Z + 5 min.)",
	},
	{
		"host not signed", replace("SignedHeaders=host;", "SignedHeaders="), sigv4.ErrUnsignedHeader,
		403, "InvalidSignatureException", "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
	},
	{
		"algorithm", replace("SHA256 ", "SHA25 "), sigv4.ErrAlgorithm,
		403, "IncompleteSignatureException", "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA25' (only AWS4-HMAC-SHA256 for now). ",
	},
	{
		"credential", replace("AKIDEXAMPLE/20261124/eu-west-1/execute-api/aws4_request", "a/b/c/d"), sigv4.ErrMalformedCredential,
		403, "IncompleteSignatureException",
		"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a/b/c/d'",
	},
	{
		"scope", replace("AKIDEXAMPLE/20261124/eu-west-1/execute-api/aws4_request", "a/b/c/d/e"), sigv4.ErrScope,
		403, "InvalidSignatureException",
		"Credential should be scoped to a valid region, not 'c'. Credential should be scoped to correct service: 'execute-api'. " +
			"Credential should be scoped with a valid terminator: 'aws4_request', not 'e'. " +
			"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: 'b' != '20261124', from '20261124T060000Z'.",
	},
	{
		"unknown key", replace("AKIDEXAMPLE", "AKIDUNKNOWN"), sigv4.ErrUnknownKey,
		403, "UnrecognizedClientException", "The security token included in the request is invalid.",
	},
	{
		"tampered query", func(r *http.Request) { r.RequestURI += "?x=1" }, sigv4.ErrSignatureMismatch,
		403, "InvalidSignatureException", mismatch,
	},
	{
		"tampered path", func(r *http.Request) { r.RequestURI += "x" }, sigv4.ErrSignatureMismatch,
		403, "InvalidSignatureException", mismatch,
	},
	{
		"session token of a permanent key", func(r *http.Request) {
			signed(&testing.T{}, r, sigv4.SignerConfig{Credentials: temporary(iamKeyID, "token==")})
		}, sigv4.ErrSessionToken,
		403, "UnrecognizedClientException", "The security token included in the request is invalid.",
	},
	{
		"expired credentials", func(r *http.Request) {
			signed(&testing.T{}, r, sigv4.SignerConfig{Credentials: temporary("ASIAENDED", "token==")})
		}, sigv4.ErrCredentialExpired,
		403, "ExpiredTokenException", "The security token included in the request is expired",
	},
	{
		"key source without a key", replace("AKIDEXAMPLE", "AKIDEMPTY"), sigv4.ErrNotConfigured,
		500, "ApiConfigurationException", "Internal server error",
	},
	{
		"key source with a signing key of another length", replace("AKIDEXAMPLE", "AKIDSHORT"), sigv4.ErrNotConfigured,
		500, "ApiConfigurationException", "Internal server error",
	},
	{
		"key source with a secret and a signing key", replace("AKIDEXAMPLE", "AKIDBOTH0"), sigv4.ErrNotConfigured,
		500, "ApiConfigurationException", "Internal server error",
	},
}

const mismatch = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access " +
	"Key and signing method. Consult the service documentation for details."

func replace(old, with string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, with, 1))
	}
}

func temporary(id string, token sigv4.Secret) func(context.Context) (sigv4.Credentials, error) {
	return func(context.Context) (sigv4.Credentials, error) {
		return sigv4.Credentials{AccessKeyID: id, Secret: iamSecret, SessionToken: token}, nil
	}
}

func TestRefusalsHaveAnswersOfAWS(t *testing.T) {
	c := euWest
	c.Keys = unusableToo
	v := newVerifier(t, c)
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			r := signed(t, get("/Prod/loyalty"), sigv4.SignerConfig{})
			tt.change(r)
			_, err := v.VerifyAt(r, now)
			require.ErrorIs(t, err, tt.want)
			e, ok := errors.AsType[*sigv4.Error](err)
			require.True(t, ok)
			require.Equal(t, tt.status, e.StatusCode())
			require.Equal(t, tt.code, e.ErrorCode())
			require.Equal(t, tt.message, e.ErrorMessage())
		})
	}
}

func TestSessionTokenMustBelongToTheKey(t *testing.T) {
	for _, unsigned := range []bool{false, true} {
		c := euWest
		c.UnsignedToken = unsigned
		v := newVerifier(t, c)
		s := sigv4.SignerConfig{Credentials: temporary("ASIATEMP", "token=="), UnsignedToken: unsigned}
		_, err := v.VerifyAt(signed(t, get("/"), s), now)
		require.NoError(t, err)
		s.Credentials = temporary("ASIATEMP", "token=")
		_, err = v.VerifyAt(signed(t, get("/"), s), now)
		require.ErrorIs(t, err, sigv4.ErrSessionToken)
		s.Credentials = temporary("ASIATEMP", "")
		_, err = v.VerifyAt(signed(t, get("/"), s), now)
		require.ErrorIs(t, err, sigv4.ErrSessionToken)
	}
}

func TestZeroVerifierRefuses(t *testing.T) {
	for _, v := range []*sigv4.Verifier{nil, {}} {
		w := httptest.NewRecorder()
		v.Handler(http.NotFoundHandler()).ServeHTTP(w, get("/"))
		require.Equal(t, 500, w.Code)
		require.JSONEq(t, `{"message":"Internal server error"}`, w.Body.String())
	}
}

func TestZeroErrorAnswers500(t *testing.T) {
	e := new(sigv4.Error)
	require.Equal(t, "sigv4: <nil>", e.Error())
	require.NoError(t, e.Unwrap())
	w := httptest.NewRecorder()
	e.ServeHTTP(w, get("/"))
	require.Equal(t, 500, w.Code)
}

func TestFailedKeySourceIsUnavailable(t *testing.T) {
	down := errors.New("no route to host")
	v := newVerifier(t, sigv4.VerifierConfig{
		Keys:    func(context.Context, sigv4.Scope) (sigv4.Key, error) { return sigv4.Key{}, down },
		Regions: []string{"eu-west-1"},
	})
	r := get("/")
	require.NoError(t, newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"}).Sign(r))
	_, err := v.Verify(r)
	require.ErrorIs(t, err, sigv4.ErrUnavailable)
	require.ErrorIs(t, err, down)
	w := httptest.NewRecorder()
	v.Handler(http.NotFoundHandler()).ServeHTTP(w, r)
	require.Equal(t, 503, w.Code)
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	require.NotContains(t, w.Body.String(), "route")
}

func TestContextCarriesTheIdentity(t *testing.T) {
	_, ok := sigv4.ID(get("/"))
	require.False(t, ok)
	ctx := sigv4.NewContext(t.Context(), sigv4.Identity{Principal: "x"})
	id, ok := sigv4.FromContext(ctx)
	require.True(t, ok)
	require.Equal(t, "x", id.Principal)
	type parent struct{}
	ctx, cancel := context.WithCancel(sigv4.NewContext(context.WithValue(t.Context(), parent{}, "of the parent"), id))
	require.Equal(t, "of the parent", ctx.Value(parent{}))
	cancel()
	require.Error(t, ctx.Err())
	name, ok := sigv4.ID(get("/").WithContext(ctx))
	require.True(t, ok && name == "x")
	_, ok = sigv4.ID(get("/").WithContext(sigv4.NewContext(t.Context(), sigv4.Identity{})))
	require.False(t, ok)
}

// Logs hold what Error and its JSON say, so neither may hold a secret that the client has sent.
func TestErrorKeepsSecrets(t *testing.T) {
	v := newVerifier(t, sigv4.VerifierConfig{
		Keys:    sigv4.Keyring{"ASIA": {Secret: "another", SessionToken: "sesame"}}.Key,
		Regions: []string{"eu-west-1"},
	})
	header := func(values ...string) *http.Request {
		r := get("/")
		r.Header["Authorization"] = values
		return r
	}
	token := sigv4.SignerConfig{Credentials: temporary("ASIA", "sesame")}
	for name, r := range map[string]*http.Request{
		"bearer":       header("Bearer sesame"),
		"bare":         header("sesame"),
		"basic":        header("Basic sesame=="),
		"two":          header("Bearer x", "Bearer sesame"),
		"next to ours": header("AWS4-HMAC-SHA256 Credential=x, Bearer sesame"),
		"signed":       signed(t, get("/"), token),
		"presigned":    presigned(t, get("/"), token),
		"token twice":  get("/?X-Amz-Security-Token=x&X-Amz-Security-Token=sesame"),
		"bad token":    get("/?X-Amz-Security-Token=sesame;"),
		"proxy target": {Method: "GET", RequestURI: "http://h/?X-Amz-Security-Token=sesame"},
	} {
		_, err := v.VerifyAt(r, now)
		e, ok := errors.AsType[*sigv4.Error](err)
		require.True(t, ok, name)
		text, err := json.Marshal(e)
		require.NoError(t, err)
		for _, out := range []string{string(text), e.Error(), e.Detail, fmt.Sprintf("%+v %#v %+v", e, e, *e)} {
			require.NotContains(t, out, "sesame", name)
		}
	}
	// A signature that is malformed may be a good one in another spelling, with which others could repeat the request.
	for name, change := range map[string]func(string) string{
		"upper case": strings.ToUpper,
		"longer":     func(signature string) string { return signature + " " },
		"not hex":    func(signature string) string { return signature[:64-1] + "g" },
	} {
		r := signed(t, get("/"), sigv4.SignerConfig{})
		before, signature, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
		r.Header.Set("Authorization", before+"Signature="+change(signature))
		_, err := newVerifier(t, euWest).VerifyAt(r, now)
		require.ErrorIs(t, err, sigv4.ErrMalformedSignature, name)
		require.NotContains(t, strings.ToLower(err.Error()), signature[:64-1], name)
	}
	_, err := v.VerifyAt(header("Bearer sesame"), now)
	require.EqualError(t, err, `sigv4: the Authorization header is malformed: "Bearer"`)
	e, _ := errors.AsType[*sigv4.Error](err) // the client gets the hash of all that it sent
	sum := sha256.Sum256([]byte("Bearer sesame"))
	require.Contains(t, e.ErrorMessage(), base64.StdEncoding.EncodeToString(sum[:]))
}
