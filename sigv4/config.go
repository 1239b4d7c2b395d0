package sigv4

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// VerifierConfig configures a [Verifier].
type VerifierConfig struct {
	// Keys is the key source: it returns the key with the scope's access key ID, or an error that wraps [ErrUnknownKey].
	// Any other error is a failure of the source and answered with 503. It is called once per request, whether or not the
	// signature will match, by many goroutines at once. Required. [Keyring] is one in memory.
	Keys func(context.Context, Scope) (Key, error)
	// Regions are the regions accepted, such as "eu-west-1". Required.
	Regions []string
	// Services are the services accepted. Empty means "execute-api" under [ExecuteAPI], "s3" under [S3]; [Generic] has no
	// default.
	Services []string
	// Rules is how requests are read. Zero means [ExecuteAPI].
	Rules Rules

	// MaxAge is how long a signature is good for. Zero means 5 minutes. A fraction of a second does not count, here and in
	// the two fields below.
	MaxAge time.Duration
	// MaxAhead is how far in the future a signature may be dated. Zero means 5 minutes.
	MaxAhead time.Duration
	// MaxExpires is the longest X-Amz-Expires accepted on a presigned URL, which is then good for that long. Zero means
	// 7 days, the most that AWS allows, except under [ExecuteAPI]: API Gateway holds a presigned URL to MaxAge and only
	// wants X-Amz-Expires to be well formed. A URL without X-Amz-Expires is good for MaxAge or MaxExpires, whichever is
	// shorter; [S3] refuses it.
	MaxExpires time.Duration

	// SignedHeaders are headers that must be signed where a request has them, such as "Content-Type". Those that must be
	// signed always are Host and all that begin with X-Amz-; nothing here adds to or takes from them.
	SignedHeaders []string
	// AllowUnsignedHeaders are headers beginning with X-Amz- that need not be signed, since a proxy adds them, such as
	// CloudFront's X-Amz-Cf-Id.
	AllowUnsignedHeaders []string
	// AllowUnsignedPayload accepts UNSIGNED-PAYLOAD in place of the payload hash, so that nothing vouches for the body. The
	// handler reads it as it comes in and gets an [http.MaxBytesError] after MaxBody bytes. Without AllowUnsignedPayload,
	// such a request is accepted only if it has no body.
	AllowUnsignedPayload bool
	// UnsignedToken expects the session token outside the signature, added after signing as AWS IoT wants it. The token
	// is compared all the same.
	UnsignedToken bool
	// AllowUncleanPath accepts paths with empty segments or dot segments, which are normalised for the signature but not
	// for the handler. [S3] accepts them always, as parts of object keys.
	AllowUncleanPath bool
	// MaxBody is the most bytes of a body accepted. Zero means 10 MiB, API Gateway's limit; negative means no limit.
	MaxBody int64

	// MaxHeaderBytes is the most bytes accepted of the request line, the Authorization header and the signed headers
	// together. It also bounds how many parameters the query may have, one for every 40 bytes, how many values the signed
	// headers, and the canonical form of the query, which may be half as long again. Zero means 10 240, API Gateway's limit,
	// and thus 256 of each and 15 360 bytes; negative means no limit but net/http's, [http.Server].MaxHeaderBytes. At any
	// value, 64 parameters may have names that begin with X-Amz-. What exceeds it is refused with [ErrHeaderTooLarge].
	MaxHeaderBytes int

	// ExternalHost is the host that clients sign, where a proxy replaces the Host header. Empty means the Host header.
	// X-Forwarded-Host is never read, as anyone can send it. It is no URL: "api.example.com", or with a port that clients
	// sign, "api.example.com:8443".
	ExternalHost string
	// PathPrefix is what a proxy has cut off the path that clients sign, such as "/Prod", with the escapes that they send.
	PathPrefix string

	// OneAnswer answers an unknown access key as a signature that does not match, so that nobody can try out access keys. The
	// two also cost the same: the body is read for both. API Gateway's answers tell the two apart.
	OneAnswer bool
	// Explain adds the canonical request and the string to sign to the answer to a signature that does not match, as API
	// Gateway does. They hold nothing but what the client has sent. Each line is cut to 256 bytes; [Error].Trace has all.
	Explain bool
	// AllowDespite reports whether [Verifier.Handler] passes on a request that was refused, for a dry run or to stay open
	// while the key source is down ([ErrUnavailable]). It is called with the *[Error]. The next handler gets the request
	// without an identity, an outer verifier's included, and with its whole body, which ends in an [http.MaxBytesError]
	// after MaxBody bytes. Nothing is set in the response. A body that was found too large stays refused, and so does all
	// that a zero Verifier is asked. [Verifier.Verify] and [Verifier.Authenticate] still refuse. Nil means never.
	AllowDespite func(*http.Request, error) bool
	// ErrorHandler answers refusals, the headers of [Error.SetHeader] already set. Nil means [Error.ServeHTTP]. The error
	// is an *[Error].
	ErrorHandler func(http.ResponseWriter, *http.Request, error)
}

