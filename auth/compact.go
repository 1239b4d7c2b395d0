package auth

import "strings"

// Bounds on a token, which are checked before anything else. Most servers and proxies limit a header to 8 or 16 KiB, so
// a longer token would not arrive. Headers are short: a certificate chain (x5c) is the only long member, and it is not
// used.
const (
	maxToken  = 16 << 10         // bytes of a compact token
	maxHeader = 2 << 10          // bytes of its encoded header
	maxClaims = maxToken / 4 * 3 // bytes of its decoded claims set: 4 characters of base64url are 3 bytes
	// An RSA key of 8192 bits, the largest accepted, signs with 1024 bytes: 1366 characters of base64url.
	maxSignature = 1366
)

var (
	errTooLong  = narrow(ErrMalformed, "token is too long")
	errSegments = narrow(ErrMalformed, "token contains an invalid number of segments")
	errBase64   = narrow(ErrMalformed, "not strict base64url")
)

// compact is the compact serialisation of a JWS (RFC 7515 section 7.1), split but not decoded.
type compact struct {
	signed    string // header, dot and payload, which the signature covers
	header    string
	payload   string
	signature string
	padded    bool // unpad has removed padding
}

// cut splits a token into its three segments. It only looks for dots, in at most 16 KiB, and does not allocate
// (CVE-2025-30204: splitting at every dot makes a token full of dots allocate).
func cut(raw string) (c compact, err error) {
	if len(raw) > maxToken {
		return c, errTooLong
	}
	header, rest, _ := strings.Cut(raw, ".")
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok || strings.IndexByte(signature, '.') >= 0 {
		return c, errSegments
	}
	if len(header) > maxHeader || len(signature) > maxSignature { // they are decoded into arrays of a fixed size
		return c, errTooLong
	}
	return compact{raw[:len(raw)-len(signature)-1], header, payload, signature, false}, nil
}
