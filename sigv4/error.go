package sigv4

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The causes of a refusal. Match them with [errors.Is]. The package documentation lists what to do about each.
var (
	ErrAmbiguous = errors.New("the request can be read in two ways")
	ErrMalformed = errors.New("the signature is malformed")

	ErrNotConfigured = errors.New("not configured")            // a zero Verifier or Signer, or a key source that returns an empty Key
	ErrUnavailable   = errors.New("the key source has failed") // wraps what the key source returned
	ErrMissing       = errors.New("no signature is present")
	ErrVersion2      = errors.New("the request is signed with Signature Version 2, only version 4 is accepted") // joined with the cause of the answer

	ErrExpired     = errors.New("the signature is too old")
	ErrNotYetValid = errors.New("the signature is dated in the future")
	ErrExpires     = errors.New("X-Amz-Expires is missing or out of range")
	ErrScope       = errors.New("the credential has another scope than the verifier accepts")

	ErrUnsignedHeader = errors.New("a header that must be signed is not")
	ErrAbsentHeader   = errors.New("a signed header is absent")

	ErrHeaderTooLarge = errors.New("the request line and the signed headers are too large") // see [VerifierConfig].MaxHeaderBytes

	ErrMalformedPayloadHash = errors.New("the payload hash is not 64 lower-case hexadecimal digits")
	ErrUnsignedPayload      = errors.New("the payload is not signed")
	ErrStreamingPayload     = errors.New("streaming payloads are not accepted")
	ErrPayloadMismatch      = errors.New("the body does not have the declared hash")
	ErrBodyTooLarge         = errors.New("the body is too large")
	ErrBody                 = errors.New("the body could not be read")

	ErrRedirect = errors.New("a redirect leads to another server, for which nothing is signed") // of [Signer.Transport]

	ErrUnknownKey        = errors.New("the access key is unknown") // what a key source returns
	ErrSignatureMismatch = errors.New("the signature does not match")
	ErrSessionToken      = errors.New("the session token is not the access key's")
	ErrCredentialExpired = errors.New("the temporary credentials have expired")
)

// variant is a cause that callers see as another one, of, because the remedy is the same. AWS's texts differ, so that the
// answers and the tests tell variants apart.
type variant struct {
	of   error
	text string
}

func (v *variant) Error() string { return v.text }
func (v *variant) Unwrap() error { return v.of }

var (
	errTwoMechanisms   error = &variant{ErrAmbiguous, "both an Authorization header and a presigned query are present"}
	errAmbiguousHeader error = &variant{ErrAmbiguous, "a header can be read in two ways"}
	errAmbiguousQuery  error = &variant{ErrAmbiguous, "the query can be read in two ways"}
	errMalformedTarget error = &variant{ErrAmbiguous, "the request target is not a plain path and query"}
	errUncleanPath     error = &variant{ErrAmbiguous, "the path has dot segments or empty ones"}

	errMalformedAuthorization error = &variant{ErrMalformed, "the Authorization header is malformed"}
	errMissingParameter       error = &variant{ErrMalformed, "a parameter of the signature is missing"}
	errMalformedDate          error = &variant{ErrMalformed, "the date is not in ISO 8601 basic format"}
	errAlgorithm              error = &variant{ErrMalformed, "the algorithm is not AWS4-HMAC-SHA256"}
	errMalformedCredential    error = &variant{ErrMalformed, "the credential does not have exactly five elements"}
	errMalformedSignature     error = &variant{ErrMalformed, "the signature is not 64 lower-case hexadecimal digits"}
	errSignedHeaders          error = &variant{ErrMalformed, "the list of signed headers is not sorted, lower-case and free of repetition"}
)

// Error is a refusal, and the answer to it. Verify, Authenticate and the signing verbs return no other error.
type Error struct {
	// Err is the cause: one of this package's, several of them joined, or one that also wraps what a dependency
	// returned.
	Err error
	// Detail is the part of the request that is at fault, such as the name of a header; empty if the cause says it all.
	// Of an Authorization header it is only the scheme, and of a query parameter only the name, because the rest may be
	// a token. The client sent it, so that a log must quote it.
	Detail string
	// AccessKeyID is the access key ID that the request names; empty if it names none. The client sent it, and it is
	// not verified.
	AccessKeyID string
	// Trace is what the verifier signed, if the signature does not match, to be compared with what the client signed;
	// nil for other causes. JSON leaves it out.
	Trace *Trace `json:"-"`

	// The rest is for AWS's texts, which are made only when they are asked for.
	header  *string       // the Authorization header; a pointer, because fmt would print a string
	date    string        // of the request, if the scope is wrong
	region  string        // that is accepted
	service string        // that is accepted
	now     int64         // the time of the refusal in Unix seconds, for ErrExpired and ErrNotYetValid
	window  time.Duration // the age or the lead that is allowed, for the same causes
	missing uint8         // the missing parameters as bits, for errMissingParameter
	masked  bool          // answer as if the signature did not match
	explain bool          // add the trace to the text
}

