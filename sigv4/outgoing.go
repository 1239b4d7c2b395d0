package sigv4

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// payload returns the last line of the canonical request.
func (s *Signer) payload(r *http.Request, d *draft) (string, *Error) {
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
	hash, err := d.hashOf(r)
	if err != nil {
		return "", refuse(fmt.Errorf("%w: %w", ErrBody, err), "")
	}
	return hash, nil
}

// checkDeclared refuses what no verifier takes for a payload hash. Names that begin with STREAMING- are for those who send
// the body in that form.
func checkDeclared(hash string) *Error {
	if hash == unsignedPayload || strings.HasPrefix(hash, "STREAMING-") || len(hash) == hashLength && hashBytes.all(hash) {
		return nil
	}
	return refuse(ErrMalformedPayloadHash, hash)
}

func declares(r *http.Request) bool { return len(r.Header["X-Amz-Content-Sha256"]) > 0 }

// errOnce is why a body cannot be hashed.
var errOnce = errors.New("it can be read only once: set GetBody, X-Amz-Content-Sha256, or UnsignedPayload")

// hashOf reads a body that is to be sent without taking it away.
func (d *draft) hashOf(r *http.Request) (hash string, err error) {
	body := io.Reader(r.Body)
	if r.GetBody != nil {
		again, err := r.GetBody()
		if err != nil {
			return "", err
		}
		defer again.Close()
		body = again
	} else {
		seeker, ok := r.Body.(io.Seeker)
		if !ok {
			return "", errOnce
		}
		start, err := seeker.Seek(0, io.SeekCurrent)
		if err != nil {
			return "", err
		}
		defer func() { _, back := seeker.Seek(start, io.SeekStart); err = errors.Join(err, back) }()
	}
	d.digest.Reset()
	if _, err := io.Copy(d.digest.Hash, body); err != nil {
		return "", err
	}
	return hex.EncodeToString(d.digest.Sum(nil)), nil
}
