package sigv4

import (
	"crypto/sha256"
	"encoding"
	"hash"
)

// digest is SHA-256 whose state can be kept and restored without allocating.
type digest struct {
	hash.Hash
	unmarshaler encoding.BinaryUnmarshaler // the same hash
	state       []byte                     // the encoded state after one block; its chaining value is replaced
	sum         [sha256.Size]byte
}

// The chaining value follows the 4 bytes of magic in an encoded state; the unfinished block and the length come after it.
const chaining = 4

func newDigest() *digest {
	h := sha256.New()
	d := &digest{Hash: h, unmarshaler: h.(encoding.BinaryUnmarshaler)}
	d.state = d.encoded(make([]byte, sha256.BlockSize))
	return d
}

// encoded returns the encoded state after one block.
func (d *digest) encoded(block []byte) []byte {
	d.Reset()
	_, _ = d.Write(block)
	state, _ := d.Hash.(encoding.BinaryMarshaler).MarshalBinary() // hash.Hash of crypto/sha256 documents both
	return state
}

func (d *digest) midstate(dst *[sha256.Size]byte, block []byte) {
	copy(dst[:], d.encoded(block)[chaining:])
}

func (d *digest) restore(chain *[sha256.Size]byte) {
	copy(d.state[chaining:], chain[:])
	_ = d.unmarshaler.UnmarshalBinary(d.state) // its own encoding
}

// mac leaves the HMAC of text in d.sum.
func (d *digest) mac(m *mac, text []byte) {
	d.restore(&m.inner)
	_, _ = d.Write(text)
	inner := d.Sum(d.sum[:0])
	d.restore(&m.outer)
	_, _ = d.Write(inner)
	d.Sum(d.sum[:0])
}
