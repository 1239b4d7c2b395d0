package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/tallygate/tallygate/sigv4"
)

// A token is the prefix and, in base64url, the digest of its sealing key, a random nonce of 12 bytes, the encrypted
// capsule and its tag of 16 bytes. Prefix, digest and access key id are the associated data. So a capsule of 200 bytes
// has a token of 5 + 4/3 × (8 + 12 + 200 + 16), which is 320 bytes.
const (
	prefix       = "TGs1." // another format would have another number
	digestLength = 8       // enough to tell a few sealing keys apart; it need not be unforgeable

	// maxToken bounds a token in bytes. AWS asks clients to expect no limit, but says that tokens are typically below
	// 4 096 bytes (https://docs.aws.amazon.com/STS/latest/APIReference/API_Credentials.html).
	maxToken = 4096
)

// encoding has no bits to spare that a client could change without changing what is decoded. It still skips line ends,
// which open refuses: each form of a token would take a place in the cache.
var encoding = base64.RawURLEncoding.Strict()

// A seal is a sealing key.
type seal struct {
	digest [digestLength]byte // names the key in tokens
	aead   cipher.AEAD        // AES-256-GCM, which makes the nonce and puts it in front
}

// newSeal returns the seal of a key of 32 bytes. Its digest names the key in tokens and tells nothing about it. The
// label keeps it apart from what else may be derived of the key.
func newSeal(key sigv4.Secret) (seal, error) {
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		return seal{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return seal{}, err
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte("tallygate session: name of a sealing key"))
	return seal{digest: [digestLength]byte(mac.Sum(nil)), aead: aead}, nil
}

// associated appends to b what a token binds: the format, the sealing key and the access key.
func (s *seal) associated(b []byte, accessKeyID string) []byte {
	b = append(b, prefix...)
	b = append(b, s.digest[:]...)
	return append(b, accessKeyID...)
}

// close returns the token of a capsule. The sealed bytes are appended to the digest; its capacity is cut, so that Seal
// must copy it.
func (s *seal) close(accessKeyID string, capsule []byte) string {
	sealed := s.aead.Seal(s.digest[:digestLength:digestLength], nil, capsule, s.associated(nil, accessKeyID))
	return prefix + encoding.EncodeToString(sealed)
}

// errToken is the cause of every token that does not open. The client gets one answer for all of them.
func errToken(why string) error {
	return fmt.Errorf("%w: the session token %s", sigv4.ErrUnknownKey, why)
}

// open returns the capsule that a token seals for an access key. The token must begin with the prefix. A token names
// its key, so no other key is tried: a forged token costs one decryption, however many keys there are.
func open(seals []seal, accessKeyID, token string) ([]byte, error) {
	if len(token) > maxToken {
		return nil, errToken("is too long")
	}
	sealed, err := encoding.DecodeString(strings.TrimPrefix(token, prefix))
	if err != nil || len(sealed) < digestLength || strings.ContainsAny(token, "\r\n") {
		return nil, errToken("is malformed")
	}
	for i := range seals {
		s := &seals[i]
		if string(s.digest[:]) != string(sealed[:digestLength]) {
			continue
		}
		text, err := s.aead.Open(nil, nil, sealed[digestLength:], s.associated(nil, accessKeyID))
		if err != nil {
			return nil, errToken("was changed, or belongs to another access key")
		}
		return text, nil
	}
	return nil, errToken("was sealed by a key that is not known")
}
