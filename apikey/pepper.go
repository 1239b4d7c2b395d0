package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// minPepper is the length of the hash, which RFC 2104 section 3 recommends as the minimum.
const minPepper = sha256.Size

// pepper returns Config.Pepper, or a random one for a verifier whose digests are not stored.
func (c *Config) pepper() (Secret, error) {
	switch {
	case c.Pepper == "" && c.Journal != nil:
		return "", errors.New("apikey: Pepper is required with a Journal")
	case c.Pepper == "":
		fresh := make([]byte, minPepper)
		_, _ = rand.Read(fresh) // never fails
		return Secret(fresh), nil
	case len(c.Pepper) < minPepper:
		return "", fmt.Errorf("apikey: Pepper of %d bytes, want %d or more", len(c.Pepper), minPepper)
	}
	return c.Pepper, nil
}

// The journal has one more item, the mark. It tells a verifier with another pepper apart: such a verifier would find no
// stored value, and store keys that the others do not find. The mark is a version byte and the digest of a fixed text.
// HMAC is a pseudorandom function, so the digest of this text tells nothing about those of values.
//
// The mark goes into the journal with the first change. Of two verifiers that begin with an empty journal and different
// peppers, one is first. The other has to read the mark before it can append, and fails.
//
// A journal without a mark was written by a program that knew none. It is accepted, and the next change marks it. If
// that was made under the wrong pepper, a change that removes the mark lets the right one in again.
const (
	markName    = "pepper" // other names have 8 bytes, or are ids of 10
	markVersion = 1
	markText    = "the pepper of this journal" // no value: these have no blanks
)

// errPepper says that the mark of the journal was made under another pepper.
var errPepper = fmt.Errorf("%w: Config.Pepper is not the pepper of the journal", ErrNotConfigured)

// mark returns the item that marks the journal.
func (v *Verifier) mark() journal.Item {
	d := v.digest(markText)
	return journal.Item{Name: markName, Value: append([]byte{markVersion}, d[:]...)}
}

// readMark checks the mark, and notes whether the journal has it.
func (v *Verifier) readMark(it journal.Item) error {
	if v.marked = false; it.Gone {
		return nil
	}
	var found digest
	switch {
	case len(it.Value) > 0 && it.Value[0] > markVersion:
		return newer(it.Value[0], markVersion)
	case len(it.Value) != 1+len(found) || it.Value[0] != markVersion:
		return errDamaged
	}
	copy(found[:], it.Value[1:])
	if own := v.digest(markText); !own.equal(&found) {
		return errPepper
	}
	v.marked = true
	return nil
}

// withMark returns the items of a change, and the mark if the journal needs one. If the change has no room for it, the
// result is the mark alone, and full is true: the change has to be made after it.
func (v *Verifier) withMark(items []journal.Item) (marked []journal.Item, full bool) {
	switch {
	case v.marked || v.journal == nil || len(items) == 0:
		return items, false
	case len(items) == maxKeys: // a change has no more
		return []journal.Item{v.mark()}, true
	}
	return append(items, v.mark()), false
}
