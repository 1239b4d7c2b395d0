package auth

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// What a JSON text from the network may hold. A Cognito token has about 20 members, at most 100 groups, and no
// nesting but identities (two levels); the bounds leave room and keep the work linear.
const (
	maxDepth  = 8
	maxValues = 1536 // of all arrays and objects together, and what costs as much
	maxNumber = 32   // characters
	maxName   = 256  // bytes of one member name
	nameSlots = 512  // of the set of names: a power of two
	maxNames  = 256  // members of all objects of a text together: half of the slots

	// What costs more than a value that is passed over is charged as several.
	memberCost = 5  // a member of an object, besides its value: its name is remembered,
	nameBytes  = 8  // and each so many bytes of the name cost one more
	escapeCost = 3  // an escape in a string
	makeCost   = 8  // a string with escapes that is not passed over, besides: it must be made
	foldCost   = 6  // a member name of a header that may be another than its fold
	lookCost   = 10 // a name of a claim that may be a registered one in another letter case, which must be looked at
	runeCost   = 12 // a rune beyond ASCII in a member name, which must be folded
	keptCost   = 1  // an element of a list that is kept, besides
	parseCost  = 16 // a number with a large exponent, which must be parsed

	spareBytes  = 3 // bytes that claims have less than the longest: for each so many there may be one value more
	spacedBytes = 4 // bytes of scopes with blanks that must be made one space: each so many cost as much as one value
)

// Why a text is refused. The texts say no more than the rule: they reach logs only.
var (
	errJSON      = narrow(ErrMalformed, "not a JSON object, or a value of the wrong type")
	errUTF8      = narrow(ErrMalformed, "not valid UTF-8")
	errDuplicate = narrow(ErrMalformed, "member name occurs twice")
	errCase      = narrow(ErrMalformed, "registered name in the wrong case")
	errBounds    = narrow(ErrMalformed, "too many, too deep or too long")
	errRange     = narrow(ErrMalformed, "number out of range")
	errTrailing  = narrow(ErrMalformed, "data after the object")
)

// nameSeed makes the hashes of member names unpredictable, so that a chosen text cannot make two of them meet.
var nameSeed = maphash.MakeSeed()

// scanner reads one JSON object front to back, once, without building it. It is stricter than RFC 8259 where that
// leaves room: a name that occurs twice is refused in every object. Unless exact, so are two names that encoding/json
// would take for one, so that a later, laxer reader cannot see others than were checked.
//
// The first mistake sticks in err; every method then returns zeros.
type scanner struct {
	text    string
	at      int
	depth   int
	objects uint64 // so far, of all texts
	top     uint64 // the number of this text's outermost object
	members int    // of all objects of all texts
	values  int    // of all arrays and objects of this text
	err     error
	started bool              // the top object has yielded a member
	exact   bool              // names that differ in letter case are different names
	folds   bool              // the last name may be another than its fold
	folded  int               // bytes of fold
	fold    [maxName]byte     // of the last name, if folds
	used    int               // slots of names
	names   [nameSlots]uint64 // hashes of (object, name); zero is free
	kept    []string          // for the elements of a list
	joined  []byte            // for those of a list of scopes
}

// reset makes the scanner read another text, up to its first member. The set of names is kept while there is room,
// since clearing it costs as much as filling it: objects go on counting, so the names of an earlier text are not
// taken for those of this one.
func (s *scanner) reset(text string) {
	if s.begin(text); !utf8.ValidString(text) {
		s.fail(errUTF8)
	}
}

// begin is reset for a text whose UTF-8 is checked elsewhere.
func (s *scanner) begin(text string) {
	s.text, s.at, s.depth, s.members, s.values, s.err = text, 0, 0, 0, 0, nil
	s.started, s.exact = false, false
	if s.used > nameSlots/4 { // leaves the set at most three quarters full
		s.forget()
	}
	s.space()
	s.expect('{')
	s.objects++
	s.top = s.objects
}