// Trace is what a signature is made of. The canonical request may contain a session token.
type Trace struct {
	CanonicalRequest string
	StringToSign     string
}

// Error describes the refusal in one line, for logs. [Error.ErrorMessage] is the text for clients.
func (e *Error) Error() string {
	text := []string{"sigv4: " + strings.ReplaceAll(fmt.Sprint(e.Err), "\n", "; ")} // joined causes are separated by line breaks
	if e.Detail != "" {
		text[0] += ": " + strconv.Quote(clip(e.Detail))
	}
	if e.AccessKeyID != "" && !strings.Contains(e.Detail, e.AccessKeyID) {
		text[0] += fmt.Sprintf(" (access key %q)", clip(e.AccessKeyID))
	}
	for _, f := range e.scopeFaults() {
		text = append(text, fmt.Sprintf("%s %q for %q", f.part, clip(f.got), f.want))
	}
	return strings.Join(text, ", ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// StatusCode returns the status of API Gateway's answer.
func (e *Error) StatusCode() int { return e.answer().status }

// ErrorCode returns AWS's name of the error, which is sent in the header X-Amzn-ErrorType.
func (e *Error) ErrorCode() string { return e.answer().code }

// ErrorMessage returns AWS's text for the client.
func (e *Error) ErrorMessage() string {
	a := e.answer()
	if a.text != nil {
		return a.text(e)
	}
	return a.message
}

// SetHeader sets Retry-After if a dependency has failed. SigV4 has no WWW-Authenticate challenge.
func (e *Error) SetHeader(h http.Header) {
	if e.StatusCode() == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
}

// ServeHTTP answers as API Gateway does.
func (e *Error) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.SetHeader(w.Header())
	answer(w, e.StatusCode(), e.ErrorCode(), message{e.ErrorMessage()})
}

// refuseHeader refuses an Authorization header. Its detail is only the scheme, because the header of another mechanism
// may be a bearer token or a password.
func refuseHeader(cause error, header *string) *Error {
	scheme, _, ok := cut(*header, ' ')
	if !ok { // a token without a scheme
		scheme = ""
	}
	if strings.EqualFold(scheme, "AWS") {
		cause = fmt.Errorf("%w: %w", cause, ErrVersion2)
	}
	return &Error{Err: cause, Detail: scheme, header: header}
}

func refuse(cause error, detail string) *Error { return &Error{Err: cause, Detail: detail} }

// clip bounds what is repeated of a client's text: it keeps at most 256 bytes, cuts between two characters, and marks the
// cut. A run of invalid UTF-8 becomes one "?", so that the text does not grow. Each package carries this copy; a test
// holds the copies equal.
func clip(s string) string {
	const most = 256
	n := min(len(s), most)
	for n > most-utf8.UTFMax && n < len(s) && !utf8.RuneStart(s[n]) {
		n--
	}
	kept := strings.ToValidUTF8(s[:n], "?")
	if n < len(s) {
		kept += "… (cut)"
	}
	return kept
}

// message is the body of a refusal.
type message struct {
	Message string `json:"message"`
}

// answer writes API Gateway's form of a refusal. Each package carries this copy; a test holds the copies equal.
func answer(w http.ResponseWriter, status int, code string, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-ErrorType", code)
	nameRequest(w.Header())
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // as AWS writes it: a canonical request is full of ampersands
	_ = e.Encode(body)     // strings and nil always encode
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSpace(text.Bytes())) // without the line break of Encode
}

// nameRequest sets a random request id in API Gateway's form, unless an outer layer has set one. Each package carries
// this copy; a test holds the copies equal.
func nameRequest(h http.Header) {
	if h.Get("X-Amzn-RequestId") == "" {
		b := make([]byte, 16)
		_, _ = rand.Read(b) // never fails
		h.Set("X-Amzn-RequestId", fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
	}
}
