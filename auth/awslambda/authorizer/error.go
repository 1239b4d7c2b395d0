package authorizer

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/custom"
)

// The errors of an [Authorizer]. Invoke returns them, so each is a function error: API Gateway answers 500 and keeps
// nothing. The refusal of a caller is none of them; see the package documentation.
var (
	// ErrNotConfigured says that [New] did not make the authorizer.
	ErrNotConfigured = errors.New("authorizer: not configured")
	// ErrEvent says that the event is not one of an authorizer, or lacks what all of its kind have.
	ErrEvent = errors.New("authorizer: not an event of an authorizer")
	// ErrResult says that the decision cannot be sent. Either a function of [Config] returned something that API
	// Gateway or AppSync does not take, or the decision must not be cached and [Config].Uncached is not set.
	ErrResult = errors.New("authorizer: the result cannot be sent")
)

// errUnfinished is the error of a mode, or of a function of [Config], that ends its goroutine by runtime.Goexit.
var errUnfinished = errors.New("authorizer: the mode did not return")

// unauthorized is the error whose text API Gateway answers with 401. It compares the text byte by byte, so the cause is
// not part of it; [errors.Is] finds both.
type unauthorized struct{ cause error }

func (u *unauthorized) Error() string   { return custom.ErrUnauthorized.Error() }
func (u *unauthorized) Unwrap() []error { return []error{custom.ErrUnauthorized, u.cause} }

// status returns the status of the answer that the mode would have given. An error that knows none is a failure of the
// mode: nothing is known about the caller.
func status(err error) int {
	if e, ok := errors.AsType[interface {
		error
		StatusCode() int
	}](err); ok {
		return e.StatusCode()
	}
	return http.StatusInternalServerError
}

// anonymous is the principalId of a refusal if the caller has no name. API Gateway demands one.
const anonymous = "anonymous"

// refused returns the name of a caller whom a mode has refused, for the access log of API Gateway. The name is known
// only if the credential is authentic and a rule of the mode has refused it.
func refused(err error) string {
	if e, ok := errors.AsType[*auth.Error](err); ok && e.Token != nil && e.Token.ID != "" {
		return e.Token.ID
	}
	if e, ok := errors.AsType[*custom.Error](err); ok && e.PrincipalID != "" {
		return e.PrincipalID
	}
	return anonymous
}

func badEvent(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrEvent, fmt.Errorf(format, args...))
}

func badResult(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrResult, fmt.Errorf(format, args...))
}

// delivered is an error with a text that Lambda's runtime for Go can report.
type delivered struct {
	text  string
	cause error
}

func (d *delivered) Error() string { return d.text }
func (d *delivered) Unwrap() error { return d.cause }

// deliverable returns err, or an error with its cause and a text that the runtime can report. The runtime writes the
// text into a header too, as JSON. JSON leaves DEL as it is, and no header can have that character; so the report
// fails, and then the runtime ends the process, and with it all other invocations. A report that is too large fails as
// well. The error of a mode, and the value of a panic, may repeat what a client has sent. Package awslambda does the
// same with the value of a panic.
func deliverable(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	const most = 16 << 10
	if len(text) <= most && !strings.Contains(text, "\x7f") {
		return err
	}
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "… (cut)"
	}
	return &delivered{strings.ReplaceAll(text, "\x7f", "\uFFFD"), err}
}
