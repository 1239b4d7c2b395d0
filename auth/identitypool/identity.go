package identitypool

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strings"
)

// The ids of identities are made so that nothing has to be stored:
//
//   - The id of a user who has signed in is an HMAC of the login, so it is the same each time and on every node.
//   - The id of anybody else is random, and carries a MAC, so that only ids of this pool are accepted.
//
// Both are UUIDs of version 8 (RFC 9562 section 5.8), which leaves 122 of 128 bits. The version and the variant are in
// the seventh and the ninth byte. So the nine random bytes of a random id have 72 - 6 = 66 random bits, and its last
// seven bytes are 56 bits of MAC. Two of a hundred million have the same random bits with a probability below 10⁻⁴
// (n²/2⁶⁷), and an id that was made up passes with one of 2⁻⁵⁶ for each request.
const (
	ofLogin  = "login"
	ofRandom = "random"

	randomBytes = 9 // of the 16 bytes; six of their bits are the version and the variant
)

// digest is an HMAC of text for one purpose. The pool's id is in it, so that an identity of one pool is none of
// another, even if both have the same key. No part contains a zero byte but the last, so two inputs never read the
// same.
func (p *Pool) digest(purpose, text string) []byte {
	h := hmac.New(sha256.New, []byte(p.config.IdentityKey))
	h.Write([]byte(purpose + "\x00" + p.config.ID + "\x00" + text))
	return h.Sum(nil)
}

// identityOf returns the identity of a login: id is the ID of its verified token, which is unique to issuer and
// subject.
func (p *Pool) identityOf(id string) string { return p.format(p.digest(ofLogin, id)) }

// newIdentity returns a new identity that has no login.
func (p *Pool) newIdentity() string {
	var b [16]byte
	_, _ = rand.Read(b[:randomBytes]) // it never fails
	setVersion(b[:])                  // before the MAC, which covers these bits too
	copy(b[randomBytes:], p.digest(ofRandom, string(b[:randomBytes])))
	return p.format(b[:])
}

// unauthenticated reports whether newIdentity has made the id. An id has one spelling only, that of format: capitals or
// a hyphen in another place would be the same bytes, but another identity for limits and logs.
func (p *Pool) unauthenticated(id string) bool {
	region, uuid, _ := strings.Cut(id, ":")
	b, err := hex.DecodeString(strings.ReplaceAll(uuid, "-", ""))
	if err != nil || len(b) != 16 || region != p.region() || p.format(b) != id {
		return false
	}
	return subtle.ConstantTimeCompare(p.digest(ofRandom, string(b[:randomBytes]))[:16-randomBytes], b[randomBytes:]) == 1
}

// format returns the id whose UUID has the first 16 bytes of b.
func (p *Pool) format(b []byte) string {
	setVersion(b)
	return fmt.Sprintf("%s:%x-%x-%x-%x-%x", p.region(), b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// setVersion sets the version and the variant of a UUID (RFC 9562 section 4).
func setVersion(b []byte) { b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80 }

// region returns the Region of the pool, which the ids of its identities begin with.
func (p *Pool) region() string {
	region, _, _ := strings.Cut(p.config.ID, ":")
	return region
}
