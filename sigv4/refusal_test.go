package sigv4_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// If the signature is of version 2, the error says so and the client gets AWS's answer.
func TestVersion2IsNamedInTheError(t *testing.T) {
	v := newVerifier(t, euWest)
	header := func(value string) *http.Request {
		r := get("/bucket/key")
		r.Header.Set("Authorization", value)
		return r
	}
	for name, tt := range map[string]struct {
		r    *http.Request
		want error
		code string
	}{
		"S3 header":  {header("AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg="), sigv4.ErrMissingParameter, incomplete},
		"no padding": {header("AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg"), sigv4.ErrMalformedAuthorization, incomplete},
		"lower case": {header("aws AKIAIOSFODNN7EXAMPLE:sesame"), sigv4.ErrMalformedAuthorization, incomplete},
		"S3 query": {
			get("/bucket/key?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Expires=1175139620&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D"),
			sigv4.ErrMissing, missingToken,
		},
		"Query API": {
			get("/?Action=List&Signature=sesame&SignatureMethod=HmacSHA256&SignatureVersion=2&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE"),
			sigv4.ErrMissing, missingToken,
		},
	} {
		_, err := v.VerifyAt(tt.r, now)
		require.ErrorIs(t, err, sigv4.ErrVersion2, name)
		require.ErrorIs(t, err, tt.want, name)
		require.ErrorContains(t, err, "Signature Version 2", name)
		require.NotContains(t, err.Error(), "sesame")
		e, _ := errors.AsType[*sigv4.Error](err)
		require.Equal(t, tt.code, e.ErrorCode(), name)
		require.Equal(t, tt.want != sigv4.ErrMissing, v.Present(tt.r), name)
		w := httptest.NewRecorder()
		sigv4.S3XML(w, tt.r, err)
		require.Equal(t, 400, w.Code, name)
		require.Contains(t, w.Body.String(), "<Code>InvalidRequest</Code>", name)
		require.Contains(t, w.Body.String(), "Please use AWS4-HMAC-SHA256.", name)
	}
	for _, target := range []string{"/?AWSAccessKeyIds=x", "/?xAWSAccessKeyId=x", "/?x=AWSAccessKeyId=x"} {
		_, err := v.VerifyAt(get(target), now)
		require.ErrorIs(t, err, sigv4.ErrMissing)
		require.NotErrorIs(t, err, sigv4.ErrVersion2, target)
	}
	_, err := v.VerifyAt(header("Bearer x"), now)
	require.NotErrorIs(t, err, sigv4.ErrVersion2)
}

// The answer to several headers at fault does not depend on the order of the map that holds them.
func TestAnswerToSeveralHeadersIsAlwaysTheSame(t *testing.T) {
	v := newVerifier(t, euWest)
	for name, tt := range map[string]struct {
		add    []string
		want   error
		detail string
	}{
		"unsigned":                {[]string{"X-Amz-C", "X-Amz-A", "X-Amz-B"}, sigv4.ErrUnsignedHeader, "x-amz-a"},
		"unsigned and confusable": {[]string{"X-Amz-C", "X_amz-B", "X-Amz-A", "X_amz-C"}, sigv4.ErrAmbiguousHeader, "X_amz-B"},
		"not in canonical form":   {[]string{"x-amz-c", "x-amz-a", "X-Amz-B", "authorization"}, sigv4.ErrAmbiguousHeader, "authorization"},
	} {
		for range 20 {
			r := signed(t, get("/"), sigv4.SignerConfig{})
			for _, header := range tt.add {
				r.Header[header] = []string{"1"}
			}
			_, err := v.VerifyAt(r, now)
			require.ErrorIs(t, err, tt.want, name)
			require.Equal(t, tt.detail, err.(*sigv4.Error).Detail, name)
		}
	}
}

// An adapter may make a request without a URL.
func TestS3XMLAnswersWithoutURL(t *testing.T) {
	w := httptest.NewRecorder()
	c := euWest
	c.S3, c.ErrorHandler = true, sigv4.S3XML
	newVerifier(t, c).Handler(http.NotFoundHandler()).ServeHTTP(w, &http.Request{Method: "GET"})
	require.Equal(t, 403, w.Code)
	require.Contains(t, w.Body.String(), "<Resource></Resource>")
}

