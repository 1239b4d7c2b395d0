package auth

import (
	"sync"

	"github.com/MicahParks/jwkset"
)

// workspace holds what the verification of one token needs and the token does not keep. It is too large for the stack,
// so workspaces are pooled.
type workspace struct {
	scanner   scanner
	look      look
	header    [maxHeader]byte
	signature [maxSignature]byte
	long      []byte // for a long payload; nil if there is none yet, or if an authentic token keeps it
}

// workspaces has room for the most candidates from the start, so that a look-up never allocates.
var workspaces = sync.Pool{New: func() any {
	return &workspace{look: look{found: make([]*key, 0, maxCandidates), jwks: make([]jwkset.JWK, 0, maxCandidates)}}
}}

// longPayload is more bytes than most authentic tokens have: Cognito's claims have about 1 KiB.
const longPayload = 6 << 10

// bufferSize is how many bytes are allocated for a payload of n bytes.
func bufferSize(n int) int {
	if n <= longPayload {
		return n
	}
	return maxClaims
}

// payloadBuffer returns an empty buffer for a payload of n bytes. A short payload gets its own, which the token keeps.
// Long payloads are forged more often than not, so their buffer is used again unless the token is authentic.
func (w *workspace) payloadBuffer(n int) []byte {
	if n <= longPayload {
		return make([]byte, 0, n)
	}
	if w.long == nil {
		w.long = make([]byte, 0, bufferSize(n))
	}
	return w.long
}

// release returns the workspace to the pool without the request's context and the token, which the pool would
// otherwise keep alive.
func (w *workspace) release() {
	w.look.Context, w.look.token, w.look.name, w.scanner.text = nil, nil, keyName{}, ""
	clear(w.signature[:]) // part of a bearer token, which should not stay in memory
	workspaces.Put(w)
}
