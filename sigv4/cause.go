package sigv4

import "errors"

// The causes of a refusal. Match them with [errors.Is]. The package documentation lists what to do about each. There is
// one for each thing that a caller or an operator can do; the text of an [Error] says more.
var (
	ErrNotConfigured = errors.New("not configured")            // a zero Verifier or Signer, or a key source that returns an empty Key
	ErrUnavailable   = errors.New("the key source has failed") // wraps what the key source returned
	ErrRedirect      = errors.New("a redirect leads to another server, for which nothing is signed")

	ErrMissing   = errors.New("no signature is present")
	ErrMalformed = errors.New("the signature is malformed")
	ErrAmbiguous = errors.New("the request can be read in two ways")
	ErrUnsigned  = errors.New("the request is not signed as a whole")
	ErrTooLarge  = errors.New("the request is too large")
	ErrBody      = errors.New("the body could not be read")

	ErrNotCurrent        = errors.New("the signature is too old or dated in the future")
	ErrScope             = errors.New("the credential has another scope than the verifier accepts")
	ErrUnknownKey        = errors.New("the access key is unknown") // what a key source returns
	ErrSignatureMismatch = errors.New("the signature does not match")
	ErrSessionToken      = errors.New("the session token is not the access key's")
)

// variant is a cause that callers see as another one, of, because the remedy is the same. AWS's texts differ, so that
// the answers and the tests keep variants apart. For example, errors.Is(err, ErrNotCurrent) is true for errExpired and
// for errNotYetValid, and each has a row of its own in answers.
type variant struct {
	of   error
	text string
}

func (v *variant) Error() string { return v.text }
func (v *variant) Unwrap() error { return v.of }

// The variants, in the order of their exported causes. A text says what is wrong with the request, for the log; the
// text for the client is in answers.
var (
	errMalformedAuthorization error = &variant{ErrMalformed, "the Authorization header is malformed"}
	errMissingParameter       error = &variant{ErrMalformed, "a parameter of the signature is missing"}
	errMalformedDate          error = &variant{ErrMalformed, "the date is not in ISO 8601 basic format"}
	errAlgorithm              error = &variant{ErrMalformed, "the algorithm is not AWS4-HMAC-SHA256"}
	errMalformedCredential    error = &variant{ErrMalformed, "the credential does not have exactly five elements"}
	errMalformedSignature     error = &variant{ErrMalformed, "the signature is not 64 lower-case hexadecimal digits"}
	errSignedHeaders          error = &variant{ErrMalformed, "the list of signed headers is not sorted, lower-case and free of repetition"}
	errExpires                error = &variant{ErrMalformed, "X-Amz-Expires is missing or out of range"}
	errMalformedPayloadHash   error = &variant{ErrMalformed, "the payload hash is not 64 lower-case hexadecimal digits"}

	errTwoMechanisms   error = &variant{ErrAmbiguous, "both an Authorization header and a presigned query are present"}
	errAmbiguousHeader error = &variant{ErrAmbiguous, "a header can be read in two ways"}
	errAmbiguousQuery  error = &variant{ErrAmbiguous, "the query can be read in two ways"}
	errMalformedTarget error = &variant{ErrAmbiguous, "the request target is not a plain path and query"}
	errUncleanPath     error = &variant{ErrAmbiguous, "the path has dot segments or empty ones"}

	errUnsignedHeader   error = &variant{ErrUnsigned, "a header that must be signed is not"}
	errUnsignedPayload  error = &variant{ErrUnsigned, "the payload is not signed"}
	errStreamingPayload error = &variant{ErrUnsigned, "streaming payloads are not accepted"}

	errHeaderTooLarge error = &variant{ErrTooLarge, "the request line and the signed headers are too large"}
	errBodyTooLarge   error = &variant{ErrTooLarge, "the body is too large"}

	errExpired     error = &variant{ErrNotCurrent, "the signature is too old"}
	errNotYetValid error = &variant{ErrNotCurrent, "the signature is dated in the future"}

	errAbsentHeader    error = &variant{ErrSignatureMismatch, "a signed header is absent"}
	errPayloadMismatch error = &variant{ErrSignatureMismatch, "the body does not have the declared hash"}

	errCredentialExpired error = &variant{ErrSessionToken, "the temporary credentials have expired"}
)

// reasons are the words for the causes. The first row that fits decides, and the rows are in the order of answers, so
// that a cause which wraps several others has the reason of its answer. A variant has the word of its exported cause.
var reasons = [...]struct {
	cause error
	word  string
}{
	{ErrNotConfigured, "not_configured"},
	{ErrUnavailable, "unavailable"},
	{ErrRedirect, "redirect"},
	{ErrMissing, "missing"},
	{ErrMalformed, "malformed"},
	{ErrAmbiguous, "ambiguous"},
	{ErrUnsigned, "unsigned"},
	{ErrTooLarge, "too_large"},
	{ErrBody, "body"},
	{ErrNotCurrent, "not_current"},
	{ErrScope, "scope"},
	{ErrUnknownKey, "unknown_key"},
	{ErrSignatureMismatch, "signature_mismatch"},
	{ErrSessionToken, "session_token"},
}

// errOwnCancel is joined with the error of a key source that was canceled while the request was not.
var errOwnCancel = errors.New("it was canceled, but not by the request")

// errVersion2 is always joined with the cause of the answer. It is for the log, and for [S3XML], which has an answer of
// its own for it.
var errVersion2 = errors.New("the request is signed with Signature Version 2, only version 4 is accepted")
