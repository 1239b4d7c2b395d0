package sigv4_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

func itoa(n int) string { return strconv.Itoa(n) }

// guarded is a net/http server behind a verifier. It keeps what it has refused last and how often its handler has run.
type guarded struct {
	address string
	refusal atomic.Pointer[sigv4.Error]
	served  atomic.Int64
}

func guard(t *testing.T, c sigv4.VerifierConfig) *guarded {
	g := new(guarded)
	c.Keys, c.Regions = tempKeyring().Key, []string{"eu-west-1"}
	c.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		e, _ := errors.AsType[*sigv4.Error](err)
		g.refusal.Store(e)
		e.ServeHTTP(w, r)
	}
	server := httptest.NewServer(newVerifier(t, c).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.served.Add(1)
		_, _ = io.Copy(w, r.Body)
	})))
	t.Cleanup(server.Close)
	g.address = strings.TrimPrefix(server.URL, "http://")
	return g
}

func tempKeyring() sigv4.Keyring {
	return sigv4.Keyring{
		iamKeyID:    {Secret: iamSecret},
		"ASIATEMP":  {Secret: iamSecret, SessionToken: "token/+=="},
		"ASIAENDED": {Secret: iamSecret, SessionToken: "token/+==", Expires: time.Now().Add(-time.Second)},
	}
}

const (
	missingToken = "MissingAuthenticationTokenException"
	incomplete   = "IncompleteSignatureException"
	invalid      = "InvalidSignatureException"
	unrecognized = "UnrecognizedClientException"
	expiredToken = "ExpiredTokenException"
	tooLarge     = "RequestHeaderFieldsTooLargeException"
)

const loyalty = "/Prod/loyalty?customer=7"

func simple() *wire { return newWire("GET", loyalty) }

func postWire() *wire { return newWire("POST", loyalty).withBody(`{"points":900}`) }

func as2(keyID string) func(*spec) { return func(s *spec) { s.keyID = keyID } }

