package auth

import (
	"hash/maphash"
	"unicode"
	"unicode/utf8"
)

// nameSeed makes the hashes of member names unpredictable, so that nobody can choose names that collide.
var nameSeed = maphash.MakeSeed()

// remember refuses a name that the object already has. Unless exact is set, letter case does not count. The set holds
// only 64-bit hashes: 384 names collide by chance with a probability below 2⁻⁴⁷.
func (s *scanner) remember(object uint64, name string) {
	h := object * 0x9e3779b97f4a7c15 // odd, so the same name in two objects has two hashes
	if s.folds = !s.exact && folds(name); s.folds {
		s.charge(foldCost)
		h += maphash.Bytes(nameSeed, s.foldName(name))
	} else {
		h += maphash.String(nameSeed, name)
	}
	if h == 0 {
		h = 1
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

// folds reports whether a name may differ from its fold: it has a capital letter or a character outside ASCII.
func folds(name string) bool {
	for i := range len(name) {
		if c := name[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}

// foldName returns the fold of a name of at most maxName bytes, in s.fold. The fold is never longer than the name,
// since foldRune returns the smallest rune.
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

// misnamed reports whether the last name differs from a registered one only in letter case.
func (s *scanner) misnamed(registered map[string]bool) bool {
	return s.folds && registered[string(s.fold[:s.folded])]
}

// foldRune returns the same rune for all runes that Unicode's simple folding treats as equal. encoding/json matches
// struct fields by that folding. The result is the smallest of those runes, but ASCII letters are in lower case: 'K',
// 'k' and the Kelvin sign all become 'k'.
func foldRune(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	if r < utf8.RuneSelf {
		return r // its other forms are outside ASCII, so they are larger
	}
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if 'A' <= least && least <= 'Z' {
		return least + 'a' - 'A'
	}
	return least
}