// Error names the access key that the request names, if it names one.
func TestErrorNamesTheKey(t *testing.T) {
	v := newVerifier(t, euWest)
	for name, tt := range map[string]struct {
		change func(*http.Request)
		want   string
	}{
		"mismatch":        {func(r *http.Request) { r.RequestURI += "x" }, iamKeyID},
		"unknown key":     {replace("AKIDEXAMPLE", "AKIDUNKNOWN"), "AKIDUNKNOWN"},
		"expired":         {func(r *http.Request) { r.Header.Set("X-Amz-Date", "20251124T055459Z") }, iamKeyID},
		"scope":           {replace("eu-west-1", "eu-west-2"), iamKeyID},
		"malformed scope": {replace("/aws4_request", ""), iamKeyID},
		"missing":         {func(r *http.Request) { r.Header.Del("Authorization") }, ""},
		"bearer":          {func(r *http.Request) { r.Header.Set("Authorization", "Bearer a/b") }, ""},
		"no scope":        {replace("AKIDEXAMPLE/20261124/eu-west-1/execute-api/aws4_request", "x"), ""},
	} {
		r := signed(t, get("/"), sigv4.SignerConfig{})
		tt.change(r)
		_, err := v.VerifyAt(r, now)
		e, ok := errors.AsType[*sigv4.Error](err)
		require.True(t, ok, name)
		require.Equal(t, tt.want, e.AccessKeyID, name)
	}
	for _, change := range []string{"eu-west-1", "%2F20261124", "300", "X-Amz-Date=2026"} {
		r := presigned(t, get("/"), sigv4.SignerConfig{})
		r.RequestURI = strings.Replace(r.RequestURI, change, "x", 1)
		_, err := v.VerifyAt(r, now)
		e, ok := errors.AsType[*sigv4.Error](err)
		require.True(t, ok, change)
		require.Contains(t, e.AccessKeyID, iamKeyID, change)
	}
}

// Error says which parts of a scope are wrong, and what is right, in one line.
func TestErrorNamesTheScope(t *testing.T) {
	v := newVerifier(t, euWest)
	for scope, want := range map[string]string{
		"20261124/us-east-1/execute-api/aws4_request": `sigv4: the credential has another scope than the verifier accepts: ` +
			`"AKIDEXAMPLE/20261124/us-east-1/execute-api/aws4_request", region "us-east-1" for "eu-west-1"`,
		"20261124/eu-west-1/s3/aws4_request": `sigv4: the credential has another scope than the verifier accepts: ` +
			`"AKIDEXAMPLE/20261124/eu-west-1/s3/aws4_request", service "s3" for "execute-api"`,
		"20261124/eu-west-1/execute-api/aws5_request": `sigv4: the credential has another scope than the verifier accepts: ` +
			`"AKIDEXAMPLE/20261124/eu-west-1/execute-api/aws5_request", terminator "aws5_request" for "aws4_request"`,
		"20261123/eu-west-1/execute-api/aws4_request": `sigv4: the credential has another scope than the verifier accepts: ` +
			`"AKIDEXAMPLE/20261123/eu-west-1/execute-api/aws4_request", day "20261123" for "20261124"`,
		"20261123/eu-west-1/s3/aws5_request": `sigv4: the credential has another scope than the verifier accepts: ` +
			`"AKIDEXAMPLE/20261123/eu-west-1/s3/aws5_request", ` +
			`service "s3" for "execute-api", terminator "aws5_request" for "aws4_request", day "20261123" for "20261124"`,
	} {
		r := signed(t, get("/"), sigv4.SignerConfig{})
		replace("20261124/eu-west-1/execute-api/aws4_request", scope)(r)
		_, err := v.VerifyAt(r, now)
		require.EqualError(t, err, want)
		w := httptest.NewRecorder()
		sigv4.S3XML(w, r, err)
		require.Equal(t, strings.Contains(scope, "us-east-1"),
			strings.Contains(w.Body.String(), "the region &#39;us-east-1&#39; is wrong; expecting &#39;eu-west-1&#39;"), w.Body)
	}
}

