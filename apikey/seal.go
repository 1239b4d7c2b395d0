package apikey

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// A Sealer encrypts the values of keys, so that [Verifier.Reveal] can show them again. It uses AES-256-GCM with a
// random nonce (NIST SP 800-38D), and the id of the key as associated data: a sealed value cannot be moved to another
// key. Make one with [NewSealer]. It is safe for concurrent use.
type Sealer struct {
	keys []cipher.AEAD
}

// NewSealer returns a sealer of one or more secret keys of 32 random bytes each. The first one seals, and all of them
// open. To replace a key, put the new one before it and call [Verifier.Update] for every key, which seals its value
// anew. Then the old one can go. Keep the keys in another place than the journal. One key should seal at most 2^32
// values.
func NewSealer(keys ...Secret) (*Sealer, error) {
	if len(keys) == 0 {
		return nil, errors.New("apikey: a sealer needs a key")
	}
	s := &Sealer{}
	for i, k := range keys {
		if len(k) != lengthSealKey {
			return nil, fmt.Errorf("apikey: sealing key %d has %d bytes, want %d", i, len(k), lengthSealKey)
		}
		block, err := aes.NewCipher([]byte(k))
		if err != nil {
			return nil, fmt.Errorf("apikey: sealing key %d: %w", i, err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("apikey: sealing key %d: %w", i, err)
		}
		s.keys = append(s.keys, aead)
	}
	return s, nil
}

const (
	lengthSealKey = 32 // AES-256
	sealVersion   = 1
)

// seal returns the sealed value of the key of the given id: a version byte, the nonce of 12 bytes, the encrypted value
// and the tag of 16 bytes. A nil sealer keeps nothing.
func (s *Sealer) seal(id string, value Secret) string {
	if s == nil {
		return ""
	}
	return string(s.keys[0].Seal([]byte{sealVersion}, nil, []byte(value), []byte(id)))
}

// errSealed says that a value is stored but cannot be opened.
var errSealed = fmt.Errorf("%w: Config.Sealer has no key that opens the value", ErrNotConfigured)

// open returns the value that was sealed for the key of the given id.
func (s *Sealer) open(id, sealed string) (Secret, error) {
	if sealed[0] != sealVersion {
		return "", fmt.Errorf("%w: it has version %d", errSealed, sealed[0])
	}
	for _, k := range s.keys {
		if value, err := k.Open(nil, nil, []byte(sealed[1:]), []byte(id)); err == nil {
			return Secret(value), nil
		}
	}
	return "", errSealed
}

// reseal seals a value anew, with the first key. What cannot be opened stays as it is.
func (s *Sealer) reseal(id, sealed string) string {
	if s == nil || sealed == "" {
		return sealed
	}
	value, err := s.open(id, sealed)
	if err != nil {
		return sealed
	}
	return s.seal(id, value)
}