// forget starts the bounds anew, also within a text for the next of a list of keys.
func (s *scanner) forget() {
	s.members, s.values, s.used = 0, 0, 0
	clear(s.names[:])
}

func (s *scanner) fail(err error) {
	if s.err == nil {
		s.err = err
	}
	s.at = len(s.text)
}

func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0 // never a token of JSON
}

func (s *scanner) expect(c byte) {
	if s.peek() != c {
		s.fail(errJSON)
		return
	}
	s.at++
}

// space moves over white space, of which most texts have none.
func (s *scanner) space() {
	if s.at < len(s.text) && s.text[s.at] <= ' ' {
		s.spaces()
	}
}

func (s *scanner) spaces() {
	const set = 1<<' ' | 1<<'\t' | 1<<'\n' | 1<<'\r'
	i := s.at
	for i < len(s.text) && s.text[i] <= ' ' && set>>s.text[i]&1 != 0 {
		i++
	}
	s.at = i
}

// next reads the next member's name of the top object and stops before its value, which the caller must consume. At
// the end of the text it reports false; then err tells whether all was well.
func (s *scanner) next() (name string, ok bool) {
	name, ok = s.member(s.top, !s.started)
	s.started = true
	if ok || s.err != nil {
		return name, ok
	}
	s.space()
	if s.at != len(s.text) {
		s.fail(errTrailing)
	}
	return "", false
}

// member reads a comma, unless first, and a name with its colon; or the closing brace, and reports false.
func (s *scanner) member(object uint64, first bool) (string, bool) {
	s.space()
	if s.peek() == '}' {
		s.at++
		return "", false
	}
	if !first {
		s.expect(',')
		s.space()
	}
	name := s.string()
	s.space()
	s.expect(':')
	s.space()
	s.members++
	s.charge(memberCost + len(name)/nameBytes)
	if s.members > maxNames || len(name) > maxName {
		s.fail(errBounds)
	}
	if s.err != nil {
		return "", false
	}
	s.remember(object, name)
	return name, s.err == nil
}

