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
	// Keys is the key source. It returns the key for the access key ID of the scope, or an error that wraps
	// [ErrUnknownKey]. Any other error means that the source has failed, and is answered with 503. It is called once
	// for each request that gets as far, before the signatures are compared, and by many goroutines at once. Required.
	// [Keyring.Key] is a key source in memory.
	Keys func(context.Context, Scope) (Key, error)
	// Regions are the regions accepted, such as "eu-west-1". Required.
	Regions []string
	// Services are the services accepted. Empty means "execute-api", or "s3" under S3.
	Services []string
	// S3 reads requests as Amazon S3 does. All other services of AWS normalise the path and escape it once more than it
	// was sent. S3 decodes the path and escapes it once, and keeps dot segments and empty segments, because object keys
	// may have them. A presigned URL does not cover the body, and must have X-Amz-Expires. Unlike in S3, an escaped
	// slash is not the same as a slash. Answers are S3's only with [S3XML].
	S3 bool

	// MaxAge is how old a signature may be. Zero means 5 minutes. Fractions of a second are ignored, here and in the
	// two fields below.
	MaxAge time.Duration
	// MaxAhead is how far in the future a signature may be dated. Zero means 5 minutes.
	MaxAhead time.Duration
	// MaxExpires is the longest X-Amz-Expires that a presigned URL may have; the URL is then valid for as long as
	// X-Amz-Expires says. Services of AWS other than API Gateway allow 7 days, which is also the most here. Zero means
	// 7 days under S3. Otherwise zero means that a presigned URL is valid for MaxAge, as at API Gateway, and that
	// X-Amz-Expires must only be well formed. A URL without X-Amz-Expires is valid for MaxAge or MaxExpires, whichever
	// is shorter; under S3 it is refused.
	MaxExpires time.Duration

	// SignedHeaders are headers that must be signed if a request has them, such as "Content-Type". Host and all headers
	// that begin with X-Amz- must be signed in any case.
	SignedHeaders []string
	// AllowUnsignedHeaders are headers that begin with X-Amz- and need not be signed, because a proxy adds them, such
	// as CloudFront's X-Amz-Cf-Id.
	AllowUnsignedHeaders []string
	// AllowUnsignedPayload accepts UNSIGNED-PAYLOAD instead of the payload hash, so that the signature does not cover
	// the body. The handler reads the body as it arrives, and gets an [http.MaxBytesError] after MaxBody bytes. Without
	// AllowUnsignedPayload such a request is accepted only if it has no body.
	AllowUnsignedPayload bool
	// UnsignedToken expects a session token that was added after signing, as AWS IoT requires. The token is still
	// compared with the key's.
	UnsignedToken bool
	// AllowUncleanPath accepts paths with empty segments or dot segments. They are normalised for the signature but not
	// for the handler. Under S3 they are always accepted, and not normalised.
	AllowUncleanPath bool
	// MaxBody is the most bytes that a body may have. Zero means 10 MiB, which is API Gateway's limit; negative means
	// no limit.
	MaxBody int64

	// MaxHeaderBytes is the most bytes that the request line, the Authorization header and the signed headers may have
	// together. Zero means 10 240, which is API Gateway's limit; negative means no limit but that of net/http,
	// [http.Server].MaxHeaderBytes. A request beyond it is refused with [ErrTooLarge].
	//
	// Other limits follow from it. The query may have one parameter for every 40 bytes, which is 256 by default, and
	// the signed headers as many values. The query in canonical form may have one and a half times as many bytes, which
	// is 15 360 by default. At any value, at most 64 parameters may have names that begin with X-Amz-.
	MaxHeaderBytes int

	// ExternalHost is the host that clients sign, if a proxy replaces the Host header. Empty means the Host header. It
	// is a host and not a URL: "api.example.com", or "api.example.com:8443" if clients sign the port. X-Forwarded-Host
	// is never read, because any client can send it.
	ExternalHost string
	// PathPrefix is the beginning of the path that clients sign and that a proxy removes, such as "/Prod", escaped as
	// clients send it.
	PathPrefix string

	// OneAnswer answers an unknown access key like a signature that does not match, so that a client cannot find out
	// which access keys exist. Both cost the same: the body is read in either case. API Gateway's answers differ.
	OneAnswer bool
	// Explain adds the canonical request and the string to sign to the answer to a signature that does not match, as
	// API Gateway does. They contain only what the client has sent. Each line is cut to 256 bytes; [Error].Trace has
	// all of it.
	Explain bool
	// AllowDespite reports whether [Verifier.Handler] passes on a request that was refused. It is for a dry run, or to
	// stay open while the key source is down ([ErrUnavailable]). It is called with the *[Error]. The next handler gets
	// the request without an identity, even if an outer verifier has identified the caller. It gets the whole body,
	// which ends in an [http.MaxBytesError] after MaxBody bytes. No response header is set. A body that was too large
	// stays refused, and so does every request to a zero Verifier. [Verifier.Verify] and [Verifier.Authenticate] refuse
	// in any case. Nil means never.
	AllowDespite func(*http.Request, error) bool
	// ErrorHandler answers refusals. The headers of [Error.SetHeader] are set already, and the error is an *[Error].
	// Nil means [Error.ServeHTTP].
	ErrorHandler func(http.ResponseWriter, *http.Request, error)

	// Observe is told each decision, once, before the request goes on or is answered. It runs on the request's
	// goroutine and must not block; a panic of it is not caught. Nil tells nobody.
	Observe func(context.Context, Event)
	// RequestID returns the id of a request, if the application names its requests. It is the X-Amzn-RequestId of a
	// refusal and the RequestID of an [Event]. If it returns "", a refusal gets a random id. Do not return a header that
	// any client can set: it would choose what stands in your logs. Nil means that each refusal gets a random id. If an
	// outer layer has set X-Amzn-RequestId in the answer before [Verifier.Handler], that is the id in any case.
	RequestID func(*http.Request) string
}