func TestNewVerifierRefusesKeyring(t *testing.T) {
	signing := sigv4.DeriveKey(iamSecret, "20261124", "eu-west-1", "execute-api")
	_, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sigv4.Keyring{
			"AKIDB": {SigningKey: signing[1:]}, "AKIDA": {Principal: "ada"}, "a/b": {Secret: "x"}, "": {Secret: "x"},
			"AKIDC": {Secret: "sesame"}, "AKIDD": {SigningKey: signing}, "AKIDE": {Secret: "x", SigningKey: signing},
		}.Key,
		Regions: []string{"eu-west-1"},
	})
	const either = "sigv4: Keyring needs either a Secret or a SigningKey of 32 bytes for "
	require.EqualError(t, err, `sigv4: Keyring has "", which is no access key ID`+"\n"+either+`"AKIDA"`+"\n"+
		either+`"AKIDB"`+"\n"+either+`"AKIDE"`+"\n"+`sigv4: Keyring has "a/b", which is no access key ID`)
	for _, keys := range []sigv4.Keyring{nil, {}, {"AKIDC": {Secret: "x"}, "AKIDD": {SigningKey: signing}}} {
		newVerifier(t, sigv4.VerifierConfig{Keys: keys.Key, Regions: []string{"eu-west-1"}})
	}
	ring := &sigv4.Keyring{"AKIDB": {}}
	_, err = sigv4.NewVerifier(sigv4.VerifierConfig{Keys: ring.Key, Regions: []string{"eu-west-1"}})
	require.Error(t, err)
}

func post(target, body string) *http.Request {
	r := httptest.NewRequest("POST", target, strings.NewReader(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
	return r
}

// Without X-Amz-Expires a URL is valid for the shorter of MaxAge and MaxExpires, to the second.
func TestPresignedWithoutExpiresHasTheShorterLimit(t *testing.T) {
	for _, tt := range []struct {
		age, expire time.Duration
		good        time.Duration
	}{
		{0, 0, 5 * time.Minute},
		{time.Minute, 0, time.Minute},
		{time.Minute, time.Hour, time.Minute},
		{time.Hour, time.Minute, time.Minute},
		{0, time.Hour, 5 * time.Minute},
		{0, time.Minute, time.Minute},
	} {
		c := euWest
		c.MaxAge, c.MaxExpires = tt.age, tt.expire
		w := newWire("GET", "/Prod").presign(noExpires)
		v := newVerifier(t, c)
		r := read([]byte(w.String()))
		date, err := time.Parse("20060102T150405Z", r.URL.Query().Get("X-Amz-Date"))
		require.NoError(t, err)
		_, err = v.VerifyAt(r, date.Add(tt.good))
		require.NoError(t, err)
		_, err = v.VerifyAt(r, date.Add(tt.good+time.Second))
		require.ErrorIs(t, err, sigv4.ErrExpired)
	}
}

// doc.go has one entry for each exported cause, with each status that answers.go gives to it or to one of its variants.
func TestCatalogueListsEachCauseWithItsStatuses(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^\t(Err\w+) += errors\.New`).FindAllStringSubmatch(readFile(t, "cause.go"), -1)
	require.Len(t, declared, len(exported))
	documented := make(map[string]string) // the text of an entry, by cause
	for _, entry := range strings.Split(readFile(t, "doc.go"), "//   - [")[1:] {
		name, text, _ := strings.Cut(entry, "]: ")
		require.NotContains(t, documented, name)
		documented[name], _, _ = strings.Cut(text, "//\n")
	}
	require.Len(t, documented, len(declared))
	for _, match := range declared {
		require.Contains(t, exported, match[1])
		got := regexp.MustCompile(`\b[45]\d\d\b`).FindAllString(documented[match[1]], -1)
		require.Equal(t, sigv4.Statuses(exported[match[1]]), got, match[1])
	}
}

func readFile(t *testing.T, name string) string {
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(text)
}
