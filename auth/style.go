package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// answerable is an error that knows its answer, as the errors of all packages of this module do.
type answerable interface {
	error
	StatusCode() int
	ErrorCode() string
	ErrorMessage() string
	SetHeader(http.Header)
}

// prepare returns the error that knows its answer and sets its header fields. For any other error the answer is 500,
// since nothing is known about it. Setting the fields again is harmless if the caller of the style has set them before.
func prepare(h http.Header, err error) answerable {
	a, ok := errors.AsType[answerable](err)
	if !ok {
		a = &Error{Err: ErrNotConfigured}
	}
	a.SetHeader(h)
	return a
}

// HTTPAPI answers as an HTTP API of API Gateway does, whichever package's error it is: {"message": …} with the words
// of the status, no X-Amzn-ErrorType, and 403 for a missing scope. WWW-Authenticate has AWS's form, in which spaces
// separate the parameters where RFC 9110 section 11.6.1 demands commas; a client that parses it strictly is better
// served by [Bearer]. Source:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-troubleshooting-jwt.html
func HTTPAPI(w http.ResponseWriter, _ *http.Request, err error) {
	h := w.Header()
	a := prepare(h, err)
	status := a.StatusCode()
	if e, ok := errors.AsType[*Error](err); ok {
		reply := e.answer()
		status = reply.challenged()
		if reply.problem != "" {
			h.Set("WWW-Authenticate", e.httpAPIChallenge(reply))
		}
	}
	if status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", "Bearer")
	}
	nameRequest(h)
	h.Set("Apigw-Requestid", h.Get("X-Amzn-RequestId"))
	h.Set("Content-Type", "application/json")
	text, _ := json.Marshal(message{http.StatusText(status)})
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// httpAPIChallenge is the WWW-Authenticate value in the form of HTTP APIs. It has scope even if no scope is demanded,
// and the list of scopes in the brackets of Go's %s, because AWS's answers have both.
func (e *Error) httpAPIChallenge(a *reply) string {
	description := a.description
	if a.problem == insufficientScope {
		description = fmt.Sprintf("expected scopes: %s", e.Scopes)
	}
	scopes := strings.Join(e.Scopes, " ")
	return fmt.Sprintf(`Bearer scope="%s" error="%s" error_description="%s"`, scopes, a.problem, description)
}

// AppSync answers as AppSync's GraphQL endpoint does, whichever package's error it is: {"errors":[{"errorType": …,
// "message": …}]}. The answers 401 and 403 become 401 UnauthorizedException; others keep their status, code and
// message. Source: https://docs.aws.amazon.com/appsync/latest/devguide/security-authz.html
func AppSync(w http.ResponseWriter, _ *http.Request, err error) {
	a := prepare(w.Header(), err)
	status, code, text := a.StatusCode(), a.ErrorCode(), a.ErrorMessage()
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		status, code, text = http.StatusUnauthorized, codeUnauthorized, "You are not authorized to make this call."
		if e, ok := errors.AsType[*Error](err); ok {
			text = e.graphQL(text)
		}
	}
	answer(w, status, code, appSyncBody{[]appSyncError{{code, text}}})
}

// appSyncBody is the body of a refusal in AppSync's form.
type appSyncBody struct {
	Errors []appSyncError `json:"errors"`
}

type appSyncError struct {
	Type    string `json:"errorType"`
	Message string `json:"message"`
}

// graphQL is AppSync's message for a refusal. AppSync has texts of its own for three causes, and other for the rest.
func (e *Error) graphQL(other string) string {
	switch {
	case errors.Is(e.cause(), ErrMissing):
		return "Valid authorization header not provided."
	case errors.Is(e.cause(), errExpired):
		return "Token has expired."
	case errors.Is(e.cause(), ErrMalformed):
		return "Unable to parse JWT token."
	}
	return other
}

// Bearer answers as RFC 6750 section 3 says: the challenge in WWW-Authenticate, 403 for a missing scope, and a JSON
// body with the same error and error_description. Errors of other packages keep their status; 401 gets a bare challenge
// if it has none.
func Bearer(w http.ResponseWriter, _ *http.Request, err error) {
	a := prepare(w.Header(), err)
	status, code := a.StatusCode(), a.ErrorCode()
	var body any = message{http.StatusText(status)}
	if e, ok := errors.AsType[*Error](err); ok {
		reply := e.answer()
		if status = reply.challenged(); status == http.StatusForbidden {
			code = codeDenied
		}
		if reply.problem != "" {
			body = bearerBody{reply.problem, reply.description}
		}
	}
	if h := w.Header(); status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", "Bearer")
	}
	answer(w, status, code, body)
}

// bearerBody is the body of a refusal in RFC 6750's words.
type bearerBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}
