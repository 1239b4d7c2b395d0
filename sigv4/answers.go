package sigv4

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// reply is AWS's answer to a cause: API Gateway's, and S3's, which [S3XML] sends. The texts of S3 are in s3Messages.
type reply struct {
	cause    error
	status   int
	code     string
	message  string
	text     func(*Error) string // instead of message, if the text depends on the request
	s3Status int
	s3Code   string
}

// AWS's names of errors.
const (
	incomplete = "IncompleteSignatureException"
	invalid    = "InvalidSignatureException"
)

// mismatch is also the answer to what AWS is not known to refuse with a text of its own: AWS gives such a request
// another canonical form than the client has signed.
const mismatch = "The request signature we calculated does not match the signature you provided. Check your AWS Secret " +
	"Access Key and signing method. Consult the service documentation for details."

// Sources of the texts: AWS, "Troubleshoot Signature Version 4 signing for AWS API requests", "Common errors" and
// re:Post "API Gateway IAM SigV4 mismatch"; what execute-api answers in public issue threads; S3 "Error responses".
//
// The first row that fits decides. So a variant stands above the exported cause that it belongs to, and a variant
// without a row of its own has that cause's answer.
var answers = [...]reply{
	{ErrNotConfigured, 500, "ApiConfigurationException", "Internal server error", nil, 500, "InternalError"},
	{ErrUnavailable, 503, "ServiceUnavailableException", "Service Unavailable", nil, 503, "ServiceUnavailable"},
	{ErrRedirect, 500, "ApiConfigurationException", "Internal server error", nil, 500, "InternalError"},

	{ErrMissing, 403, "MissingAuthenticationTokenException", "Missing Authentication Token", nil, 403, "AccessDenied"},

	{errMalformedAuthorization, 403, incomplete, "", malformedText, 400, "AuthorizationHeaderMalformed"},
	{errMissingParameter, 403, incomplete, "", missingText, 400, "AuthorizationHeaderMalformed"},
	{errMalformedDate, 403, incomplete, "", dateText, 403, "AccessDenied"},
	{errAlgorithm, 403, incomplete, "", algorithmText, 400, "InvalidArgument"},
	{errMalformedCredential, 403, incomplete, "", credentialText, 400, "AuthorizationHeaderMalformed"},
	{errMalformedSignature, 403, invalid, "", mismatchText, 403, "SignatureDoesNotMatch"},
	{errExpires, 403, incomplete, "AWS query-string parameters must include a valid 'X-Amz-Expires'. Re-examine the query-string parameters.", nil, 400, "AuthorizationQueryParametersError"},
	{errMalformedPayloadHash, 403, invalid, mismatch, nil, 400, "InvalidArgument"},
	{ErrMalformed, 403, invalid, mismatch, nil, 403, "SignatureDoesNotMatch"},

	{errTwoMechanisms, 403, invalid, "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.", nil, 400, "InvalidArgument"},
	{ErrAmbiguous, 403, invalid, mismatch, nil, 403, "SignatureDoesNotMatch"},

	{errUnsignedHeader, 403, invalid, "", unsignedText, 403, "AccessDenied"},
	{errStreamingPayload, 403, invalid, mismatch, nil, 501, "NotImplemented"},
	{ErrUnsigned, 403, invalid, mismatch, nil, 403, "AccessDenied"},

	// RFC 6585 5. Public reports of API Gateway's limit of 10 240 bytes name the status; AWS documents neither it nor a
	// text.
	{errHeaderTooLarge, 431, "RequestHeaderFieldsTooLargeException", "Request Header Fields Too Large", nil, 400, "RequestHeaderSectionTooLarge"},
	{ErrTooLarge, 413, "RequestEntityTooLargeException", "Request Too Long", nil, 400, "EntityTooLarge"},
	{ErrBody, 400, "BadRequestException", "Bad Request", nil, 400, "IncompleteBody"},

	{errExpired, 403, invalid, "", expiredText, 403, "RequestTimeTooSkewed"},
	{errNotYetValid, 403, invalid, "", earlyText, 403, "RequestTimeTooSkewed"},
	{ErrNotCurrent, 403, invalid, mismatch, nil, 403, "RequestTimeTooSkewed"},
	{ErrScope, 403, invalid, "", scopeText, 400, "AuthorizationHeaderMalformed"},

	{ErrUnknownKey, 403, "UnrecognizedClientException", "The security token included in the request is invalid.", nil, 403, "InvalidAccessKeyId"},
	{errPayloadMismatch, 403, invalid, mismatch, nil, 400, "XAmzContentSHA256Mismatch"},
	{errAbsentHeader, 403, invalid, mismatch, nil, 403, "SignatureDoesNotMatch"},
	{ErrSignatureMismatch, 403, invalid, "", mismatchText, 403, "SignatureDoesNotMatch"},
	{errCredentialExpired, 403, "ExpiredTokenException", "The security token included in the request is expired", nil, 400, "ExpiredToken"},
	{ErrSessionToken, 403, "UnrecognizedClientException", "The security token included in the request is invalid.", nil, 400, "InvalidToken"},

	// The last, because it is always joined with a cause that API Gateway answers. Only S3 has an answer to this one.
	{errVersion2, 403, incomplete, "", algorithmText, 400, "InvalidRequest"},
}

// answer returns the reply to the cause. It looks through all rows in order, because a cause may wrap several others; a
// refusal that is answered can afford that. An Error that a caller made may have a cause that is not of this package;
// that is answered as an internal error. A masked unknown key is answered as a mismatch.
func (e *Error) answer() *reply {
	cause := e.Err
	if e.masked {
		cause = ErrSignatureMismatch
	}
	for i := range answers {
		if errors.Is(cause, answers[i].cause) {
			return &answers[i]
		}
	}
	return &answers[0]
}