// attacks are requests as raw bytes, each refused by a net/http server for the cause given. Config is the verifier's
// where it is not the default one.
var attacks = []struct {
	name   string
	raw    func() *wire
	want   error
	code   string
	config sigv4.VerifierConfig
}{
	{"no signature", simple, sigv4.ErrMissing, missingToken, sigv4.VerifierConfig{}},

	// The signature and the key.
	{"wrong secret", func() *wire { return simple().sign(func(s *spec) { s.secret += "x" }) }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"truncated signature", func() *wire { w := simple().sign(); return cutLast(w, 1) }, sigv4.ErrMalformedSignature, invalid, sigv4.VerifierConfig{}},
	{"empty signature", func() *wire { w := simple().sign(); return cutLast(w, 64) }, sigv4.ErrMissingParameter, incomplete, sigv4.VerifierConfig{}},
	{"signature not hexadecimal", func() *wire { w := simple().sign(); return cutLast(w, 1).lastPlus("g") }, sigv4.ErrMalformedSignature, invalid, sigv4.VerifierConfig{}},
	{"signature in upper case", func() *wire { return upperSignature(simple().sign()) }, sigv4.ErrMalformedSignature, invalid, sigv4.VerifierConfig{}},
	{"unknown key", func() *wire { return simple().sign(as2("AKIDUNKNOWN")) }, sigv4.ErrUnknownKey, unrecognized, sigv4.VerifierConfig{}},
	{"unknown key, one answer", func() *wire { return simple().sign(as2("AKIDUNKNOWN")) }, sigv4.ErrUnknownKey, invalid, sigv4.VerifierConfig{OneAnswer: true}},
	{"key id with a space", func() *wire { return simple().sign().replace("AKIDEXAMPLE/", "AKIDEXAMPLE /") }, sigv4.ErrUnknownKey, unrecognized, sigv4.VerifierConfig{}},

	// The scope.
	{"key of yesterday", func() *wire {
		return simple().sign(func(s *spec) { s.day = time.Now().UTC().AddDate(0, 0, -1).Format("20060102") })
	}, sigv4.ErrScope, invalid, sigv4.VerifierConfig{}},
	{"other region", func() *wire { return simple().sign(func(s *spec) { s.region = "us-east-1" }) }, sigv4.ErrScope, invalid, sigv4.VerifierConfig{}},
	{"other service", func() *wire { return simple().sign(func(s *spec) { s.service = "s3" }) }, sigv4.ErrScope, invalid, sigv4.VerifierConfig{}},
	{"other terminator", func() *wire { return simple().sign(func(s *spec) { s.closing = "aws5_request" }) }, sigv4.ErrScope, invalid, sigv4.VerifierConfig{}},
	{"four elements", func() *wire { return simple().sign().replace("/aws4_request", "") }, sigv4.ErrMalformedCredential, incomplete, sigv4.VerifierConfig{}},
	{"six elements", func() *wire { return simple().sign().replace("/aws4_request", "/aws4_request/x") }, sigv4.ErrMalformedCredential, incomplete, sigv4.VerifierConfig{}},
	{"no key id", func() *wire { return simple().sign(as2("")) }, sigv4.ErrMalformedCredential, incomplete, sigv4.VerifierConfig{}},

	// The date.
	{"too old", func() *wire { return simple().sign(at(-5*time.Minute - 2*time.Second)) }, sigv4.ErrExpired, invalid, sigv4.VerifierConfig{}},
	{"dated in the future", func() *wire { return simple().sign(at(6 * time.Minute)) }, sigv4.ErrNotYetValid, invalid, sigv4.VerifierConfig{}},
	{"dated so far in the future that nanoseconds wrap to now", func() *wire {
		return simple().sign(func(s *spec) {
			s.date = time.Unix(time.Now().Unix()+18_446_744_074, 0).UTC().Format("20060102T150405Z") // 1 << 64 ns
			s.day = s.date[:8]
		})
	}, sigv4.ErrNotYetValid, invalid, sigv4.VerifierConfig{}},
	{"narrow window", func() *wire { return simple().sign(at(-3 * time.Second)) }, sigv4.ErrExpired, invalid, sigv4.VerifierConfig{MaxAge: time.Second}},
	{"impossible month", func() *wire { return simple().sign(func(s *spec) { s.date = "20261332T000000Z" }) }, sigv4.ErrMalformedDate, incomplete, sigv4.VerifierConfig{}},
	{"impossible day", func() *wire { return simple().sign(func(s *spec) { s.date = "20270229T000000Z" }) }, sigv4.ErrMalformedDate, incomplete, sigv4.VerifierConfig{}},
	{"date of another zone", func() *wire { return simple().sign(func(s *spec) { s.date = "20261124T060000+0100" }) }, sigv4.ErrMalformedDate, incomplete, sigv4.VerifierConfig{}},
	{"empty X-Amz-Date before a good Date", func() *wire {
		w := simple()
		s := newSpec(nil)
		w.header = append(w.header, "Date: "+s.date)
		w.complete(&s)
		return w.with("X-Amz-Date:", "Authorization: AWS4-HMAC-SHA256 Credential="+s.credential()+", SignedHeaders="+s.signed+", Signature="+w.signature(s))
	}, sigv4.ErrMissingParameter, incomplete, sigv4.VerifierConfig{}},
	{"no date", func() *wire { w := simple().sign(); w.header = append(w.header[:1], w.header[2]); return w }, sigv4.ErrMissingParameter, incomplete, sigv4.VerifierConfig{}},
	{"date twice", func() *wire { w := simple().sign(); return w.with(w.header[1]) }, sigv4.ErrAmbiguousHeader, invalid, sigv4.VerifierConfig{}},
	{"date not signed", func() *wire { return simple().sign(func(s *spec) { s.signed = "host" }) }, sigv4.ErrUnsignedHeader, invalid, sigv4.VerifierConfig{}},
	{"Date not signed", func() *wire {
		w := simple().sign(func(s *spec) { s.signed = "host" })
		return w.replace("X-Amz-Date", "Date")
	}, sigv4.ErrUnsignedHeader, invalid, sigv4.VerifierConfig{}},

	// The signed headers.
	{"host not signed", func() *wire { return simple().sign(func(s *spec) { s.signed = "x-amz-date" }) }, sigv4.ErrUnsignedHeader, invalid, sigv4.VerifierConfig{}},
	{"another host", func() *wire { return simple().sign().replace("api.example.com", "evil.example.com") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"X-Amz-Copy-Source added (CVE-2026-54330)", func() *wire { return simple().sign().with("X-Amz-Copy-Source: /someone/else") }, sigv4.ErrUnsignedHeader, invalid, sigv4.VerifierConfig{}},
	{"signed header absent", func() *wire { return simple().sign(func(s *spec) { s.signed = "host;x-amz-acl;x-amz-date" }) }, sigv4.ErrAbsentHeader, invalid, sigv4.VerifierConfig{}},
	{"signed header in the query", func() *wire {
		w := newWire("GET", "/?x-amz-acl=private", "X-Amz-Acl: private").sign()
		w.header = append(w.header[:1], w.header[2:]...)
		return w
	}, sigv4.ErrAbsentHeader, invalid, sigv4.VerifierConfig{}},
	{"signed header with a second value", func() *wire {
		return newWire("GET", loyalty, "Content-Type: text/plain").sign().with("Content-Type: text/html")
	}, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"signed header changed", func() *wire {
		return newWire("GET", loyalty, "Content-Type: text/plain").sign().replace("text/plain", "text/html")
	}, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"content type not signed", func() *wire { return simple().sign().with("Content-Type: text/html") }, sigv4.ErrUnsignedHeader, invalid, sigv4.VerifierConfig{SignedHeaders: []string{"Content-Type"}}},
	{"underscore twin", func() *wire { return simple().sign().with("x_amz_security_token: evil") }, sigv4.ErrAmbiguousHeader, invalid, sigv4.VerifierConfig{}},
	{"underscore twin, signed", func() *wire { return newWire("GET", loyalty, "X-Amz-Security_Token: evil").sign() }, sigv4.ErrAmbiguousHeader, invalid, sigv4.VerifierConfig{}},
	{"unsorted list", func() *wire { return simple().sign(func(s *spec) { s.signed = "x-amz-date;host" }) }, sigv4.ErrSignedHeaders, invalid, sigv4.VerifierConfig{}},
	{"repetition in the list", func() *wire { return simple().sign(func(s *spec) { s.signed = "host;host;x-amz-date" }) }, sigv4.ErrSignedHeaders, invalid, sigv4.VerifierConfig{}},
	{"upper case in the list", func() *wire { return simple().sign(func(s *spec) { s.signed = "X-Amz-Date;host" }) }, sigv4.ErrSignedHeaders, invalid, sigv4.VerifierConfig{}},
	{"empty name in the list", func() *wire { return simple().sign(func(s *spec) { s.signed = "host;x-amz-date;" }) }, sigv4.ErrSignedHeaders, invalid, sigv4.VerifierConfig{}},
	{"space in the list", func() *wire { return simple().sign(func(s *spec) { s.signed = "host; x-amz-date" }) }, sigv4.ErrSignedHeaders, invalid, sigv4.VerifierConfig{}},

	// The Authorization header.
	{"two Authorization headers", func() *wire { w := simple().sign(); return w.with(w.header[2]) }, sigv4.ErrMalformedAuthorization, incomplete, sigv4.VerifierConfig{}},
	{"bearer token next to it", func() *wire { return simple().sign().with("Authorization: Bearer eyJ") }, sigv4.ErrMalformedAuthorization, incomplete, sigv4.VerifierConfig{}},
	{"bearer token", func() *wire { return simple().with("Authorization: Bearer eyJ") }, sigv4.ErrMalformedAuthorization, incomplete, sigv4.VerifierConfig{}},
	{"basic credentials", func() *wire { return simple().with("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==") }, sigv4.ErrMissingParameter, incomplete, sigv4.VerifierConfig{}},
	{"header and presigned query", func() *wire { return simple().presign().sign() }, sigv4.ErrTwoMechanisms, invalid, sigv4.VerifierConfig{}},
	{"lower-case algorithm", func() *wire { return simple().sign(func(s *spec) { s.algorithm = "aws4-hmac-sha256" }) }, sigv4.ErrAlgorithm, incomplete, sigv4.VerifierConfig{}},
	{"algorithm with a suffix", func() *wire { return simple().sign(func(s *spec) { s.algorithm += "-PAYLOAD" }) }, sigv4.ErrAlgorithm, incomplete, sigv4.VerifierConfig{}},
	{"SigV4A algorithm", func() *wire { return simple().sign(func(s *spec) { s.algorithm = "AWS4-ECDSA-P256-SHA256" }) }, sigv4.ErrAlgorithm, incomplete, sigv4.VerifierConfig{}},
	{"other algorithm", func() *wire { return simple().sign(func(s *spec) { s.algorithm = "OTHER" }) }, sigv4.ErrAlgorithm, incomplete, sigv4.VerifierConfig{}},
	{"no space after the algorithm", func() *wire { return simple().sign().replace("SHA256 Credential", "SHA256Credential") }, sigv4.ErrMissingParameter, incomplete, sigv4.VerifierConfig{}},
	{"Credential twice", func() *wire { return simple().sign().replace(" Credential=", " Credential=x, Credential=") }, sigv4.ErrMalformedAuthorization, incomplete, sigv4.VerifierConfig{}},
	{"Signature twice", func() *wire { return simple().sign().replace(" Signature=", " Signature=x, Signature=") }, sigv4.ErrMalformedAuthorization, incomplete, sigv4.VerifierConfig{}},
	{"SignedHeaders twice", func() *wire {
		return simple().sign().replace(" SignedHeaders=", " SignedHeaders=host, SignedHeaders=")
	}, sigv4.ErrMalformedAuthorization, incomplete, sigv4.VerifierConfig{}},
	{"Credential after an empty one", func() *wire { return simple().sign().replace(" Credential=", " Credential=, Credential=") }, sigv4.ErrMissingParameter, incomplete, sigv4.VerifierConfig{}},
	{"SignedHeaders after an empty one", func() *wire {
		return simple().sign().replace(" SignedHeaders=", " SignedHeaders=, SignedHeaders=")
	}, sigv4.ErrMissingParameter, incomplete, sigv4.VerifierConfig{}},
	{"Signature after an empty one", func() *wire { return simple().sign().replace(" Signature=", " Signature=, Signature=") }, sigv4.ErrMissingParameter, incomplete, sigv4.VerifierConfig{}},
	{"empty Signature after it", func() *wire { return simple().sign().lastPlus(", Signature=") }, sigv4.ErrMalformedAuthorization, incomplete, sigv4.VerifierConfig{}},
	{"unknown parameter", func() *wire { return simple().sign().replace(" Signature=", " Role=admin, Signature=") }, sigv4.ErrMalformedAuthorization, incomplete, sigv4.VerifierConfig{}},
	{"parameter in lower case", func() *wire { return simple().sign().replace(" Signature=", " signature=") }, sigv4.ErrMissingParameter, incomplete, sigv4.VerifierConfig{}},
	{"comma at the end", func() *wire { return simple().sign().lastPlus(",") }, sigv4.ErrMalformedAuthorization, incomplete, sigv4.VerifierConfig{}},
	{"endless Authorization header", func() *wire { return simple().sign(as2(strings.Repeat("A", 20_000))) }, sigv4.ErrHeaderTooLarge, tooLarge, sigv4.VerifierConfig{}},

	// The query. Go's url.Values drops the parameters with ";" and bad escapes; a verifier that reads it never sees
	// them.
	{"parameter added", func() *wire { return simple().sign().replace("customer=7", "customer=7&x=1") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"parameter changed", func() *wire { return simple().sign().replace("customer=7", "customer=8") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"parameter removed", func() *wire { return simple().sign().replace("?customer=7", "") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"empty parameter added", func() *wire { return simple().sign().replace("customer=7", "customer=7&") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"parameter with a semicolon added", func() *wire { return simple().sign().replace("customer=7", "customer=7&evil=1;x=2") }, sigv4.ErrAmbiguousQuery, invalid, sigv4.VerifierConfig{}},
	{"semicolon for its escape", func() *wire {
		return newWire("GET", "/?a=1%3Bb=2").sign(func(s *spec) { s.query = "a=1%3Bb%3D2" }).replace("%3B", ";")
	}, sigv4.ErrAmbiguousQuery, invalid, sigv4.VerifierConfig{}},
	{"parameter with a bad escape added", func() *wire { return simple().sign().replace("customer=7", "customer=7&evil=%zz") }, sigv4.ErrAmbiguousQuery, invalid, sigv4.VerifierConfig{}},
	{"truncated escape", func() *wire { return simple().sign().replace("customer=7", "customer=7&evil=%2") }, sigv4.ErrAmbiguousQuery, invalid, sigv4.VerifierConfig{}},
	{"plus for a plus", func() *wire { return newWire("GET", "/?a=1%2B2").sign().replace("%2B", "+") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"plus for a plus in a name", func() *wire { return newWire("GET", "/?a%2Bb=1").sign().replace("%2B", "+") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"plus signed as sent", func() *wire { return newWire("GET", "/?a=1+2").sign() }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"plus for a space in the path", func() *wire { return newWire("GET", "/a%20b").sign().replace("%20", "+") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"presigned, plus for a plus in the token", func() *wire {
		return newWire("GET", "/?X-Amz-Security-Token=token%2F%2B%3D%3D").presign(as2("ASIATEMP")).replace("%2B", "+")
	}, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"fragment in the query", func() *wire { return simple().sign().replace("customer=7", "customer=7#x") }, sigv4.ErrAmbiguousQuery, invalid, sigv4.VerifierConfig{}},
	{"unsorted query signed as sent (curl 7.88)", func() *wire { return newWire("GET", "/?b=2&a=1").sign() }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},

	// Presigned queries.
	{"presigned, nothing but a signature (CVE-2025-31489)", func() *wire {
		return newWire("PUT", "/?X-Amz-Signature=00", "X-Amz-Content-Sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER")
	}, sigv4.ErrMissingParameter, incomplete, sigv4.VerifierConfig{}},
	{"presigned, credential without a signature (CVE-2026-41145)", func() *wire {
		return newWire("PUT", "/?X-Amz-Credential=AKIDEXAMPLE%2F20261124%2Feu-west-1%2Fexecute-api%2Faws4_request",
			"X-Amz-Content-Sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER")
	}, sigv4.ErrMissingParameter, incomplete, sigv4.VerifierConfig{}},
	{"presigned, parameter added", func() *wire { w := simple().presign(); w.target += "&x=1"; return w }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"presigned, second X-Amz-Expires", func() *wire { w := simple().presign(); w.target += "&X-Amz-Expires=1"; return w }, sigv4.ErrAmbiguousQuery, invalid, sigv4.VerifierConfig{}},
	{"presigned, second X-Amz-Expires with an escaped name", func() *wire { w := simple().presign(); w.target += "&X%2DAmz-Expires=1"; return w }, sigv4.ErrAmbiguousQuery, invalid, sigv4.VerifierConfig{}},
	{"presigned, case variant (CVE-2022-2385)", func() *wire { w := simple().presign(); w.target += "&x-amz-credential=x"; return w }, sigv4.ErrAmbiguousQuery, invalid, sigv4.VerifierConfig{}},
	{"presigned, duplicate within the signature", func() *wire { return newWire("GET", "/?X-Amz-Date=20261124T000000Z").presign() }, sigv4.ErrAmbiguousQuery, invalid, sigv4.VerifierConfig{}},
	{"presigned, other X-Amz- parameter twice", func() *wire { return newWire("GET", "/?X-Amz-Acl=a&x-amz-acl=b").presign() }, sigv4.ErrAmbiguousQuery, invalid, sigv4.VerifierConfig{}},
	{"presigned, key id with a slash", func() *wire {
		w := simple().presign()
		w.target = strings.Replace(w.target, "AKIDEXAMPLE", "x/AKIDEXAMPLE", 1)
		return w
	}, sigv4.ErrMalformedCredential, incomplete, sigv4.VerifierConfig{}},
	{"presigned, expires 0", presignedFor("0"), sigv4.ErrExpires, incomplete, sigv4.VerifierConfig{}},
	{"presigned, expires negative", presignedFor("-1"), sigv4.ErrExpires, incomplete, sigv4.VerifierConfig{}},
	{"presigned, expires with a sign", presignedFor("%2B60"), sigv4.ErrExpires, incomplete, sigv4.VerifierConfig{}},
	{"presigned, expires with a fraction", presignedFor("60.5"), sigv4.ErrExpires, incomplete, sigv4.VerifierConfig{}},
	{"presigned, expires after more than 7 days", presignedFor("604801"), sigv4.ErrExpires, incomplete, sigv4.VerifierConfig{}},
	{"presigned, expires overflows", presignedFor("18446744073709551617"), sigv4.ErrExpires, incomplete, sigv4.VerifierConfig{}},
	{"presigned, expires taken away", func() *wire { return simple().presign().replace("X-Amz-Expires=300&", "") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"presigned, expires empty", presignedFor(""), sigv4.ErrExpires, incomplete, sigv4.VerifierConfig{}},
	{"presigned, expires without an equals sign", func() *wire { return newWire("GET", "/?X-Amz-Expires").presign(noExpires) }, sigv4.ErrExpires, incomplete, sigv4.VerifierConfig{}},
	{"presigned, expires twice", func() *wire { return newWire("GET", "/?X-Amz-Expires=60").presign() }, sigv4.ErrAmbiguousQuery, invalid, sigv4.VerifierConfig{}},
	{"presigned, expires in lower case alone", func() *wire { return newWire("GET", "/?x-amz-expires=60").presign(noExpires) }, sigv4.ErrAmbiguousQuery, invalid, sigv4.VerifierConfig{}},
	{"presigned, no expires, after MaxAge", func() *wire { return simple().presign(noExpires, at(-302*time.Second)) }, sigv4.ErrExpired, invalid, sigv4.VerifierConfig{}},
	{"presigned, no expires, after a shorter MaxExpires", func() *wire { return simple().presign(noExpires, at(-63*time.Second)) }, sigv4.ErrExpired, invalid, sigv4.VerifierConfig{MaxExpires: time.Minute}},
	{"presigned, no expires, after MaxAge, longer MaxExpires", func() *wire { return simple().presign(noExpires, at(-302*time.Second)) }, sigv4.ErrExpired, invalid, sigv4.VerifierConfig{MaxExpires: time.Hour}},
	{"presigned, no expires, S3", func() *wire {
		return newWire("GET", "/bucket/key").presign(noExpires, func(s *spec) { s.service, s.payload = "s3", "UNSIGNED-PAYLOAD" })
	}, sigv4.ErrExpires, incomplete, sigv4.VerifierConfig{S3: true}},
	{"presigned, expires after more than allowed", presignedFor("301"), sigv4.ErrExpires, incomplete, sigv4.VerifierConfig{MaxExpires: 300 * time.Second}},
	{"presigned, expired", func() *wire { return simple().presign(at(-302 * time.Second)) }, sigv4.ErrExpired, invalid, sigv4.VerifierConfig{MaxExpires: time.Hour}},
	{"presigned, API Gateway's window despite X-Amz-Expires", func() *wire { return simple().presign(at(-302*time.Second), func(s *spec) { s.expires = "3600" }) }, sigv4.ErrExpired, invalid, sigv4.VerifierConfig{}},
	{"presigned in the future", func() *wire { return simple().presign(at(6 * time.Minute)) }, sigv4.ErrNotYetValid, invalid, sigv4.VerifierConfig{}},
	{"presigned, X-Amz-Date header too", func() *wire { return newWire("GET", loyalty, "X-Amz-Date: 20261124T000000Z").presign() }, sigv4.ErrAmbiguousHeader, invalid, sigv4.VerifierConfig{}},
	{"presigned, malformed date", func() *wire { return simple().presign(func(s *spec) { s.date = "20261124" }) }, sigv4.ErrMalformedDate, incomplete, sigv4.VerifierConfig{}},
	{"presigned, hash in header and query", func() *wire {
		return newWire("GET", "/?X-Amz-Content-Sha256="+emptyHash, "X-Amz-Content-Sha256: "+emptyHash).presign()
	}, sigv4.ErrAmbiguousHeader, invalid, sigv4.VerifierConfig{}},
	{"presigned, hash twice", func() *wire {
		return newWire("GET", "/", "X-Amz-Content-Sha256: "+emptyHash, "X-Amz-Content-Sha256: "+emptyHash).presign()
	}, sigv4.ErrAmbiguousHeader, invalid, sigv4.VerifierConfig{}},
	{"presigned, body added", func() *wire { return newWire("POST", loyalty).presign().withBody("evil") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"presigned, X-Amz-Copy-Source added", func() *wire { return simple().presign().with("X-Amz-Copy-Source: /someone/else") }, sigv4.ErrUnsignedHeader, invalid, sigv4.VerifierConfig{}},

	// The method, the path and the target.
	{"method changed", func() *wire { w := simple().sign(); w.method = "DELETE"; return w }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"path changed", func() *wire { return simple().sign().replace("/Prod", "/prod") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"dot segment", func() *wire { return simple().sign().replace("/Prod", "/x/../Prod") }, sigv4.ErrUncleanPath, invalid, sigv4.VerifierConfig{}},
	{"escaped dot segment", func() *wire { return simple().sign().replace("/Prod", "/x/%2e%2E/Prod") }, sigv4.ErrUncleanPath, invalid, sigv4.VerifierConfig{}},
	{"half-escaped dot segment, signed", func() *wire { return newWire("GET", "/x/.%2e/y").sign() }, sigv4.ErrUncleanPath, invalid, sigv4.VerifierConfig{}},
	{"empty segment", func() *wire { return simple().sign().replace("/Prod", "//Prod") }, sigv4.ErrUncleanPath, invalid, sigv4.VerifierConfig{}},
	{"escaped slash for a slash", func() *wire { return simple().sign().replace("/Prod/loyalty", "/Prod%2Floyalty") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"escape in lower case", func() *wire { return newWire("GET", "/caf%C3%A9").sign().replace("%C3%A9", "%c3%a9") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"escape of an unreserved byte", func() *wire { return simple().sign().replace("/Prod", "/%50rod") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"path escaped once (curl 7.88)", func() *wire { return newWire("GET", "/a%20b").sign(func(s *spec) { s.path = "/a%20b" }) }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"fragment in the path", func() *wire { return newWire("GET", "/a#b").sign() }, sigv4.ErrMalformedTarget, invalid, sigv4.VerifierConfig{}},
	{"absolute target", func() *wire { w := simple().sign(); w.target = "http://api.example.com" + w.target; return w }, sigv4.ErrMalformedTarget, invalid, sigv4.VerifierConfig{}},
	{"absolute target with another authority", func() *wire { w := simple().sign(); w.target = "http://evil.example.com" + w.target; return w }, sigv4.ErrMalformedTarget, invalid, sigv4.VerifierConfig{}},
	{"asterisk target", func() *wire { return newWire("GET", "*").sign() }, sigv4.ErrMalformedTarget, invalid, sigv4.VerifierConfig{}},
	{"endless target", func() *wire { return newWire("GET", "/?"+strings.Repeat("a&", 20_000)+"a").sign() }, sigv4.ErrHeaderTooLarge, tooLarge, sigv4.VerifierConfig{}},

	// The body.
	{"body swapped", func() *wire { return postWire().sign().withBody(`{"points":999}`) }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"body swapped under a declared hash", func() *wire {
		return newWire("POST", loyalty, "X-Amz-Content-Sha256: "+hash("good")).withBody("good").sign().withBody("evil")
	}, sigv4.ErrPayloadMismatch, invalid, sigv4.VerifierConfig{}},
	{"body under the hash of nothing", func() *wire {
		return newWire("POST", loyalty, "X-Amz-Content-Sha256: "+emptyHash).sign().withBody("evil")
	}, sigv4.ErrPayloadMismatch, invalid, sigv4.VerifierConfig{}},
	{"body under no declared hash", func() *wire { return simple().sign().withBody("evil") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"hash that is none", declared("foo"), sigv4.ErrMalformedPayloadHash, invalid, sigv4.VerifierConfig{}},
	{"hash in upper case", declared(strings.ToUpper(emptyHash)), sigv4.ErrMalformedPayloadHash, invalid, sigv4.VerifierConfig{}},
	{"hash twice", func() *wire {
		return newWire("GET", loyalty, "X-Amz-Content-Sha256: "+emptyHash, "X-Amz-Content-Sha256: "+emptyHash).sign()
	}, sigv4.ErrAmbiguousHeader, invalid, sigv4.VerifierConfig{}},
	{"hash not signed", func() *wire { return simple().sign().with("X-Amz-Content-Sha256: " + emptyHash) }, sigv4.ErrUnsignedHeader, invalid, sigv4.VerifierConfig{}},
	{"unsigned payload", func() *wire { w := declared("UNSIGNED-PAYLOAD")(); w.body = "evil"; return w }, sigv4.ErrUnsignedPayload, invalid, sigv4.VerifierConfig{}},
	{"unsigned payload in chunks", func() *wire {
		return unsignedChunks("4\r\nevil\r\n0\r\n\r\n")
	}, sigv4.ErrUnsignedPayload, invalid, sigv4.VerifierConfig{}},
	{"streaming payload, signed", declared("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), sigv4.ErrStreamingPayload, invalid, sigv4.VerifierConfig{}},
	{"streaming payload, unsigned with a trailer", declared("STREAMING-UNSIGNED-PAYLOAD-TRAILER"), sigv4.ErrStreamingPayload, invalid, sigv4.VerifierConfig{AllowUnsignedPayload: true}},
	{"streaming payload without a signature", func() *wire {
		return newWire("PUT", loyalty, "X-Amz-Content-Sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER").withBody("evil")
	}, sigv4.ErrMissing, missingToken, sigv4.VerifierConfig{}},
	{"body too large", func() *wire { return newWire("POST", loyalty).withBody("12345").sign() }, sigv4.ErrBodyTooLarge, "RequestEntityTooLargeException", sigv4.VerifierConfig{MaxBody: 4}},
	{"body too large in chunks", func() *wire {
		return newWire("POST", loyalty).sign().with("Transfer-Encoding: chunked").withBody("5\r\n12345\r\n0\r\n\r\n")
	}, sigv4.ErrBodyTooLarge, "RequestEntityTooLargeException", sigv4.VerifierConfig{MaxBody: 4}},
	{"broken chunks", func() *wire {
		return newWire("POST", loyalty).sign().with("Transfer-Encoding: chunked").withBody("zz\r\n")
	}, sigv4.ErrBody, "BadRequestException", sigv4.VerifierConfig{}},

	{"X-Amz- trailer announced", func() *wire {
		w := newWire("POST", loyalty, "Transfer-Encoding: chunked").withBody("good").sign().with("Trailer: X-Amz-Copy-Source")
		return w.withBody("4\r\ngood\r\n0\r\nX-Amz-Copy-Source: /evil\r\n\r\n")
	}, sigv4.ErrUnsignedHeader, invalid, sigv4.VerifierConfig{}},
	{"X-Amz- trailer not announced", func() *wire {
		w := newWire("POST", loyalty, "Transfer-Encoding: chunked").withBody("good").sign()
		return w.withBody("4\r\ngood\r\n0\r\nx-amz-copy-source: /evil\r\n\r\n")
	}, sigv4.ErrUnsignedHeader, invalid, sigv4.VerifierConfig{}},
	{"X-Amz- trailer not announced, underscores", func() *wire {
		w := newWire("POST", loyalty, "Transfer-Encoding: chunked").withBody("good").sign()
		return w.withBody("4\r\ngood\r\n0\r\nx_amz_copy_source: /evil\r\n\r\n")
	}, sigv4.ErrUnsignedHeader, invalid, sigv4.VerifierConfig{}},
	{"Authorization trailer", func() *wire {
		w := newWire("POST", loyalty, "Transfer-Encoding: chunked").withBody("good").sign().with("Trailer: Note, Authorization")
		return w.withBody("4\r\ngood\r\n0\r\nAuthorization: Basic eA==\r\n\r\n")
	}, sigv4.ErrUnsignedHeader, invalid, sigv4.VerifierConfig{}},
	{"X-Amz- trailer announced, unsigned payload", func() *wire {
		return unsignedChunks("4\r\ngood\r\n0\r\nX-Amz-Acl: x\r\n\r\n").with("Trailer: X-Amz-Acl")
	}, sigv4.ErrUnsignedHeader, invalid, sigv4.VerifierConfig{AllowUnsignedPayload: true}},

	// Temporary credentials.
	{"session token missing", func() *wire { return simple().sign(as2("ASIATEMP")) }, sigv4.ErrSessionToken, unrecognized, sigv4.VerifierConfig{}},
	{"session token wrong", func() *wire { return withToken("ASIATEMP", "token/+=") }, sigv4.ErrSessionToken, unrecognized, sigv4.VerifierConfig{}},
	{"session token of a permanent key", func() *wire { return withToken(iamKeyID, "token/+==") }, sigv4.ErrSessionToken, unrecognized, sigv4.VerifierConfig{}},
	{"session token not signed", func() *wire { return simple().sign(as2("ASIATEMP")).with("X-Amz-Security-Token: token/+==") }, sigv4.ErrUnsignedHeader, invalid, sigv4.VerifierConfig{}},
	{"session token twice", func() *wire { return withToken("ASIATEMP", "token/+==").with("X-Amz-Security-Token: token/+==") }, sigv4.ErrAmbiguousHeader, invalid, sigv4.VerifierConfig{}},
	{"session token not signed in the query", func() *wire {
		w := simple().presign(as2("ASIATEMP"))
		w.target += "&X-Amz-Security-Token=token%2F%2B%3D%3D"
		return w
	}, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{}},
	{"session token in header and query", func() *wire {
		return newWire("GET", "/?X-Amz-Security-Token=token%2F%2B%3D%3D", "X-Amz-Security-Token: token/+==").presign(as2("ASIATEMP"))
	}, sigv4.ErrAmbiguousHeader, invalid, sigv4.VerifierConfig{}},
	{"session token expired", func() *wire { return withToken("ASIAENDED", "token/+==") }, sigv4.ErrCredentialExpired, expiredToken, sigv4.VerifierConfig{}},

	// S3 reads paths otherwise, not more laxly.
	{"S3, escaped slash for a slash", func() *wire { return s3(newWire("GET", "/bucket/key")).replace("/bucket/key", "/bucket%2Fkey") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{S3: true}},
	{"S3, escapes signed as sent", func() *wire { return s3(newWire("GET", "/bucket/a%7Eb")) }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{S3: true}},
	{"S3, escaped twice", func() *wire { return s3(newWire("GET", "/bucket/a%20b")).replace("a%20b", "a%2520b") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{S3: true}},
	{"S3, dot segment", func() *wire { return s3(newWire("GET", "/bucket/key")).replace("/bucket/key", "/bucket/x/../key") }, sigv4.ErrSignatureMismatch, invalid, sigv4.VerifierConfig{S3: true}},
	{"S3, presigned with a body", func() *wire {
		return newWire("PUT", "/bucket/key").presign(func(s *spec) { s.service, s.payload = "s3", "UNSIGNED-PAYLOAD" }).withBody("evil")
	}, sigv4.ErrUnsignedPayload, invalid, sigv4.VerifierConfig{S3: true}},
}

func noExpires(s *spec) { s.expires = "absent" }

func presignedFor(expires string) func() *wire {
	return func() *wire { return simple().presign(func(s *spec) { s.expires = expires }) }
}

func declared(hash string) func() *wire {
	return func() *wire {
		return newWire("POST", loyalty, "X-Amz-Content-Sha256: "+hash).sign(func(s *spec) { s.payload = hash })
	}
}

// unsignedChunks is a request whose body is not signed.
func unsignedChunks(body string) *wire {
	w := newWire("POST", loyalty, "X-Amz-Content-Sha256: UNSIGNED-PAYLOAD").sign(func(s *spec) { s.payload = "UNSIGNED-PAYLOAD" })
	return w.with("Transfer-Encoding: chunked").withBody(body)
}

func withToken(keyID, token string) *wire {
	return newWire("GET", loyalty, "X-Amz-Security-Token: "+token).sign(as2(keyID))
}

func s3(w *wire) *wire {
	return w.sign(func(s *spec) { s.service, s.path = "s3", strings.SplitN(w.target, "?", 2)[0] })
}

// cutLast takes bytes from the end of the last header, which is the signature.
func cutLast(w *wire, n int) *wire {
	last := &w.header[len(w.header)-1]
	*last = (*last)[:len(*last)-n]
	return w
}

func (w *wire) lastPlus(s string) *wire {
	w.header[len(w.header)-1] += s
	return w
}

// upperSignature puts the digits of the signature in upper case.
func upperSignature(w *wire) *wire {
	last := &w.header[len(w.header)-1]
	n := len(*last) - 64
	*last = (*last)[:n] + strings.ToUpper((*last)[n:])
	return w
}

func TestAttacksAreRefused(t *testing.T) {
	for _, tt := range attacks {
		t.Run(tt.name, func(t *testing.T) {
			g := guard(t, tt.config)
			response := send(t, g.address, tt.raw().String())
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.NotNil(t, g.refusal.Load(), "%d %s", response.StatusCode, body)
			require.ErrorIs(t, g.refusal.Load(), tt.want)
			require.Equal(t, tt.code, response.Header.Get("X-Amzn-ErrorType"))
			require.Equal(t, g.refusal.Load().StatusCode(), response.StatusCode)
			require.Equal(t, "application/json", response.Header.Get("Content-Type"))
			require.Len(t, response.Header.Get("X-Amzn-RequestId"), 36)
			require.Zero(t, g.served.Load())
		})
	}
}

// controls are requests that a verifier must accept, to show that it does not refuse everything.
var controls = []struct {
	name   string
	raw    func() *wire
	config sigv4.VerifierConfig
}{
	{"GET", func() *wire { return simple().sign() }, sigv4.VerifierConfig{}},
	{"GET with an Authorization header without spaces", func() *wire {
		return simple().sign().replace(", Signed", ",Signed").replace(", Signature", ",Signature")
	}, sigv4.VerifierConfig{}},
	{"Date in place of X-Amz-Date", func() *wire {
		w := simple()
		s := newSpec(nil)
		w.header = append(w.header, "Date: "+s.date)
		w.complete(&s)
		return w.with("Authorization: AWS4-HMAC-SHA256 Credential=" + s.credential() + ", SignedHeaders=" + s.signed + ", Signature=" + w.signature(s))
	}, sigv4.VerifierConfig{}},
	{"Date next to X-Amz-Date", func() *wire { return simple().sign().with("Date: " + time.Now().UTC().Format(http.TimeFormat)) }, sigv4.VerifierConfig{}},
	{"Date next to X-Amz-Date, far off", func() *wire { return simple().sign().with("Date: Mon, 23 Nov 2020 06:00:00 GMT") }, sigv4.VerifierConfig{}},
	{"Date next to X-Amz-Date, unreadable", func() *wire { return simple().sign().with("Date: yesterday", "Date: \xff") }, sigv4.VerifierConfig{}},
	{"Date next to X-Amz-Date, far off and signed", func() *wire { return newWire("GET", loyalty, "Date: Mon, 23 Nov 2020 06:00:00 GMT").sign() }, sigv4.VerifierConfig{}},
	{"Date next to X-Amz-Date, unreadable and signed", func() *wire { return newWire("GET", loyalty, "Date: yesterday").sign() }, sigv4.VerifierConfig{}},
	{"Date next to a presigned query", func() *wire { return simple().presign().with("Date: yesterday") }, sigv4.VerifierConfig{}},
	{"plus for a space", func() *wire { return newWire("GET", "/?a=1+2&b=").sign(func(s *spec) { s.query = "a=1%202&b=" }) }, sigv4.VerifierConfig{}},
	{"plus for a space in a name", func() *wire { return newWire("GET", "/?a+b=1&+=+").sign(func(s *spec) { s.query = "%20=%20&a%20b=1" }) }, sigv4.VerifierConfig{}},
	{"plus next to an escaped one", func() *wire { return newWire("GET", "/?a=%2B+%2b").sign(func(s *spec) { s.query = "a=%2B%20%2B" }) }, sigv4.VerifierConfig{}},
	{"plus in the path", func() *wire { return newWire("GET", "/a+b").sign(func(s *spec) { s.path = "/a%2Bb" }) }, sigv4.VerifierConfig{}},
	{"presigned, plus for a space", func() *wire { return newWire("GET", "/?q=a%20b").presign().replace("a%20b", "a+b") }, sigv4.VerifierConfig{}},
	{"presigned, no expires", func() *wire { return simple().presign(noExpires) }, sigv4.VerifierConfig{}},
	{"presigned, no expires, almost too old", func() *wire { return simple().presign(noExpires, at(-4*time.Minute)) }, sigv4.VerifierConfig{MaxExpires: time.Hour}},
	{"presigned, no expires, MaxExpires", func() *wire {
		return simple().presign(noExpires, func(s *spec) { s.service = "any" })
	}, sigv4.VerifierConfig{MaxExpires: 7 * 24 * time.Hour, Services: []string{"any"}}},
	{"almost too old", func() *wire { return simple().sign(at(-4 * time.Minute)) }, sigv4.VerifierConfig{}},
	{"almost in the future", func() *wire { return simple().sign(at(4*time.Minute + 50*time.Second)) }, sigv4.VerifierConfig{}},
	{"sorted by encoded name", func() *wire {
		return newWire("GET", "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1").sign(func(s *spec) { s.query = "%E1%88%B4=Value1&Param=Value2&Param-3=Value3" })
	}, sigv4.VerifierConfig{}},
	{"repeated parameters", func() *wire { return newWire("GET", "/?a=2&a=1&b").sign(func(s *spec) { s.query = "a=1&a=2&b=" }) }, sigv4.VerifierConfig{}},
	{"escapes in another form", func() *wire { return newWire("GET", "/?%61=%7e&u=ü").sign(func(s *spec) { s.query = "a=~&u=%C3%BC" }) }, sigv4.VerifierConfig{}},
	{"empty parameters", func() *wire { return newWire("GET", "/?a&&").sign(func(s *spec) { s.query = "=&=&a=" }) }, sigv4.VerifierConfig{}},
	{"UTF-8 path", func() *wire { return newWire("GET", "/caf%C3%A9/%E1%88%B4").sign() }, sigv4.VerifierConfig{}},
	{"UTF-8 path as raw bytes", func() *wire { return newWire("GET", "/ሴ").sign(func(s *spec) { s.path = "/%E1%88%B4" }) }, sigv4.VerifierConfig{}},
	{"path with escapes of all kinds", func() *wire { return newWire("GET", "/a%20b/%2F/c%7Ed/e%c3").sign() }, sigv4.VerifierConfig{}},
	{"dots that are no dot segments", func() *wire { return newWire("GET", "/.../.well-known/a..b/%2Ex/").sign() }, sigv4.VerifierConfig{}},
	{"unclean path, allowed", func() *wire { return newWire("GET", "/a/./b//../c/").sign(func(s *spec) { s.path = "/a/c/" }) }, sigv4.VerifierConfig{AllowUncleanPath: true}},
	{"folded header", func() *wire {
		w := newWire("GET", loyalty, "My-Header1: value1 value2 value3").sign()
		return w.replace("value1 value2 value3", "value1\r\n  value2\r\n     value3")
	}, sigv4.VerifierConfig{}},
	{"repeated header", func() *wire { return newWire("GET", loyalty, "My-Header: b", "My-Header: a,  c").sign() }, sigv4.VerifierConfig{}},
	{"tab in a header", func() *wire { return newWire("GET", loyalty, "My-Header: a \t b").sign() }, sigv4.VerifierConfig{}},
	{"Content-Length and Expect signed", func() *wire {
		return newWire("POST", loyalty, "Content-Length: 4", "Expect: 100-continue", "Content-Type: text/plain").withBody("good").sign()
	}, sigv4.VerifierConfig{}},
	{"Transfer-Encoding signed", func() *wire {
		w := newWire("POST", loyalty, "Transfer-Encoding: chunked").withBody("good").sign()
		return w.withBody("2\r\ngo\r\n2\r\nod\r\n0\r\n\r\n")
	}, sigv4.VerifierConfig{}},
	{"chunks with a trailer", func() *wire {
		w := newWire("POST", loyalty, "Transfer-Encoding: chunked", "Trailer: Note").withBody("good").sign(func(s *spec) { s.signed = "host;x-amz-date" })
		return w.withBody("4\r\ngood\r\n0\r\nNote: x\r\n\r\n")
	}, sigv4.VerifierConfig{}},
	{"body without a declared hash", func() *wire { return postWire().sign() }, sigv4.VerifierConfig{}},
	{"body with a declared hash", func() *wire {
		return newWire("POST", loyalty, "X-Amz-Content-Sha256: "+hash("good")).withBody("good").sign()
	}, sigv4.VerifierConfig{}},
	{"body of the size allowed", func() *wire { return newWire("POST", loyalty).withBody("1234").sign() }, sigv4.VerifierConfig{MaxBody: 4}},
	{"unsigned payload, allowed", func() *wire { w := declared("UNSIGNED-PAYLOAD")(); w.body = "any"; return w }, sigv4.VerifierConfig{AllowUnsignedPayload: true}},
	{"unsigned payload without a body", declared("UNSIGNED-PAYLOAD"), sigv4.VerifierConfig{}},
	{":authority for host", func() *wire { return simple().sign(func(s *spec) { s.signed = ":authority;x-amz-date" }) }, sigv4.VerifierConfig{}},
	{"host with a port", func() *wire {
		w := simple()
		w.header[0] = "Host: api.example.com:8443"
		return w.sign()
	}, sigv4.VerifierConfig{}},
	{"headers of proxies and clients", func() *wire {
		return simple().sign().with("User-Agent: x", "X-Forwarded-Host: evil", "X-Amzn-Trace-Id: Root=1", "amz-sdk-request: attempt=1")
	}, sigv4.VerifierConfig{}},
	{"X-Amz-Cf-Id of CloudFront", func() *wire { return simple().sign().with("X-Amz-Cf-Id: abc") }, sigv4.VerifierConfig{AllowUnsignedHeaders: []string{"X-Amz-Cf-Id"}}},
	{"content type signed where it must be", func() *wire { return newWire("GET", loyalty, "Content-Type: text/plain").sign() }, sigv4.VerifierConfig{SignedHeaders: []string{"content-type"}}},
	{"no content type where it must be signed", func() *wire { return simple().sign() }, sigv4.VerifierConfig{SignedHeaders: []string{"Content-Type"}}},
	{"external host", func() *wire { return simple().sign().replace("api.example.com", "10.0.0.7:8080") }, sigv4.VerifierConfig{ExternalHost: "api.example.com"}},
	{"path prefix", func() *wire { return simple().sign().replace("/Prod/", "/") }, sigv4.VerifierConfig{PathPrefix: "/Prod"}},
	{"temporary credentials", func() *wire { return withToken("ASIATEMP", "token/+==") }, sigv4.VerifierConfig{}},
	{"presigned", func() *wire { return simple().presign() }, sigv4.VerifierConfig{}},
	{"presigned with a body", func() *wire { return postWire().presign() }, sigv4.VerifierConfig{}},
	{"presigned with a declared hash", func() *wire {
		return newWire("POST", "/?X-Amz-Content-Sha256="+hash("good")).withBody("good").presign()
	}, sigv4.VerifierConfig{}},
	{"body of any size", func() *wire { return newWire("POST", loyalty).withBody(strings.Repeat("x", 1<<16)).sign() }, sigv4.VerifierConfig{MaxBody: -1}},
	{"presigned with the slashes of the credential as they are", func() *wire {
		w := simple().presign()
		w.target = strings.ReplaceAll(w.target, "%2F", "/")
		return w
	}, sigv4.VerifierConfig{}},
	{"presigned, good for an hour", func() *wire {
		return simple().presign(at(-59*time.Minute), func(s *spec) { s.expires = "3600" })
	}, sigv4.VerifierConfig{MaxExpires: time.Hour}},
	{"presigned by temporary credentials", func() *wire {
		return newWire("GET", "/?X-Amz-Security-Token=token%2F%2B%3D%3D").presign(as2("ASIATEMP"))
	}, sigv4.VerifierConfig{}},
	{"presigned, the token added after signing", func() *wire {
		w := simple().presign(as2("ASIATEMP"))
		w.target += "&X-Amz-Security-Token=token%2F%2B%3D%3D"
		return w
	}, sigv4.VerifierConfig{UnsignedToken: true}},
	{"S3, object key with segments of all kinds", func() *wire { return s3(newWire("GET", "/bucket/a%20b//c/../d%24")) }, sigv4.VerifierConfig{S3: true}},
	{"S3, escapes in another form", func() *wire {
		return newWire("GET", "/b/a%7Eb%c3%a9!%41").sign(func(s *spec) { s.service, s.path = "s3", "/b/a~b%C3%A9%21A" })
	}, sigv4.VerifierConfig{S3: true}},
	{"S3, payload hash not among the signed headers", func() *wire {
		w := newWire("GET", "/bucket").sign(func(s *spec) { s.service = "s3" })
		return w.with("X-Amz-Content-Sha256: " + emptyHash)
	}, sigv4.VerifierConfig{S3: true}},
	{"S3, presigned", func() *wire {
		return newWire("GET", "/bucket/key").presign(func(s *spec) { s.service, s.payload = "s3", "UNSIGNED-PAYLOAD" })
	}, sigv4.VerifierConfig{S3: true}},
}

func TestHarmlessVariantsAreAccepted(t *testing.T) {
	for _, tt := range controls {
		t.Run(tt.name, func(t *testing.T) {
			g := guard(t, tt.config)
			w := tt.raw()
			response := send(t, g.address, w.String())
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.Equal(t, 200, response.StatusCode, "%s %v", body, g.refusal.Load())
			require.Equal(t, int64(1), g.served.Load())
			if len(w.values("transfer-encoding")) == 0 {
				require.Equal(t, w.body, string(body)) // the handler has read what was sent
			}
		})
	}
}

// A body that is not signed reaches the handler as it arrives, and the limits apply there.
func TestUnsignedPayloadIsBounded(t *testing.T) {
	for name, tt := range map[string]struct {
		body, read string
		want       error
	}{
		"within the limit":           {"4\r\ngood\r\n0\r\n\r\n", "good", nil},
		"over the limit":             {"a\r\n0123456789\r\n0\r\n\r\n", "0123", new(http.MaxBytesError)},
		"X-Amz- trailer":             {"4\r\ngood\r\n0\r\nX-Amz-Acl: x\r\n\r\n", "good", sigv4.ErrUnsignedHeader},
		"trailer of another name":    {"4\r\ngood\r\n0\r\nNote: x\r\n\r\n", "good", nil},
		"over the limit in one byte": {"5\r\n01234\r\n0\r\n\r\n", "0123", new(http.MaxBytesError)},
	} {
		t.Run(name, func(t *testing.T) {
			type reading struct {
				text    string
				err     error
				trailer http.Header
			}
			read := make(chan reading, 1)
			c := sigv4.VerifierConfig{Keys: tempKeyring().Key, Regions: []string{"eu-west-1"}, AllowUnsignedPayload: true, MaxBody: 4}
			server := httptest.NewServer(newVerifier(t, c).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				text, err := io.ReadAll(r.Body)
				read <- reading{string(text), err, r.Trailer}
			})))
			defer server.Close()
			require.Equal(t, 200, send(t, server.Listener.Addr().String(), unsignedChunks(tt.body).String()).StatusCode)
			got := <-read
			require.Equal(t, tt.read, got.text)
			require.NotContains(t, got.trailer, "X-Amz-Acl")
			switch want := tt.want.(type) {
			case *http.MaxBytesError:
				require.ErrorAs(t, got.err, &want)
			default:
				require.ErrorIs(t, got.err, tt.want)
			}
		})
	}
}

// What net/http refuses on its own must stay so: the verifier relies on it.
func TestNetHTTPRefusesBrokenRequests(t *testing.T) {
	for name, w := range map[string]*wire{
		"second Host header":      newWire("GET", loyalty, "Host: evil.example.com"),
		"bad escape in the path":  newWire("GET", "/%zz"),
		"space in the target":     newWire("GET", "/a b"),
		"line break in a header":  newWire("GET", loyalty, "X: a\nb"),
		"space after header name": newWire("GET", loyalty, "X-Amz-Date : x"),
		"two content lengths":     newWire("POST", loyalty, "Content-Length: 1", "Content-Length: 2"),
	} {
		t.Run(name, func(t *testing.T) {
			g := guard(t, sigv4.VerifierConfig{})
			require.Equal(t, 400, send(t, g.address, w.String()).StatusCode)
			require.Nil(t, g.refusal.Load())
		})
	}
}
