package sigv4

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
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
func (v *Verifier) payload(r *http.Request, c *claim) (p payload, e *Error) {
	declared := c.payload
	if !c.hasPayload && c.presigned && v.config.Rules == S3 {
		declared = unsignedPayload
	}
	switch {
	case r.ContentLength > v.config.MaxBody:
		return p, refuse(ErrBodyTooLarge, "")
	case declared == "" && !c.hasPayload:
		return p, nil
	case declared == unsignedPayload:
		if !v.config.AllowUnsignedPayload && r.ContentLength > 0 {
			return p, refuse(ErrUnsignedPayload, "")
		}
		return payload{line: declared, unsigned: v.config.AllowUnsignedPayload}, nil
	case strings.HasPrefix(declared, "STREAMING-"):
		return p, refuse(ErrStreamingPayload, declared)
	case len(declared) != hashLength || !hashBytes.all(declared):
		return p, refuse(ErrMalformedPayloadHash, declared)
	}
	return payload{line: declared}, nil
}

// checkBody holds the body against the declared hash.
func (v *Verifier) checkBody(r *http.Request, d *draft, p *payload) *Error {
	if p.unsigned {
		return nil
	}
	if e := v.readBody(r, d, p); e != nil {
		return e
	}
	switch {
	case p.line == unsignedPayload && p.full:
		return refuse(ErrUnsignedPayload, "")
	case p.line != unsignedPayload && string(p.hash[:]) != p.line:
		return refuse(ErrPayloadMismatch, "")
	}
	return nil
}

// readBody reads and hashes the body. It puts back what it has read, followed by what it has not, also if the request is
// refused then or later: a chain of mechanisms and [VerifierConfig].AllowDespite need the whole of it.
func (v *Verifier) readBody(r *http.Request, d *draft, p *payload) *Error {
	copy(p.hash[:], emptyHash)
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	text, err := readAll(r.Body, r.ContentLength, v.config.MaxBody, d.first[:])
	if err != nil {
		r.Body = unread(text, r.Body, err)
		return refuseBody(err)
	}
	_ = r.Body.Close()
	r.Body = newBody(text)
	if e := checkTrailer(r); e != nil { // net/http fills it when the body ends, with more than was announced
		dropTrailers(r)
		return e
	}
	if p.full = len(text) > 0; p.full {
		sum := sha256.Sum256(text)
		putHex(&p.hash, &sum)
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

// unread puts what was read of a body back before the rest, or before the error that ended it.
func unread(text []byte, body io.ReadCloser, err error) io.ReadCloser {
	rest := io.Reader(body)
	if !errors.Is(err, ErrBodyTooLarge) {
		rest = failing{err}
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(text), rest), body}
}

// failing fails every Read.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// body is a body that was read to its end.
type body struct{ bytes.Reader }

func newBody(text []byte) *body {
	b := new(body)
	b.Reset(text)
	return b
}

// Close does nothing.
func (*body) Close() error { return nil }

// readAll reads to the end, or returns ErrBodyTooLarge after limit bytes, with what it has read. length is a hint, as an
// adapter may not know it.
//
// It takes memory for what has arrived and not for what is claimed, since a claim costs the sender nothing: the first bytes
// go into memory that is there anyway, and then there is never more than twice of what has been read.
func readAll(r io.Reader, length, limit int64, first []byte) ([]byte, error) {
	text, grown := first[:0], false
	for {
		if len(text) == cap(text) {
			text, grown = append(make([]byte, 0, len(text)+grow(len(text), length, limit)), text...), true
		}
		n, err := r.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		if err == nil && int64(len(text)) <= limit {
			continue
		}
		if !grown {
			text = slices.Clone(text)
		}
		switch {
		case int64(len(text)) > limit:
			return text, ErrBodyTooLarge
		case err == io.EOF:
			return text, nil
		}
		return text, err
	}
}

// grow returns by how much to grow a text of n bytes: by as much again, but no further than one byte beyond the end that
// the length tells, or the limit. Growth by less, as append does, would copy a large body many times.
func grow(n int, length, limit int64) int {
	most := limit
	if length >= int64(n) { // else it was no more than a hint
		most = min(length, limit)
	}
	return int(max(min(int64(n), most-int64(n)+1), 1))
}
