package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// digest computes SHA-256 in steps: it starts from the state after one block, adds whole blocks, and reads the state
// after the last block, which is the hash. hash.Hash copies its state for every Sum, so that one can write on after it.
// For texts as short as ours that copy is a fifth of the cost, and the steps do without it.
//
// The state is read and set through its binary encoding. crypto/sha256 documents that this encoding exists and promises
// nothing about its layout. So the layout is checked against known answers once, when the program starts. If it is not
// the one that this file knows, every hash is computed without steps.
type digest struct {
	hash.Hash
	appender    encoding.BinaryAppender // the same hash
	unmarshaler encoding.BinaryUnmarshaler
	encoded     []byte                 // an encoding after one block, in which restore replaces the state
	saved       []byte                 // memory for save
	inner       [sha256.BlockSize]byte // the last block of an HMAC: the inner hash, then padding
	sum         [sha256.Size]byte
}

// magic is how many bytes of an encoding come before the state. The 32 bytes of the state are the hash so far. The
// unfinished block and the length come after them.
const magic = 4

// stepwise reports whether the encoding has the layout that this file knows.
var stepwise = knownAnswers()

// knownAnswers checks a hash of two blocks (FIPS 180-4, the example of 56 bytes) and an HMAC (RFC 4231 4.3).
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
	m := d.newMAC([sha256.Size]byte{'J', 'e', 'f', 'e'}) // a key that is shorter than a block is filled up with zeros
	d.macSteps(&m, pad([]byte(data), sha256.BlockSize+len(data)))
	return hashed == sum && hex.EncodeToString(d.sum[:]) == code
}

// newDigest returns a digest, with steps if they work. It is used by one goroutine at a time.
func newDigest() *digest {
	if d, ok := newSteps(); ok {
		return d
	}
	return &digest{Hash: sha256.New()}
}

// newSteps returns a digest. It reports false if SHA-256 has no encoding of its state, or one that is too short.
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

// pad appends the padding of a text of the given length (FIPS 180-4 5.1.1): a one bit, zeros, and the length in bits as
// 8 bytes, so that the whole has a multiple of 64 bytes. For example, 56 bytes are followed by 0x80, by 63 zeros and by
// 448 as 8 bytes, which makes two blocks. The length may be more than len(text), if text follows what was hashed
// before.
func pad(text []byte, length int) []byte {
	n := 1 + (2*sha256.BlockSize-1-8-length%sha256.BlockSize)%sha256.BlockSize
	return binary.BigEndian.AppendUint64(append(text, padding[:n]...), uint64(length)*8)
}

// save copies the state. What was written must be whole blocks.
func (d *digest) save(state *[sha256.Size]byte) {
	d.saved, _ = d.appender.AppendBinary(d.saved[:0])
	copy(state[:], d.saved[magic:])
}

// restore sets the state, which must be one after one block.
func (d *digest) restore(state *[sha256.Size]byte) {
	copy(d.encoded[magic:], state[:])
	_ = d.unmarshaler.UnmarshalBinary(d.encoded) // cannot fail: it is its own encoding
}

// hash sets d.sum to the SHA-256 of the text. It writes the padding behind the text, so that both are hashed in one
// call, and returns the text without it. The text may have moved, if its slice had no room.
func (d *digest) hash(text []byte) []byte {
	if !stepwise {
		d.sum = sha256.Sum256(text)
		return text
	}
	padded := pad(text, len(text))
	d.steps(padded)
	return padded[:len(text)]
}

// hashPieces sets d.sum to the SHA-256 of the pieces, one after the other.
func (d *digest) hashPieces(pieces [][]byte) {
	d.Reset()
	for _, piece := range pieces {
		_, _ = d.Write(piece) // never fails
	}
	d.Sum(d.sum[:0])
}

// steps sets d.sum to the hash of a text that is padded already.
func (d *digest) steps(padded []byte) {
	d.Reset()
	_, _ = d.Write(padded)
	d.save(&d.sum)
}

// mac sets d.sum to the HMAC of text[from:]. Like hash it may write behind the text, and returns it. The hash counts
// the block of the key too, which is why the length is one block more.
func (d *digest) mac(m *mac, text []byte, from int) []byte {
	if !stepwise {
		key := m.inner // a copy, because what hmac is given moves to the heap
		h := hmac.New(sha256.New, key[:])
		_, _ = h.Write(text[from:]) // never fails
		h.Sum(d.sum[:0])
		return text
	}
	padded := pad(text, sha256.BlockSize+len(text)-from)
	d.macSteps(m, padded[from:])
	return padded[:len(text)]
}

// macSteps sets d.sum to the HMAC of a text that is padded already, as one that follows the block of the key. An HMAC
// is hash(key^opad, hash(key^ipad, text)), and m holds the states after the two blocks of the key.
func (d *digest) macSteps(m *mac, padded []byte) {
	d.restore(&m.inner)
	_, _ = d.Write(padded)
	d.save((*[sha256.Size]byte)(d.inner[:]))
	d.restore(&m.outer)
	_, _ = d.Write(d.inner[:])
	d.save(&d.sum)
}

// mac is HMAC-SHA-256 (RFC 2104) with one key: the states after the block that holds the key with the inner or the
// outer pad. To restore them saves two of the six blocks of a string to sign. They are in the struct and not behind a
// pointer, so that a key is 64 bytes in one place: with ten thousand keys in turn, each access waits for memory. If
// there are no steps, inner is the key itself.
type mac struct{ inner, outer [sha256.Size]byte }

func newMAC(key [sha256.Size]byte) mac {
	if !stepwise {
		return mac{inner: key}
	}
	return newDigest().newMAC(key)
}

// newMAC returns the states of a key. d must have steps.
func (d *digest) newMAC(key [sha256.Size]byte) (m mac) {
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
