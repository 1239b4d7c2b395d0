package auth

import (
	"hash/maphash"
	"unicode"
	"unicode/utf8"
)

// nameSeed makes the hashes of member names unpredictable. Otherwise a token could have names whose hashes are the
// same, and would be refused as if a name occurred twice, or names that all begin at one slot, which would take long to
// probe.
var nameSeed = maphash.MakeSeed()

// remember adds a name to the set, and refuses one that the object already has. Unless exact is set, letter case does
// not count.
//
// The set holds only 64-bit hashes and not the names, so two different names could be taken for one by chance. At most
// 384 names are in the set, which are 384·383/2 < 2¹⁷ pairs. Each pair has the same hash with a probability of 2⁻⁶⁴, so
// a text is refused in error with a probability below 2⁻⁴⁷. A name that does occur twice is always found.
//
// The set is open-addressed: a name whose slot is taken goes into the next free one. It is never more than three
// quarters full, so the loop ends.
func (s *scanner) remember(object uint64, name string) {
	h := object * 0x9e3779b97f4a7c15 // an odd factor, so different objects add different numbers to the hash of a name
	if s.folds = !s.exact && folds(name); s.folds {
		s.charge(foldCost)
		h += maphash.Bytes(nameSeed, s.foldName(name))
	} else {
		h += maphash.String(nameSeed, name)
	}
	if h == 0 {
		h = 1 // zero is a free slot
	}
	for i := h % nameSlots; ; i = (i + 1) % nameSlots {
		switch s.names[i] {
		case 0:
			s.names[i] = h
			s.used++
			return
		case h:
			s.fail(errDuplicate)
			return
		}
	}
}

// folds reports whether a name may differ from its fold: it has a capital letter or a character outside ASCII. Most
// names have neither, so their fold need not be computed.
func folds(name string) bool {
	for i := range len(name) {
		if c := name[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}

// foldName returns the fold of a name: the same text for all names that encoding/json would store in one field.
// Example: the fold of "Kid" is "kid".
//
// The fold is in s.fold until the next name. It fits, since a name has at most maxName bytes, and foldRune returns the
// smallest rune, which never has more bytes than the rune itself. To fold a rune outside ASCII is slow, so it is
// charged; the loop stops when the budget is used up.
func (s *scanner) foldName(name string) []byte {
	b := s.fold[:0]
	for _, r := range name {
		if r >= utf8.RuneSelf {
			s.charge(runeCost)
		}
		if s.err != nil {
			break
		}
		b = utf8.AppendRune(b, foldRune(r))
	}
	s.folded = len(b)
	return b
}

// misnamed reports whether the last name that was read differs from a registered one only in letter case. The
// registered names must be their own folds. A name that is registered exactly has no fold and is not misnamed.
func (s *scanner) misnamed(registered map[string]bool) bool {
	return s.folds && registered[string(s.fold[:s.folded])]
}

// unregistered skips the value of the member whose name next has just returned and which has no meaning here. It
// refuses the member if its name differs from one with a meaning only in letter case, because another reader may
// confuse the two.
func (s *scanner) unregistered(registered map[string]bool) {
	if s.misnamed(registered) {
		s.fail(errCase)
	}
	s.skip()
}

// foldRune returns the same rune for all runes that Unicode's simple folding treats as equal. encoding/json matches
// struct fields by that folding. The result is the smallest of those runes, but ASCII letters are in lower case: 'K',
// 'k' and the Kelvin sign all become 'k'.
func foldRune(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	if r < utf8.RuneSelf {
		return r // a small letter, digit or sign: its other forms are capital letters, or outside ASCII and larger
	}
	least := r // SimpleFold goes from each form of a letter to the next, and from the last one back to the first
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if 'A' <= least && least <= 'Z' {
		return least + 'a' - 'A'
	}
	return least
}
