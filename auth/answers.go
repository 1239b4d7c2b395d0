package auth

import (
	"errors"
	"net/http"
)

// reply is the answer to a cause. The first three are API Gateway's. The others are the error and error_description of
// RFC 6750 section 3, both empty if the answer has none.
type reply struct {
	cause       error
	status      int
	code        string // the header X-Amzn-ErrorType
	message     string
	problem     string
	description string
}

// The codes of API Gateway, and the errors of RFC 6750 section 3.1.
const (
	codeConfiguration = "ApiConfigurationException"
	codeUnavailable   = "ServiceUnavailableException"
	codeBadRequest    = "BadRequestException"
	codeDenied        = "AccessDeniedException"
	codeUnauthorized  = "UnauthorizedException"

	invalidRequest    = "invalid_request"
	invalidToken      = "invalid_token"
	insufficientScope = "insufficient_scope"
)

const (
	denied       = "User is not authorized to access this resource"
	unauthorized = "Unauthorized"
	lacksScope   = "the token does not have a required scope"
)

// answers are the replies to the causes. The first row that fits decides. So a variant stands above the exported cause
// that it belongs to, and a variant without a row of its own has that cause's answer.
//
// The descriptions are fixed words. They repeat nothing of the token, which may not be the client's own. They are those
// of API Gateway's HTTP APIs, which are golang-jwt's, as far as they are known.
var answers = [...]reply{
	{ErrNotConfigured, 500, codeConfiguration, "Internal server error", "", ""},
	{ErrUnavailable, 503, codeUnavailable, "Service Unavailable", "", ""},
	{ErrAmbiguous, 400, codeBadRequest, "Bad Request", invalidRequest, "more than one token was sent"},

	// These are what the rules of a route demand. A missing scope is 401 in a REST API's Cognito authorizer. HTTPAPI and
	// Bearer answer 403, as RFC 6750 section 3.1 says.
	{ErrRefused, 403, codeDenied, denied, "", ""},
	{ErrScope, 401, codeUnauthorized, unauthorized, insufficientScope, lacksScope},

	// RFC 6750 section 3.1: no error if no token was sent.
	{ErrMissing, 401, codeUnauthorized, unauthorized, "", ""},
	{errSegments, 401, codeUnauthorized, unauthorized, invalidToken, "token contains an invalid number of segments"},
	{ErrMalformed, 401, codeUnauthorized, unauthorized, invalidToken, "the token is malformed"},
	{ErrIssuer, 401, codeUnauthorized, unauthorized, invalidToken, "the token does not have a valid issuer"},
	{errAlgorithm, 401, codeUnauthorized, unauthorized, invalidToken, "the signing method is invalid"},
	{errKey, 401, codeUnauthorized, unauthorized, invalidToken, "the signing key is not known"},
	{ErrSignature, 401, codeUnauthorized, unauthorized, invalidToken, "the token signature is invalid"},
	{errTokenUse, 401, codeUnauthorized, unauthorized, invalidToken, "the token use is not accepted"},
	{ErrAudience, 401, codeUnauthorized, unauthorized, invalidToken, "the token does not have a valid audience"},
	{errExpired, 401, codeUnauthorized, "The incoming token has expired", invalidToken, "the token has expired"},
	{errNotYetValid, 401, codeUnauthorized, unauthorized, invalidToken, "the token is not valid yet"},
	{errRevoked, 401, codeUnauthorized, unauthorized, invalidToken, "the token has been revoked"},
	{ErrNotCurrent, 401, codeUnauthorized, unauthorized, invalidToken, "the token is not valid now"},
	{ErrTooOld, 401, codeUnauthorized, unauthorized, invalidToken, "the token is too old"},
}

// refusedScope is the reply to a cause that is both ErrRefused and ErrScope, as that of a check of the route that has
// returned ErrScope. The challenge then names the scope, and so does the reason.
var refusedScope = reply{ErrScope, 403, codeDenied, denied, insufficientScope, lacksScope}

// other is the reply to a cause that is not of this package, in an Error that a caller made.
var other = reply{nil, 401, codeUnauthorized, unauthorized, invalidToken, "the token is not valid"}

// reasons are the exported causes with their words for [Error.Reason].
var reasons = [...]struct {
	cause error
	word  string
}{
	{ErrNotConfigured, "not_configured"},
	{ErrUnavailable, "unavailable"},
	{ErrAmbiguous, "ambiguous"},
	{ErrRefused, "refused"},
	{ErrScope, "scope"},
	{ErrMissing, "missing"},
	{ErrMalformed, "malformed"},
	{ErrIssuer, "issuer"},
	{ErrSignature, "signature"},
	{ErrAudience, "audience"},
	{ErrNotCurrent, "not_current"},
	{ErrTooOld, "too_old"},
}

// reason returns the word for the exported cause that the reply's cause is or wraps. The reply to a foreign cause has
// none: some check of the application has refused.
func (r *reply) reason() string {
	for i := range reasons {
		if errors.Is(r.cause, reasons[i].cause) {
			return reasons[i].word
		}
	}
	return "refused"
}

// answer returns the reply to the cause. That of a nil Error, or of one without a cause, is ErrNotConfigured.
func (e *Error) answer() *reply {
	cause := e.cause()
	for i := range answers {
		switch a := &answers[i]; {
		case !errors.Is(cause, a.cause):
		case a.cause == ErrRefused && errors.Is(cause, ErrScope):
			return &refusedScope
		default:
			return a
		}
	}
	return &other
}

// challenged returns the status of the answer in RFC 6750's form, which is 403 for a missing scope.
func (r *reply) challenged() int {
	if r.problem == insufficientScope {
		return http.StatusForbidden
	}
	return r.status
}
