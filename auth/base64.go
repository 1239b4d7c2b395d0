package auth

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
)

var strict = base64.RawURLEncoding.Strict() // refuses padding and set bits after the last byte

// sextets[i][c] is what the character c adds at place i of a group of four characters of base64url (RFC 4648 section
// 5). The sum of the four is the group's three bytes in little-endian order. Any other character adds invalid. This
// includes the line breaks that encoding/base64 skips (RFC 7515 section 2: no line breaks, white space or other
// additional characters).
var sextets = func() (t [4][256]uint32) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for c := range 256 {
		v := uint32(strings.IndexByte(alphabet, byte(c)))
		if v >= uint32(len(alphabet)) {
			t[0][c], t[1][c], t[2][c], t[3][c] = invalid, invalid, invalid, invalid
			continue
		}
		t[0][c], t[1][c], t[2][c], t[3][c] = v<<2, v>>4|v&15<<12, v>>2<<8|v&3<<22, v<<16
	}
	return t
}()

const invalid = 1 << 24 // a bit above the three bytes of a group

// decodeBase64 decodes a segment, into buf if it is large enough. It is twice as fast as encoding/base64, which would
// take a quarter of the time of the longest token.
func decodeBase64(buf []byte, segment string) ([]byte, error) {
	// encoding/base64 decodes the last group and what follows it. The loop decodes the groups before. It writes four bytes
	// for the three of a group; the next group, or the rest, overwrites the fourth.
	groups := max(len(segment)/4-1, 0)
	b := slices.Grow(buf[:0], strict.DecodedLen(len(segment)))[:3*groups]
	var bad uint32
	for i, to := 0, b[:min(3*groups+1, cap(b))]; i+4 <= 4*groups; i += 4 {
		c := segment[i : i+4]
		x := sextets[0][c[0]] | sextets[1][c[1]] | sextets[2][c[2]] | sextets[3][c[3]]
		binary.LittleEndian.PutUint32(to[i/4*3:], x)
		bad |= x
	}
	rest := segment[4*groups:]
	if bad >= invalid || strings.ContainsAny(rest, "\r\n") {
		return nil, errBase64
	}
	b, err := strict.AppendDecode(b, []byte(rest))
	if err != nil {
		return nil, errBase64
	}
	return b, nil
}
