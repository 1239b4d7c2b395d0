package sigv4

import (
	"bytes"
	"context"
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

// Error is a refusal, and the answer to it. Verify, Authenticate and the signing verbs return no other error.
type Error struct {
	// Err is the cause. It wraps one of this package's, and what a dependency returned, if one failed.
	Err error
	// Detail is the part of the request that is at fault, such as the name of a header; empty if the cause says it all.
	// Of an Authorization header it is only the scheme, and of a query parameter only the name, because the rest may be
	// a token. It never has a signature, with which anybody could repeat the request. The client sent it, so that a log
	// must quote it.
	Detail string
	// AccessKeyID is the access key ID that the request names; empty if it names none. The client sent it, and it is
	// not verified.
	AccessKeyID string
	// Trace is what the verifier signed, to be compared with what the client signed. It is nil unless two signatures
	// were compared and differ. JSON leaves it out.
	Trace *Trace `json:"-"`
	// RequestID is the id of the answer. If it is empty, ServeHTTP makes a random one. A verifier sets it if its
	// configuration has Observe or RequestID.
	RequestID string

	// The rest is for AWS's texts, which are made only when they are asked for. An Error that a caller makes has none
	// of it; its texts then leave out what is missing.
	header  *string       // the Authorization header; a pointer, because fmt would print a string
	date    string        // of the request, if the scope is wrong
	region  string        // that is accepted
	service string        // that is accepted
	now     int64         // the time of the refusal in Unix seconds, for errExpired and errNotYetValid
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

// Reason returns the name of the cause in lower case, such as "unknown_key" for [ErrUnknownKey]. It is "canceled" if the
// key source failed because the request's context was canceled, and "not_configured" for a cause that is not of this
// package.
func (e *Error) Reason() string {
	if errors.Is(e.Err, context.Canceled) && !errors.Is(e.Err, errOwnCancel) {
		return "canceled"
	}
	for _, r := range reasons {
		if errors.Is(e.Err, r.cause) {
			return r.word
		}
	}
	return "not_configured"
}

// SetHeader sets X-Amzn-RequestId to RequestID if that is not empty and no outer layer has set the header. It sets
// Retry-After if a dependency has failed. SigV4 has no WWW-Authenticate challenge.
func (e *Error) SetHeader(h http.Header) {
	if e.RequestID != "" && h.Get("X-Amzn-RequestId") == "" {
		h.Set("X-Amzn-RequestId", e.RequestID)
	}
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
		cause = fmt.Errorf("%w: %w", cause, errVersion2)
	}
	return &Error{Err: cause, Detail: scheme, header: header}
}

// refuse returns a refusal without an access key ID, which VerifyAt adds. Nothing is formatted here, so that a flood
// of bad requests costs little.
func refuse(cause error, detail string) *Error { return &Error{Err: cause, Detail: detail} }

// unavailable wraps what the key source has returned. Whether that is because the request was canceled is for the
// request's context to say: a key source that was shut down returns [context.Canceled] too, and that is a failure; and
// some clients of other servers return errors of their own when the request is canceled.
func unavailable(ctx context.Context, err error) error {
	canceled, reported := errors.Is(ctx.Err(), context.Canceled), errors.Is(err, context.Canceled)
	switch {
	case reported && !canceled:
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, errOwnCancel, err)
	case canceled && !reported:
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, context.Canceled, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// clip bounds what is repeated of a client's text: it keeps at most 256 bytes, cuts between two characters, and marks
// the cut. A run of invalid UTF-8 becomes one "?", so that the text does not grow. Each package carries this copy; a
// test holds the copies equal.
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