// remember refuses a name that the object already has, letter case aside unless exact. The set holds 64-bit hashes
// alone: that two of the names in it meet by chance has a probability below 2⁻⁴⁷.
func (s *scanner) remember(object uint64, name string) {
	h := object * 0x9e3779b97f4a7c15 // an odd constant keeps two objects' names apart
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

// folds reports whether a name may be another than its fold.
func folds(name string) bool {
	for i := range len(name) {
		if c := name[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}

// foldName writes the fold of a name of at most maxName bytes. It is never longer than the name, since foldRune returns
// the smallest rune. Eight bytes of ASCII are folded at a time: in x+(0x80-'A') and x+(0x7f-'Z') a byte's high bit is
// set if it is at least A, and beyond Z. A rune beyond ASCII costs as much as many values.
func (s *scanner) foldName(name string) []byte {
	b := s.fold[:0]
	for i := 0; i < len(name) && s.err == nil; {
		if i+8 <= len(name) {
			x := binary.LittleEndian.Uint64([]byte(name[i : i+8]))
			if x&highs == 0 {
				upper := (x + (0x80-'A')*ones) &^ (x + (0x7f-'Z')*ones) & highs
				b = binary.LittleEndian.AppendUint64(b, x|upper>>2)
				i += 8
				continue
			}
		}
		r, size := utf8.DecodeRuneInString(name[i:])
		if size > 1 {
			s.charge(runeCost)
		}
		b = utf8.AppendRune(b, foldRune(r))
		i += size
	}
	s.folded = len(b)
	return b
}

// misnamed reports whether the last name is one of the given but for its letter case.
func (s *scanner) misnamed(registered map[string]bool) bool {
	return s.folds && registered[string(s.fold[:s.folded])]
}

// foldRune returns one rune for all that Unicode's simple folding, by which encoding/json matches struct fields, takes
// for one: the smallest, except that letters come out in lower case.
func foldRune(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	if r < utf8.RuneSelf {
		return r // its orbit may go beyond, but no lower, letters aside
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

// string reads a string and resolves its escapes.
func (s *scanner) string() string {
	s.expect('"')
	start := s.at
	switch s.run() {
	case '"':
		s.at++
		return s.text[start : s.at-1]
	case '\\':
		return s.escaped(start)
	}
	s.fail(errJSON)
	return ""
}

// skipString reads a string as strictly, without making it.
func (s *scanner) skipString() {
	var unused [utf8.UTFMax]byte
	s.expect('"')
	for {
		switch s.run() {
		case '"':
			s.at++
			return
		case '\\':
			s.escape(unused[:0])
		default:
			s.fail(errJSON)
			return
		}
	}
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// run moves over what stands for itself in a string and returns what it stops at: a quote, a backslash, or a control
// character or the end (zero), which may not be there (RFC 8259 section 7). It looks at eight bytes at a time:
// b-0x20 borrows into the high bit if a byte is below, and x-1 if a byte of x is zero, as it is where the character
// looked for is. The lowest such bit is exact, whatever is borrowed above it.
func (s *scanner) run() byte {
	i := s.at
	for ; i+8 <= len(s.text); i += 8 {
		b := binary.LittleEndian.Uint64([]byte(s.text[i : i+8]))
		quote, slash := b^(ones*'"'), b^(ones*'\\')
		if stop := ((b-ones*' ')&^b | (quote-ones)&^quote | (slash-ones)&^slash) & highs; stop != 0 {
			s.at = i + bits.TrailingZeros64(stop)/8
			return s.text[s.at]
		}
	}
	for ; i < len(s.text); i++ {
		if c := s.text[i]; c == '"' || c == '\\' || c < ' ' {
			s.at = i
			return c
		}
	}
	s.at = i
	return 0
}

// escaped reads the rest of a string that began at start and holds its first backslash here.
func (s *scanner) escaped(start int) string {
	if s.charge(makeCost); s.err != nil {
		return ""
	}
	long := max(strings.IndexByte(s.text[s.at:], '"'), 0) // what comes is no longer, unless it holds a quote
	b := append(make([]byte, 0, s.at-start+long), s.text[start:s.at]...)
	for {
		from := s.at
		c := s.run()
		b = append(b, s.text[from:s.at]...)
		switch c {
		case '"':
			s.at++
			return unsafe.String(unsafe.SliceData(b), len(b)) // nobody else has these bytes
		case '\\':
			b = s.escape(b)
		default:
			s.fail(errJSON)
			return ""
		}
	}
}

const (
	escapes  = `"\/bfnrt`
	unescape = "\"\\/\b\f\n\r\t"
)

// escape resolves one escape. A surrogate without its pair is refused: it has no UTF-8.
func (s *scanner) escape(b []byte) []byte {
	s.at++ // the backslash
	s.charge(escapeCost)
	c := s.peek()
	s.at++
	if i := strings.IndexByte(escapes, c); i >= 0 {
		return append(b, unescape[i])
	}
	if c != 'u' {
		s.fail(errJSON)
		return nil
	}
	r := s.hex()
	if utf16.IsSurrogate(r) {
		if !strings.HasPrefix(s.text[min(s.at, len(s.text)):], `\u`) {
			s.fail(errUTF8)
			return nil
		}
		s.at += 2
		s.charge(escapeCost)
		if r = utf16.DecodeRune(r, s.hex()); r == unicode.ReplacementChar {
			s.fail(errUTF8)
			return nil
		}
	}
	return utf8.AppendRune(b, r)
}

// hex reads the four digits of a \u escape.
func (s *scanner) hex() (r rune) {
	if len(s.text)-s.at < 4 {
		s.fail(errJSON)
		return 0
	}
	for _, c := range []byte(s.text[s.at : s.at+4]) {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			s.fail(errJSON)
			return 0
		}
	}
	s.at += 4
	return r
}

// strings reads a string, or an array of strings, as aud may be either (RFC 7519 section 4.1.3).
func (s *scanner) strings() []string {
	if s.peek() == '"' {
		return []string{s.string()}
	}
	return s.list()
}

// list reads an array of strings.
func (s *scanner) list() []string {
	list, _ := s.elements(true)
	defer clear(list)
	return append([]string{}, list...) // a clone of none would be a part of s, and keep it alive
}

// elements reads an array of strings into s.kept. The caller must clear the list: the room is used again, and outlives
// the token. Where strict, another value than a string is a mistake; else it is passed over, and ok is false.
func (s *scanner) elements(strict bool) (list []string, ok bool) {
	s.expect('[')
	list, ok = s.kept[:0], true
	for first := true; s.element(first); first = false {
		if strict || s.peek() == '"' {
			s.charge(keptCost)
			list = append(list, s.string())
		} else {
			s.skip()
			ok = false
		}
	}
	s.kept = list[:0]
	return list, ok
}

// element reads a comma, unless first, and stops before an array's next value; or the closing bracket, and reports
// false.
func (s *scanner) element(first bool) bool {
	s.space()
	if s.peek() == ']' {
		s.at++
		return false
	}
	if !first {
		s.expect(',')
		s.space()
	}
	s.charge(1)
	return s.err == nil
}

// charge counts n values against the bound of the text.
func (s *scanner) charge(n int) {
	if s.values += n; s.values > maxValues {
		s.fail(errBounds)
	}
}

// skip reads any value and forgets it.
func (s *scanner) skip() {
	s.charge(1)
	switch c := s.peek(); {
	case c == '"':
		s.skipString()
	case c == '-' || '0' <= c && c <= '9':
		s.number()
	case c == '{':
		s.skipObject()
	case c == '[':
		s.skipArray()
	default:
		s.literal()
	}
}

func (s *scanner) skipObject() {
	if !s.down() {
		return
	}
	s.objects++
	object := s.objects
	for first := true; ; first = false {
		if _, ok := s.member(object, first); !ok {
			break
		}
		s.skip()
	}
	s.depth--
}

func (s *scanner) skipArray() {
	if !s.down() {
		return
	}
	for first := true; s.element(first); first = false {
		s.skip()
	}
	s.depth--
}

// down enters an object or array.
func (s *scanner) down() bool {
	s.at++
	if s.depth++; s.depth >= maxDepth {
		s.fail(errBounds)
	}
	return s.err == nil
}

func (s *scanner) literal() {
	word := "null"
	switch s.peek() {
	case 't':
		word = "true"
	case 'f':
		word = "false"
	}
	if !strings.HasPrefix(s.text[s.at:], word) {
		s.fail(errJSON)
		return
	}
	s.at += len(word)
}

// number reads a number of JSON's grammar that a float64 can hold, and returns it as written.
func (s *scanner) number() string {
	start := s.at
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else {
		s.digits()
	}
	if s.peek() == '.' {
		s.at++
		s.digits()
	}
	large := false
	if c := s.peek(); c == 'e' || c == 'E' {
		large = s.exponent()
	}
	if s.err != nil {
		return ""
	}
	text := s.text[start:s.at]
	if len(text) > maxNumber || large && !s.finite(text) {
		s.fail(errRange)
	}
	return text
}

// exponent reads an exponent and reports whether the number may be too large for a float64, which reaches 10³⁰⁸: it has
// three digits or more and is not negative. With fewer digits, the 32 characters of a number do not reach so far.
func (s *scanner) exponent() (large bool) {
	s.at++
	c := s.peek()
	if c == '+' || c == '-' {
		s.at++
	}
	start := s.at
	s.digits()
	return s.at-start > 2 && c != '-'
}

func (s *scanner) digits() {
	i := s.at
	for i < len(s.text) && s.text[i]-'0' <= 9 {
		i++
	}
	if i == s.at {
		s.fail(errJSON)
		return
	}
	s.at = i
}

// finite parses a number, which costs as much as many values.
func (s *scanner) finite(number string) bool {
	s.charge(parseCost)
	_, err := strconv.ParseFloat(number, 64) // fails on what rounds to an infinity
	return err == nil
}
