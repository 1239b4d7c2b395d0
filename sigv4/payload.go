package sigv4

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// payload is how the signature covers the body.
type payload struct {
	line     string           // the declared last line of the canonical request; empty if it is to be the hash of the body
	unsigned bool             // nothing vouches for the body, which is allowed; else UNSIGNED-PAYLOAD means that there is none
	hash     [hashLength]byte // of the body, once it has been read
	body     *body            // what has been read, for the handler once all is verified
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
func (v *Verifier) checkBody(r *http.Request, p *payload) *Error {
	if p.unsigned {
		return nil
	}
	if e := v.readBody(r, p); e != nil {
		return e
	}
	switch {
	case p.line == unsignedPayload && p.body != nil:
		return refuse(ErrUnsignedPayload, "")
	case p.line != unsignedPayload && string(p.hash[:]) != p.line:
		return refuse(ErrPayloadMismatch, "")
	}
	return nil
}

// readBody reads and hashes the body. Until all is verified there is none for anyone else.
func (v *Verifier) readBody(r *http.Request, p *payload) *Error {
	copy(p.hash[:], emptyHash)
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	text, err := readAll(r.Body, r.ContentLength, v.config.MaxBody)
	_ = r.Body.Close() // it has been read to its end or will not be
	r.Body = http.NoBody
	if err != nil {
		return refuseBody(err)
	}
	if e := checkTrailer(r); e != nil { // net/http fills it when the body ends, with more than was announced
		return e
	}
	if len(text) > 0 {
		p.body = newBody(text)
		sum := sha256.Sum256(text)
		putHex(&p.hash, &sum)
	}
	return nil
}

// checkTrailer refuses trailers that begin with X-Amz-, as no signature covers a trailer.
func checkTrailer(r *http.Request) *Error {
	for name := range r.Trailer {
		if isAmzHeader(name) || isAuthorization(name) {
			return refuse(ErrUnsignedHeader, strings.ToLower(name))
		}
	}
	return nil
}

// stream is a body that nothing vouches for, held to the limit and to what trailers may be while the handler reads it.
type stream struct {
	io.ReadCloser
	r *http.Request
}

func (v *Verifier) newStream(r *http.Request) *stream {
	return &stream{http.MaxBytesReader(nil, r.Body, v.config.MaxBody), r}
}

func (s *stream) Read(p []byte) (n int, err error) {
	if n, err = s.ReadCloser.Read(p); err == io.EOF {
		if e := checkTrailer(s.r); e != nil {
			s.r.Trailer = nil
			return n, e
		}
	}
	return n, err
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

// body is a verified body.
type body struct{ bytes.Reader }

func newBody(text []byte) *body {
	b := new(body)
	b.Reset(text)
	return b
}

// Close does nothing.
func (*body) Close() error { return nil }

// The memory taken at once for a body, whatever length it claims: a claim costs the sender nothing.
const firstRead = 64 << 10

// readAll reads to the end, or returns ErrBodyTooLarge after limit bytes. length is a hint, as an adapter may not know it.
func readAll(r io.Reader, length, limit int64) ([]byte, error) {
	text := make([]byte, 0, min(max(length, 0)+1, firstRead)) // one more than the length, to see the end
	for {
		if len(text) == cap(text) {
			text = append(make([]byte, 0, len(text)+grow(len(text), length, limit)), text...)
		}
		n, err := r.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		switch {
		case int64(len(text)) > limit:
			return nil, ErrBodyTooLarge
		case err == io.EOF:
			return text, nil
		case err != nil:
			return nil, err
		}
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
