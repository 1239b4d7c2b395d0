package sigv4

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
)

// payload is how the signature covers the body.
type payload struct {
	line     string           // the declared last line of the canonical request; empty if it is to be the hash of the body
	unsigned bool             // nothing vouches for the body, which is allowed; else UNSIGNED-PAYLOAD means that there is none
	hash     [hashLength]byte // of the body, once it has been read
	full     bool             // the body that has been read is not empty
}

// payload reads the declared hash. Where none is declared the body counts as it is, except in a presigned request to S3.
func (v *Verifier) payload(r *http.Request, p *parameters) (body payload, e *Error) {
	declared := p.payload
	if !p.hasPayload && p.presigned && v.config.Rules == S3 {
		declared = unsignedPayload
	}
	switch {
	case r.ContentLength > v.config.MaxBody:
		return body, refuse(ErrBodyTooLarge, "")
	case declared == "" && !p.hasPayload:
		return body, nil
	case declared == unsignedPayload:
		if !v.config.AllowUnsignedPayload && r.ContentLength > 0 {
			return body, refuse(ErrUnsignedPayload, "")
		}
		return payload{line: declared, unsigned: v.config.AllowUnsignedPayload}, nil
	case strings.HasPrefix(declared, "STREAMING-"):
		return body, refuse(ErrStreamingPayload, declared)
	case len(declared) != hashLength || !hashBytes.all(declared):
		return body, refuse(ErrMalformedPayloadHash, declared)
	}
	return payload{line: declared}, nil
}

// checkBody holds the body against the declared hash.
func (v *Verifier) checkBody(r *http.Request, cr *canonicalRequest, body *payload) *Error {
	if body.unsigned {
		return nil
	}
	if e := v.readBody(r, cr, body); e != nil {
		return e
	}
	switch {
	case body.line == unsignedPayload && body.full:
		return refuse(ErrUnsignedPayload, "")
	case body.line != unsignedPayload && string(body.hash[:]) != body.line:
		return refuse(ErrPayloadMismatch, "")
	}
	return nil
}

// readBody reads and hashes the body. It puts back what it has read, followed by what it has not, also if the request is
// refused then or later: a chain of mechanisms and [VerifierConfig].AllowDespite need the whole of it.
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
	if e := checkTrailer(r); e != nil { // net/http fills it when the body ends, with more than was announced
		dropTrailers(r)
		return e
	}
	if body.full = len(text.pieces) > 0; body.full {
		cr.digest.hashPieces(text.pieces)
		putHex(&body.hash, &cr.digest.sum)
	}
	return nil
}

// checkTrailer refuses trailers that begin with X-Amz-, and Authorization, as no signature covers a trailer.
func checkTrailer(r *http.Request) *Error {
	for name := range r.Trailer {
		if isForbiddenTrailer(name) {
			return refuse(ErrUnsignedHeader, strings.ToLower(name))
		}
	}
	return nil
}

func isForbiddenTrailer(name string) bool { return isAmzHeader(name) || isAuthorization(name) }

// dropTrailers deletes what checkTrailer refuses from the map itself, which copies of the request share.
func dropTrailers(r *http.Request) {
	maps.DeleteFunc(r.Trailer, func(name string, _ []string) bool { return isForbiddenTrailer(name) })
}

// guardTrailers takes away what checkTrailer refuses from a request that was refused for something else before its body was
// read, for a caller who serves it nevertheless. Only chunks of unknown length and HTTP/2 bring trailers.
func guardTrailers(r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength >= 0 && len(r.Trailer) == 0 {
		return
	}
	switch r.Body.(type) {
	case *body, *stream: // it was read, or is guarded by an earlier call
	default:
		r.Body = &stream{r.Body, r, true, nil}
	}
}

// stream is a body that nothing vouches for, held to the limit and to what trailers may be while the handler reads it.
type stream struct {
	io.ReadCloser
	r       *http.Request
	despite bool   // the request was refused already: its trailers are taken away without another word
	err     *Error // what was wrong with the trailers, for every Read after that
}

func (v *Verifier) newStream(r *http.Request, despite bool) *stream {
	return &stream{http.MaxBytesReader(nil, r.Body, v.config.MaxBody), r, despite, nil}
}

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

// Close closes the body. net/http reads some of what is left then, and its trailers.
func (s *stream) Close() error {
	err := s.ReadCloser.Close()
	dropTrailers(s.r)
	return err
}

func refuseBody(err error) *Error {
	if errors.Is(err, ErrBodyTooLarge) {
		return refuse(err, "")
	}
	cause := ErrBody
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok { // an outer handler's limit
		cause = ErrBodyTooLarge
	}
	return refuse(fmt.Errorf("%w: %w", cause, err), "")
}