// malformedText has a hash of the header, because the header may be a bearer token. API Gateway does so since 2023.
func malformedText(e *Error) string {
	sum := sha256.Sum256([]byte(e.authorization()))
	return "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '" +
		base64.StdEncoding.EncodeToString(sum[:]) + "'."
}

// authorization returns the refused header. An Error that a caller made has none; then it is Detail.
func (e *Error) authorization() string {
	if e.header == nil {
		return e.Detail
	}
	return *e.header
}

// The parameters that may be missing, as bits of [Error.missing].
const (
	noAlgorithm uint8 = 1 << iota
	noCredential
	noSignature
	noSignedHeaders
	noDate
	inQuery // the parameters are missing in the query and not in the Authorization header
)

// missingText names all missing parameters, each in a sentence of its own.
func missingText(e *Error) string {
	var b strings.Builder
	if e.missing&inQuery != 0 {
		for i, name := range [...]string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"} {
			if e.missing&(noAlgorithm<<i) != 0 {
				b.WriteString("AWS query-string parameters must include '" + name + "'. ")
			}
		}
		b.WriteString("Re-examine the query-string parameters.")
		return b.String()
	}
	for i, name := range [...]string{"Credential", "Signature", "SignedHeaders"} {
		if e.missing&(noCredential<<i) != 0 {
			b.WriteString("Authorization header requires '" + name + "' parameter. ")
		}
	}
	if e.missing&noDate != 0 {
		b.WriteString("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
	}
	b.WriteString("Authorization=" + clip(e.authorization()))
	return b.String()
}

func dateText(e *Error) string {
	return "Date must be in ISO-8601 'basic format'. Got '" + clip(e.Detail) + "'. See http://en.wikipedia.org/wiki/ISO_8601"
}

func algorithmText(e *Error) string {
	return "Unsupported AWS 'algorithm': '" + clip(e.Detail) + "' (only AWS4-HMAC-SHA256 for now). "
}

func credentialText(e *Error) string {
	return "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '" + clip(e.Detail) + "'"
}

func unsignedText(e *Error) string {
	if e.Detail == "host" {
		return "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
	}
	return "There were headers present in the request which were not signed"
}

// expiredText says the date of the signature, the earliest that is accepted, and how that is computed.
func expiredText(e *Error) string {
	now := time.Unix(e.now, 0)
	return "Signature expired: " + clip(e.Detail) + " is now earlier than " + basic(now.Add(-e.window)) +
		" (" + basic(now) + " - " + minutes(e.window) + ")"
}

func earlyText(e *Error) string {
	now := time.Unix(e.now, 0)
	return "Signature not yet current: " + clip(e.Detail) + " is still later than " + basic(now.Add(e.window)) +
		" (" + basic(now) + " + " + minutes(e.window) + ")"
}

// scopeFault is one element of a scope that is wrong, and AWS's text for it.
type scopeFault struct{ part, got, want, text string }

// scopeFaults returns everything that is wrong with the scope, in AWS's order. It returns nothing if the cause is
// another, or if a caller made the Error without what is needed.
func (e *Error) scopeFaults() (faults []scopeFault) {
	p := parameters{credential: e.Detail}
	if len(e.date) < len(day) || p.splitCredential() != nil {
		return nil
	}
	date := e.date[:len(day)]
	for _, f := range [...]scopeFault{
		{"region", p.region, e.region, "Credential should be scoped to a valid region, not '" + clip(p.region) + "'."},
		{"service", p.service, e.service, "Credential should be scoped to correct service: '" + e.service + "'."},
		{
			"terminator", p.end, terminator,
			"Credential should be scoped with a valid terminator: 'aws4_request', not '" + clip(p.end) + "'.",
		},
		{
			"day", p.day, date,
			"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" + clip(p.day) +
				"' != '" + date + "', from '" + e.date + "'.",
		},
	} {
		if f.got != f.want {
			faults = append(faults, f)
		}
	}
	return faults
}

// scopeText joins the texts of everything that is wrong with the scope.
func scopeText(e *Error) string {
	faults := e.scopeFaults()
	if faults == nil {
		return mismatch
	}
	texts := make([]string, len(faults))
	for i, f := range faults {
		texts[i] = f.text
	}
	return strings.Join(texts, " ")
}

// mismatchText adds what the verifier has signed, if [VerifierConfig].Explain allows it. Then the client can compare it
// with what it has signed itself, and sees the first line that differs.
func mismatchText(e *Error) string {
	if !e.explain || e.Trace == nil {
		return mismatch
	}
	return mismatch + "\n\nThe Canonical String for this request should have been\n'" + clipLines(e.Trace.CanonicalRequest) +
		"'\n\nThe String-to-Sign should have been\n'" + clipLines(e.Trace.StringToSign) + "'\n"
}

// clipLines cuts each line of a trace, which may be a header, the path, the query or the list of headers.
func clipLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = clip(line)
	}
	return strings.Join(lines, "\n")
}

// basic formats a time as SigV4 does.
func basic(t time.Time) string { return t.UTC().Format(basicFormat) }

// minutes formats a duration as AWS does.
func minutes(d time.Duration) string {
	if d%time.Minute == 0 {
		return strconv.Itoa(int(d/time.Minute)) + " min."
	}
	return strconv.Itoa(int(d/time.Second)) + " sec."
}
