package sigv4

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
)

// payload says how the signature covers the body. Its line is the last one of the canonical request:
//
//	a hash             the signature is verified, and then the body is read and compared with the hash
//	UNSIGNED-PAYLOAD   the handler reads the body, if that is allowed; otherwise the body must be empty
//	none declared      the body is read first, because its hash is the line
type payload struct {
	line     string           // the declared last line of the canonical request; "" if there is none
	unsigned bool             // the body is not signed, and may have any length
	hash     [hashLength]byte // of the body, once it has been read
	full     bool             // a body that is not empty has been read
}

// payload reads the declared payload hash. If none is declared, the body itself counts, except in a presigned request
// to S3.
func (v *Verifier) payload(r *http.Request, p *parameters) (body payload, e *Error) {
	declared := p.payload
	if !p.hasPayload && p.presigned && v.config.S3 {
		declared = unsignedPayload
	}
	switch {
	case r.ContentLength > v.config.MaxBody:
		return body, refuse(errBodyTooLarge, "")
	case declared == "" && !p.hasPayload:
		return body, nil
	case declared == unsignedPayload:
		if !v.config.AllowUnsignedPayload && r.ContentLength > 0 {
			return body, refuse(errUnsignedPayload, "")
		}
		return payload{line: declared, unsigned: v.config.AllowUnsignedPayload}, nil
	case strings.HasPrefix(declared, "STREAMING-"):
		return body, refuse(errStreamingPayload, declared)
	case len(declared) != hashLength || !hashBytes.all(declared):
		return body, refuse(errMalformedPayloadHash, declared)
	}
	return payload{line: declared}, nil
}

// checkBody reads the body and compares it with the declared hash. If UNSIGNED-PAYLOAD is declared and not allowed, the
// body must be empty: its length may have been unknown until now.
func (v *Verifier) checkBody(r *http.Request, cr *canonicalRequest, body *payload) *Error {
	if body.unsigned {
		return nil
	}
	if e := v.readBody(r, cr, body); e != nil {
		return e
	}
	switch {
	case body.line == unsignedPayload && body.full:
		return refuse(errUnsignedPayload, "")
	case body.line != unsignedPayload && string(body.hash[:]) != body.line:
		return refuse(errPayloadMismatch, "")
	}
	return nil
}

// readBody reads the body and computes its hash, which for no body is that of nothing. It puts back what it has read,
// followed by the rest, because the body must be whole even if the request is refused: another mechanism may accept the
// request, or [VerifierConfig].AllowDespite pass it on.
func (v *Verifier) readBody(r *http.Request, cr *canonicalRequest, body *payload) *Error {
	copy(body.hash[:], emptyHash)
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	text, err := readAll(r.Body, r.ContentLength, v.config.MaxBody, cr.first[:])
	if err != nil {
		r.Body = unread(text, r.Body, err)
		return refuseBody(err)
	}
	_ = r.Body.Close()
	r.Body = text
	if e := checkTrailer(r); e != nil { // at the end net/http adds trailers that were not announced
		dropTrailers(r)
		return e
	}
	if body.full = len(text.pieces) > 0; body.full {
		cr.digest.hashPieces(text.pieces)
		putHex(&body.hash, &cr.digest.sum)
	}
	return nil
}

// checkTrailer refuses trailers named Authorization or X-Amz-…, because no signature covers a trailer. Some servers and
// proxies merge trailers into the headers, where such a name would count.
func checkTrailer(r *http.Request) *Error {
	for name := range r.Trailer {
		if isForbiddenTrailer(name) {
			return refuse(errUnsignedHeader, strings.ToLower(name))
		}
	}
	return nil
}

// isForbiddenTrailer reports whether a program could take a trailer for a header that must be signed.
func isForbiddenTrailer(name string) bool { return isAmzHeader(name) || isAuthorization(name) }

// dropTrailers deletes what checkTrailer refuses. It changes the map itself, which copies of the request share.
func dropTrailers(r *http.Request) {
	maps.DeleteFunc(r.Trailer, func(name string, _ []string) bool { return isForbiddenTrailer(name) })
}

// guardTrailers makes the body of a refused request drop the trailers that checkTrailer refuses, in case the caller
// serves the request all the same. Only chunked bodies, whose length is unknown, and HTTP/2 have trailers. net/http
// fills in r.Trailer when the body has been read, so that it is too early to delete them now.
func guardTrailers(r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength >= 0 && len(r.Trailer) == 0 {
		return
	}
	switch r.Body.(type) {
	case *body, *stream: // it was read already, or is guarded by an earlier call
	default:
		r.Body = &stream{r.Body, r, true, nil}
	}
}

// stream is a body that the handler reads itself, because the signature does not cover it. It applies the limit and the
// rules for trailers on the way.
type stream struct {
	io.ReadCloser
	r       *http.Request
	despite bool   // the request was refused already: trailers are dropped without an error
	err     *Error // the refusal of a trailer, which every further Read returns
}

// newStream returns the request's body as a stream of at most MaxBody bytes. If despite is true, the request was
// refused, and AllowDespite has passed it on.
func (v *Verifier) newStream(r *http.Request, despite bool) *stream {
	return &stream{http.MaxBytesReader(nil, r.Body, v.config.MaxBody), r, despite, nil}
}

// Read reads the body, and checks the trailers at its end.
func (s *stream) Read(p []byte) (n int, err error) {
	if s.err != nil {
		return 0, s.err
	}
	if n, err = s.ReadCloser.Read(p); err != io.EOF {
		return n, err
	}
	e := checkTrailer(s.r)
	dropTrailers(s.r)
	if e != nil && !s.despite {
		s.err = e
		return n, e
	}
	return n, err
}

// Close closes the body. net/http then reads some of the rest, and with it trailers that must be dropped.
func (s *stream) Close() error {
	err := s.ReadCloser.Close()
	dropTrailers(s.r)
	return err
}

// refuseBody refuses a request whose body could not be read.
func refuseBody(err error) *Error {
	if errors.Is(err, errBodyTooLarge) {
		return refuse(err, "")
	}
	cause := ErrBody
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok { // the limit of an outer handler
		cause = errBodyTooLarge
	}
	return refuse(fmt.Errorf("%w: %w", cause, err), "")
}