// API Gateway's window in both directions, its limit on bodies, and its limit on the request line and header values
// together (API Gateway Developer Guide, "Quotas for configuring and running an HTTP API"). maxExpires is how long a
// presigned URL of AWS may be valid.
const (
	defaultWindow  = 5 * time.Minute
	defaultMaxBody = 10 << 20
	defaultHeader  = 10_240
	maxExpires     = 7 * 24 * time.Hour // 604 800 s
)

// bytesPerField keeps the cost of a request in proportion to its bytes, however many fields they make: 10 240 / 40 =
// 256.
const bytesPerField = 40

// check returns every mistake in the configuration.
func (c *VerifierConfig) check() error {
	short := func(d time.Duration) bool { return d > 0 && d < time.Second }
	return errors.Join(
		wrong(c.Keys == nil, "Keys is nil"),
		checkKeyring(c.Keys),
		wrong(len(c.Regions) == 0 || slices.ContainsFunc(c.Regions, notElement), "Regions is empty or names no region"),
		wrong(slices.ContainsFunc(c.Services, notElement), "Services names no service"),
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

// withDefaults returns the configuration with its defaults, and with lists of its own.
func (c VerifierConfig) withDefaults() VerifierConfig {
	c.Regions = slices.Clone(c.Regions)
	c.Services = slices.Clone(c.Services)
	if len(c.Services) == 0 {
		c.Services = []string{defaultService(c.S3)}
	}
	c.MaxAge = orDefault(c.MaxAge, defaultWindow)
	c.MaxAhead = orDefault(c.MaxAhead, defaultWindow)
	if c.S3 {
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

// defaultService returns the service that a configuration may leave out.
func defaultService(s3 bool) string {
	if s3 {
		return "s3"
	}
	return "execute-api"
}

// orDefault returns the value, or otherwise if it is zero.
func orDefault[T ~int | ~int64](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}

// lowerAll returns the names in lower case, as they stand in a list of signed headers.
func lowerAll(names []string) []string {
	lower := make([]string, len(names))
	for i, name := range names {
		lower[i] = strings.ToLower(name)
	}
	return lower
}

// wrong returns an error with the text if is is true, and nil otherwise. Each mistake names the package, because
// several are joined, one a line.
func wrong(is bool, mistake string) error {
	if !is {
		return nil
	}
	return errors.New("sigv4: " + mistake)
}

// wrongIn returns an error that names the first wrong element of a list, or nil if there is none.
func wrongIn(list []string, is func(string) bool, mistake string) error {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return fmt.Errorf("sigv4: "+mistake, list[i])
	}
	return nil
}

// notName reports whether s cannot be the name of a header.
func notName(s string) bool { return s == "" || !tokenBytes.all(s) }

// notAmzName reports whether s cannot be the name of a header that begins with X-Amz-.
func notAmzName(s string) bool { return notName(s) || !isAmz([]byte(s)) }

// notPrefix reports whether s cannot be the beginning of a path that clients sign.
func notPrefix(s string) bool {
	_, err := url.PathUnescape(s)
	return err != nil || !prefixBytes.all(s) || s[0] != '/' || strings.HasSuffix(s, "/") || !isClean(s)
}

// notElement reports whether s cannot be an element of a credential scope. A slash would end the element, a comma, a
// space or a "=" would end it in the Authorization header, and a line break in the string to sign.
func notElement(s string) bool { return s == "" || strings.ContainsAny(s, "/ ,=\n") }
