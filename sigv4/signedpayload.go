package sigv4

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
)

// payload returns the last line of the canonical request: the declared hash, UNSIGNED-PAYLOAD, or the hash of the body.
// A caller who has the hash declares it, and the body is then not read.
func (s *Signer) payload(r *http.Request, cr *canonicalRequest) (string, *Error) {
	switch declared, e := single("X-Amz-Content-Sha256", r.Header["X-Amz-Content-Sha256"]); {
	case e != nil:
		return "", e
	case declares(r):
		return declared, checkDeclared(declared)
	case s.config.UnsignedPayload:
		return unsignedPayload, nil
	case r.Body == nil || r.Body == http.NoBody:
		return emptyHash, nil
	}
	hash, err := cr.hashOf(r)
	if err != nil {
		return "", refuse(fmt.Errorf("%w: %w", ErrBody, err), "")
	}
	return hash, nil
}

// checkDeclared refuses a declared hash that no verifier accepts. A name that begins with STREAMING- is accepted: the
// caller then sends the body in that form.
func checkDeclared(hash string) *Error {
	if hash == unsignedPayload || strings.HasPrefix(hash, "STREAMING-") || len(hash) == hashLength && hashBytes.all(hash) {
		return nil
	}
	return refuse(errMalformedPayloadHash, hash)
}

// declares reports whether the request declares its payload hash.
func declares(r *http.Request) bool { return len(r.Header["X-Amz-Content-Sha256"]) > 0 }

// errOnce is why a body cannot be hashed.
var errOnce = errors.New("it can be read only once: set GetBody, X-Amz-Content-Sha256, MaxSpool or UnsignedPayload")

// errSpool is why a body cannot be read into memory to be hashed. It names MaxSpool, because the limit is the signer's
// and not the server's.
var errSpool = fmt.Errorf("%w: it can be read only once and is longer than MaxSpool", errBodyTooLarge)

// hashOf returns the hash of a body that is to be sent, and leaves the body as it was. It reads what GetBody returns
// or, if there is no GetBody, the body itself, which it then sets back to where it was.
func (cr *canonicalRequest) hashOf(r *http.Request) (hash string, err error) {
	if r.GetBody != nil {
		again, err := r.GetBody()
		if err != nil {
			return "", err
		}
		defer again.Close()
		return cr.hashAll(again)
	}
	seeker, ok := r.Body.(io.Seeker)
	if !ok {
		return "", errOnce
	}
	start, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		return "", err
	}
	defer func() { _, back := seeker.Seek(start, io.SeekStart); err = errors.Join(err, back) }()
	return cr.hashAll(r.Body)
}

// hashAll reads a body to its end and returns its hash.
func (cr *canonicalRequest) hashAll(body io.Reader) (string, error) {
	cr.digest.Reset()
	if _, err := io.Copy(cr.digest.Hash, body); err != nil {
		return "", err
	}
	return hex.EncodeToString(cr.digest.Sum(nil)), nil
}

// spool reads a body that can be read only once into memory, so that it can be hashed and then sent. A body that is too
// long is put back whole. It does nothing if the hash is not needed: because it is declared, because the payload is not
// signed, or because the body can be read again.
func (s *Signer) spool(r *http.Request) *Error {
	if s.config.MaxSpool == 0 || s.config.UnsignedPayload || declares(r) || !isOnce(r) {
		return nil
	}
	if r.ContentLength > s.config.MaxSpool {
		return refuse(errSpool, "")
	}
	once := r.Body
	// One byte more than MaxSpool shows that the body is too long.
	text, err := io.ReadAll(io.LimitReader(once, min(s.config.MaxSpool, math.MaxInt64-1)+1))
	if err == nil && int64(len(text)) > s.config.MaxSpool {
		err = errSpool
	}
	if err != nil { // the body stays whole, in case the caller sends it in another way
		r.Body = rest{io.MultiReader(bytes.NewReader(text), once), once}
		return refuseBody(err)
	}
	_ = once.Close() // it has been read to its end
	setBody(r, text)
	return nil
}

// isOnce reports whether the request has a body that can be read only once. A body that can seek must really do so: an
// os.File has the method, and it fails if the file is a pipe.
func isOnce(r *http.Request) bool {
	if r.Body == nil || r.Body == http.NoBody || r.GetBody != nil {
		return false
	}
	if seeker, ok := r.Body.(io.Seeker); ok {
		_, err := seeker.Seek(0, io.SeekCurrent)
		return err != nil
	}
	return true
}

// rest is a body whose beginning has been read and put back.
type rest struct {
	io.Reader
	io.Closer
}

// setBody gives the request a body in memory. It is sent with its length, unless there are trailers, which need chunks.
// A length that is set already stays: net/http then checks the body against it. GetBody lets an http.Client send the
// body again, after a redirect or on a new connection.
func setBody(r *http.Request, text []byte) {
	r.GetBody = func() (io.ReadCloser, error) {
		if len(text) == 0 {
			return http.NoBody, nil
		}
		return newBody(text), nil
	}
	r.Body, _ = r.GetBody()
	if r.ContentLength <= 0 {
		r.ContentLength = int64(len(text))
		if len(r.Trailer) == 0 {
			r.TransferEncoding = nil
		}
	}
}
