package sigv4

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"hash"
)

// digest is SHA-256 in its steps: from the state after one block, over whole blocks, to the state after the last, which is
// the hash. The steps save what hash.Hash does to hide them, a copy of its state for every Sum, which is a fifth of the cost
// of such short texts. The state goes in and out in its binary encoding, which crypto/sha256 documents.
type digest struct {
	hash.Hash
	appender    encoding.BinaryAppender // the same hash
	unmarshaler encoding.BinaryUnmarshaler
	encoded     []byte                 // the state after one block, encoded; restore replaces the state
	saved       []byte                 // what save encodes into
	inner       [sha256.BlockSize]byte // the last block of an HMAC: the hash of the inner text, then padding
	sum         [sha256.Size]byte
}

// The state follows the 4 bytes of magic in an encoding; the unfinished block and the length come after it.
const magic = 4

func newDigest() *digest {
	h := sha256.New()
	d := &digest{Hash: h, appender: h.(encoding.BinaryAppender), unmarshaler: h.(encoding.BinaryUnmarshaler)}
	_, _ = d.Write(make([]byte, sha256.BlockSize)) // never fails
	d.encoded, _ = d.appender.AppendBinary(nil)
	copy(d.inner[sha256.Size:], pad(nil, sha256.BlockSize+sha256.Size))
	return d
}

var padding = [sha256.BlockSize]byte{0x80}

// pad appends the padding of a text of the given length, FIPS 180-4 5.1.1: a one, zeros, and the length in bits, which takes
// 8 bytes.
func pad(text []byte, length int) []byte {
	n := 1 + (2*sha256.BlockSize-1-8-length%sha256.BlockSize)%sha256.BlockSize
	return binary.BigEndian.AppendUint64(append(text, padding[:n]...), uint64(length)*8)
}

// save copies the state, which must be that after whole blocks.
func (d *digest) save(state *[sha256.Size]byte) {
	d.saved, _ = d.appender.AppendBinary(d.saved[:0])
	copy(state[:], d.saved[magic:])
}

// restore goes back to a state after one block.
func (d *digest) restore(state *[sha256.Size]byte) {
	copy(d.encoded[magic:], state[:])
	_ = d.unmarshaler.UnmarshalBinary(d.encoded) // its own encoding
}

// hash leaves the SHA-256 of a padded text in d.sum.
func (d *digest) hash(padded []byte) {
	d.Reset()
	_, _ = d.Write(padded)
	d.save(&d.sum)
}

// mac leaves the HMAC of a text in d.sum. The text is padded as one that follows the block of the key.
func (d *digest) mac(m *mac, padded []byte) {
	d.restore(&m.inner)
	_, _ = d.Write(padded)
	d.save((*[sha256.Size]byte)(d.inner[:]))
	d.restore(&m.outer)
	_, _ = d.Write(d.inner[:])
	d.save(&d.sum)
}

// mac is HMAC-SHA-256 with one key, RFC 2104: the state after the block that holds the key and the inner or outer pad.
// Restoring it saves two of the six blocks of a string to sign. The states stand in line, in 64 bytes, since ten thousand
// keys in turn would each fetch a hash.Hash from memory.
type mac struct{ inner, outer [sha256.Size]byte }

func newMAC(key SigningKey) (m mac) {
	var block [sha256.BlockSize]byte
	copy(block[:], key[:]) // RFC 2104: shorter than a block, so filled up with zeros
	for i := range block {
		block[i] ^= 0x36
	}
	d := newDigest()
	d.hash(block[:])
	m.inner = d.sum
	for i := range block {
		block[i] ^= 0x36 ^ 0x5c
	}
	d.hash(block[:])
	m.outer = d.sum
	return m
}
