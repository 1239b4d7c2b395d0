package awslambda

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// The causes of an error, for [errors.Is]. doc.go says what the operator does about each.
var (
	ErrNotConfigured = errors.New("awslambda: the function was not made by New")
	ErrEvent         = errors.New("awslambda: the event holds no HTTP request")
	ErrAnswer        = errors.New("awslambda: the answer cannot be delivered")
	ErrAborted       = errors.New("awslambda: the handler has broken off the answer")
)

// clientError is a fault of the client: net/http's server would answer the request with 400. It is no function error,
// which would blame the function, and whose alarms would count what any client can cause.
type clientError string

// What net/http's server answers with 400.
const (
	errTarget clientError = "awslambda: the target of the request is malformed"
	errHeader clientError = "awslambda: a header of the request is malformed"
	errMethod clientError = "awslambda: the method of the request is malformed"
)

func (e clientError) Error() string { return string(e) }

// StatusCode returns 400.
func (clientError) StatusCode() int { return http.StatusBadRequest }

// PanicError is the error of an invocation whose handler has panicked. Only that invocation fails; the process and the
// other invocations continue.
type PanicError struct {
	Value any    // of the panic
	Stack []byte // of the goroutine that panicked, at most 8 KiB

	trailer bool // the text goes into the trailer of a stream
}

// Error returns the value and the stack, because this text is all that Lambda's runtime logs. API Gateway, function
// URLs and ALBs do not show it to their clients. At most 4000 characters of the value are in it. In mid-stream the whole
// text is shorter.
//
// The value often repeats what a client has sent, and the runtime for Go ends the process, with all other invocations,
// if it cannot report an error. It writes the text into a header too, as JSON. JSON leaves DEL as it is, and no header
// can have that character. A report that is too large fails as well. Package authorizer has the same rules.
func (e *PanicError) Error() string {
	most := 64 << 10
	if e.trailer {
		most = maxTrailer
	}
	text := fmt.Sprintf("awslambda: the handler panicked: %.4000v\n\n%s", e.Value, e.Stack)
	return strings.ReplaceAll(cut(text, most), "\x7f", "\uFFFD")
}

// maxTrailer is how many bytes of JSON the text has in mid-stream. The runtime sends it in Base64, in a trailer, and
// net/http's server refuses trailers that have more than 4096 bytes together: then the whole answer is lost.
const maxTrailer = 2800

// cut cuts a text so that it has at most so many bytes as JSON. It counts 6 bytes for every character that encoding/json
// may escape, which is an upper bound.
func cut(text string, most int) string {
	for i, c := range text {
		switch {
		case c == '\n' || c == '\t' || c == '"' || c == '\\':
			most -= 2
		case c < ' ' || c >= 0x7f || c == '<' || c == '>' || c == '&':
			most -= 6
		default:
			most--
		}
		if most < 0 {
			return text[:i]
		}
	}
	return text
}

// Unwrap returns the value of the panic if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// recovered returns the error of an invocation whose handler panicked with a value. [http.ErrAbortHandler] is a
// handler's way to break off, and not a mistake, so it has no stack.
func recovered(value any, stack []byte) error {
	if value == http.ErrAbortHandler { //nolint:errorlint // net/http compares it in the same way
		return fmt.Errorf("%w: %w", ErrAborted, http.ErrAbortHandler)
	}
	return &PanicError{Value: value, Stack: stack[:min(len(stack), maxStack)]}
}

const maxStack = 8 << 10