// The window of API Gateway either way, its limits on bodies and on the request line and header values together (API Gateway
// Developer Guide, "Quotas for configuring and running an HTTP API"), and AWS's longest life of a presigned URL.
const (
	defaultWindow  = 5 * time.Minute
	defaultMaxBody = 10 << 20
	defaultHeader  = 10_240
	maxExpires     = 7 * 24 * time.Hour // 604 800 s
)

// bytesPerField makes a request cost little more than its bytes, however many fields are made of them: 10 240 / 40 = 256.
const bytesPerField = 40

func (c *VerifierConfig) check() error {
	short := func(d time.Duration) bool { return d > 0 && d < time.Second }
	return errors.Join(
		wrong(c.Keys == nil, "Keys is nil"),
		checkKeyring(c.Keys),
		wrong(len(c.Regions) == 0 || slices.ContainsFunc(c.Regions, notElement), "Regions is empty or names no region"),
		wrong(slices.ContainsFunc(c.Services, notElement), "Services names no service"),
		wrong(len(c.Services) == 0 && c.Rules.service() == "", "Services is empty"),
		wrong(c.Rules > S3, "Rules is unknown"),
		wrong(c.MaxAge < 0 || c.MaxAhead < 0, "MaxAge or MaxAhead is negative"),
		wrong(c.MaxExpires < 0 || c.MaxExpires > maxExpires, "MaxExpires is not within 7 days"),
		wrong(short(c.MaxAge) || short(c.MaxAhead) || short(c.MaxExpires), "MaxAge, MaxAhead or MaxExpires is below a second"),
		wrongIn(c.SignedHeaders, notName, "SignedHeaders has %q, which is no header name"),
		wrongIn(c.AllowUnsignedHeaders, notAmzName,
			"AllowUnsignedHeaders has %q, which does not begin with X-Amz-: only such headers must be signed"),
		wrong(!hostBytes.all(c.ExternalHost), "ExternalHost is not a host, with or without a port, in ASCII"),
		wrong(c.PathPrefix != "" && notPrefix(c.PathPrefix),
			"PathPrefix is not a clean path, escaped, that begins with a slash and does not end in one"),
	)
}

func (c VerifierConfig) withDefaults() VerifierConfig {
	c.Regions = slices.Clone(c.Regions)
	c.Services = slices.Clone(c.Services)
	if len(c.Services) == 0 {
		c.Services = []string{c.Rules.service()}
	}
	c.MaxAge = orDefault(c.MaxAge, defaultWindow)
	c.MaxAhead = orDefault(c.MaxAhead, defaultWindow)
	if c.Rules != ExecuteAPI {
		c.MaxExpires = orDefault(c.MaxExpires, maxExpires)
	}
	if c.MaxBody = orDefault(c.MaxBody, defaultMaxBody); c.MaxBody < 0 {
		c.MaxBody = math.MaxInt64
	}
	if c.MaxHeaderBytes = orDefault(c.MaxHeaderBytes, defaultHeader); c.MaxHeaderBytes < 0 {
		c.MaxHeaderBytes = math.MaxInt
	}
	c.SignedHeaders, c.AllowUnsignedHeaders = nil, nil // kept in lower case
	return c
}

func orDefault[T ~int | ~int64](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}

func lowerAll(names []string) []string {
	lower := make([]string, len(names))
	for i, name := range names {
		lower[i] = strings.ToLower(name)
	}
	return lower
}

// wrong returns a mistake of a configuration, or nil.
func wrong(is bool, mistake string) error {
	if !is {
		return nil
	}
	return errors.New(mistake)
}

// wrongIn returns a mistake of a list, with the first element that is one, or nil.
func wrongIn(list []string, is func(string) bool, mistake string) error {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return fmt.Errorf(mistake, list[i])
	}
	return nil
}

// notName reports whether s cannot be a header's name.
func notName(s string) bool { return s == "" || !tokenBytes.all(s) }

// notAmzName reports whether s cannot be the name of a header that must be signed for its name.
func notAmzName(s string) bool { return notName(s) || !isAmz([]byte(s)) }

// notPrefix reports whether clients cannot have signed a path that begins with s.
func notPrefix(s string) bool {
	_, err := url.PathUnescape(s)
	return err != nil || !prefixBytes.all(s) || s[0] != '/' || strings.HasSuffix(s, "/") || !isClean(s)
}

// notElement reports whether s cannot stand in a credential scope.
func notElement(s string) bool { return s == "" || strings.ContainsAny(s, "/ ,=\n") }
