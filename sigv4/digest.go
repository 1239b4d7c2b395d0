package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// digest is SHA-256 in its steps: from the state after one block, over whole blocks, to the state after the last, which is
// the hash. The steps save what hash.Hash does to hide them, a copy of its state for every Sum, which is a fifth of the cost
// of such short texts.
//
// The state goes in and out in its binary encoding. crypto/sha256 documents that there is one and promises nothing about its
// layout, so it is held against known answers once, when the program starts. Where it is another than this file knows, every
// hash is a plain one.
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

// stepwise reports that the encoding is the one that this file knows.
var stepwise = knownAnswers()

// knownAnswers makes the hash of two blocks in steps (FIPS 180-4, example of 56 bytes) and an HMAC (RFC 4231 4.3).
func knownAnswers() bool {
	const (
		text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
		sum  = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
		data = "what do ya want for nothing?"
		code = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
	)
	d, ok := newSteps()
	if !ok {
		return false
	}
	d.steps(pad([]byte(text), len(text)))
	hashed := hex.EncodeToString(d.sum[:])
	m := d.newMAC(SigningKey{'J', 'e', 'f', 'e'}) // zeros fill up any key that is shorter than a block
	d.macSteps(&m, pad([]byte(data), sha256.BlockSize+len(data)))
	return hashed == sum && hex.EncodeToString(d.sum[:]) == code
}

func newDigest() *digest {
	if d, ok := newSteps(); ok {
		return d
	}
	return &digest{Hash: sha256.New()}
}

// newSteps returns a digest, unless SHA-256 has no encoded state or one that is too short.
func newSteps() (d *digest, ok bool) {
	d = &digest{Hash: sha256.New()}
	d.appender, _ = d.Hash.(encoding.BinaryAppender)
	d.unmarshaler, _ = d.Hash.(encoding.BinaryUnmarshaler)
	if d.appender == nil || d.unmarshaler == nil {
		return nil, false
	}
	_, _ = d.Write(make([]byte, sha256.BlockSize)) // never fails
	d.encoded, _ = d.appender.AppendBinary(nil)
	copy(d.inner[sha256.Size:], pad(nil, sha256.BlockSize+sha256.Size))
	return d, len(d.encoded) >= magic+sha256.Size
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

// hash leaves the SHA-256 of a text in d.sum. It may write behind the text and returns it, in more memory if need be.
func (d *digest) hash(text []byte) []byte {
	if !stepwise {
		d.sum = sha256.Sum256(text)
		return text
	}
	padded := pad(text, len(text))
	d.steps(padded)
	return padded[:len(text)]
}

// hashPieces leaves the SHA-256 of a text in pieces in d.sum.
func (d *digest) hashPieces(pieces [][]byte) {
	d.Reset()
	for _, piece := range pieces {
		_, _ = d.Write(piece) // never fails
	}
	d.Sum(d.sum[:0])
}

func (d *digest) steps(padded []byte) {
	d.Reset()
	_, _ = d.Write(padded)
	d.save(&d.sum)
}

// mac leaves the HMAC of what begins at a place of a text in d.sum. Like hash it may write behind the text and returns it.
func (d *digest) mac(m *mac, text []byte, from int) []byte {
	if !stepwise {
		key := m.inner // a copy, as what hmac is given escapes
		h := hmac.New(sha256.New, key[:])
		_, _ = h.Write(text[from:]) // never fails
		h.Sum(d.sum[:0])
		return text
	}
	padded := pad(text, sha256.BlockSize+len(text)-from)
	d.macSteps(m, padded[from:])
	return padded[:len(text)]
}

// macSteps takes a text that is padded as one that follows the block of the key.
func (d *digest) macSteps(m *mac, padded []byte) {
	d.restore(&m.inner)
	_, _ = d.Write(padded)
	d.save((*[sha256.Size]byte)(d.inner[:]))
	d.restore(&m.outer)
	_, _ = d.Write(d.inner[:])
	d.save(&d.sum)
}

// mac is HMAC-SHA-256 with one key, RFC 2104: the state after the block that holds the key and the inner or outer pad.
// Restoring it saves two of the six blocks of a string to sign. The states stand in line, in 64 bytes, since ten thousand
// keys in turn would each fetch a hash.Hash from memory. Without steps, inner is the key itself.
type mac struct{ inner, outer [sha256.Size]byte }

func newMAC(key SigningKey) mac {
	if !stepwise {
		return mac{inner: key}
	}
	return newDigest().newMAC(key)
}

func (d *digest) newMAC(key SigningKey) (m mac) {
	var block [sha256.BlockSize]byte
	copy(block[:], key[:]) // RFC 2104: shorter than a block, so filled up with zeros
	for i := range block {
		block[i] ^= 0x36
	}
	d.steps(block[:])
	m.inner = d.sum
	for i := range block {
		block[i] ^= 0x36 ^ 0x5c
	}
	d.steps(block[:])
	m.outer = d.sum
	return m
}
