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

// The causes of a refusal, to be matched with [errors.Is].
var (
	ErrNotConfigured = errors.New("not configured")            // a zero Verifier, or a key source that returns an empty Key
	ErrUnavailable   = errors.New("the key source has failed") // wraps what the key source returned
	ErrMissing       = errors.New("no signature is present")
	ErrVersion2      = errors.New("the request is signed with Signature Version 2, only version 4 is accepted") // next to what AWS answers
	ErrTwoMechanisms = errors.New("both an Authorization header and a presigned query are present")

	ErrMalformedAuthorization = errors.New("the Authorization header is malformed")
	ErrMissingParameter       = errors.New("a parameter of the signature is missing")
	ErrMalformedDate          = errors.New("the date is not in ISO 8601 basic format")
	ErrAlgorithm              = errors.New("the algorithm is not AWS4-HMAC-SHA256")
	ErrMalformedCredential    = errors.New("the credential has not exactly five elements")
	ErrMalformedSignature     = errors.New("the signature is not 64 lower-case hexadecimal digits")
	ErrSignedHeaders          = errors.New("the list of signed headers is not sorted, lower-case and free of repetition")

	ErrExpired         = errors.New("the signature is too old")
	ErrNotYetValid     = errors.New("the signature is dated in the future")
	ErrExpires         = errors.New("X-Amz-Expires is missing or out of range")
	ErrScopeRegion     = errors.New("the credential is for another region")
	ErrScopeService    = errors.New("the credential is for another service")
	ErrScopeTerminator = errors.New("the credential does not end in aws4_request")
	ErrScopeDate       = errors.New("the credential is for another day than the date")

	ErrUnsignedHeader  = errors.New("a header that must be signed is not")
	ErrAbsentHeader    = errors.New("a signed header is absent")
	ErrAmbiguousHeader = errors.New("a header can be read in two ways")
	ErrAmbiguousQuery  = errors.New("the query can be read in two ways")
	ErrMalformedTarget = errors.New("the request target is not a plain path and query")
	ErrUncleanPath     = errors.New("the path has dot segments or empty ones")

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

// Error is a refusal, and the answer to it. Verify, Authenticate and the signing verbs return no other error.
type Error struct {
	// Err is the cause: one of this package's, or several joined, or one that wraps what a dependency returned.
	Err error
	// Detail is the offending part of the request, such as a header's name; empty where the cause says all. Of an
	// Authorization header it is the scheme alone and of a query parameter the name, for a token may stand there. It was
	// sent by the client and must be quoted where it is logged.
	Detail string
	// AccessKeyID is the access key that the request claims to be signed with; empty if it names none. It was sent by the
	// client, as Detail was.
	AccessKeyID string
	// Trace is what the verifier signed where the signature does not match, to be held against the client's; else nil. It is
	// left out of JSON.
	Trace *Trace `json:"-"`

	// The rest is what AWS's texts are made of, by those who ask for one.
	header  *string // the Authorization header, behind a pointer since fmt prints fields
	date    string  // of a request with a wrong scope
	region  string  // that would have been right
	service string  // that would have been right
	now     int64   // when it was refused, in Unix seconds, for ErrExpired and ErrNotYetValid
	window  time.Duration
	missing uint8 // the missing parameters, for ErrMissingParameter
	masked  bool  // answer as if the signature did not match
	explain bool  // add the trace to the text
}

// Trace is what a signature is made of. Its canonical request may hold a session token.
type Trace struct {
	CanonicalRequest string
	StringToSign     string
}

// Error describes the refusal for logs, in one line. Clients get [Error.ErrorMessage].
func (e *Error) Error() string {
	text := []string{"sigv4: " + strings.ReplaceAll(fmt.Sprint(e.Err), "\n", "; ")} // between joined causes
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

// StatusCode returns the status with which API Gateway answers.
func (e *Error) StatusCode() int { return e.answer().status }

// ErrorCode returns AWS's name of the error, which is sent as X-Amzn-ErrorType.
func (e *Error) ErrorCode() string { return e.answer().code }

// ErrorMessage returns AWS's text, which is meant for the client.
func (e *Error) ErrorMessage() string {
	a := e.answer()
	if a.text != nil {
		return a.text(e)
	}
	return a.message
}

// SetHeader sets Retry-After where a dependency has failed. SigV4 has no challenge of its own.
func (e *Error) SetHeader(h http.Header) {
	if e.StatusCode() == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
}

// ServeHTTP answers as API Gateway does.
func (e *Error) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.SetHeader(w.Header())
	answer(w, e.StatusCode(), e.ErrorCode(), map[string]any{"message": e.ErrorMessage()})
}

// refuseHeader refuses an Authorization header. Others than ours hold secrets, bearer tokens and passwords.
func refuseHeader(cause error, header *string) *Error {
	scheme, _, ok := cut(*header, ' ')
	if !ok { // a bare token
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

// answer writes API Gateway's form of a refusal. Each package carries this copy; a test holds the copies equal.
func answer(w http.ResponseWriter, status int, code string, body map[string]any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Amzn-ErrorType", code)
	if h.Get("X-Amzn-RequestId") == "" { // an outer layer may have named the request already
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		h.Set("X-Amzn-RequestId", fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // as AWS writes it: a canonical request is full of ampersands
	_ = e.Encode(body)     // strings and nil always encode
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
}
