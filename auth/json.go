package auth

import (
	"strings"
	"unicode/utf8"
)

// Bounds on a JSON text from the network. A Cognito token has about 20 members, at most 100 groups, and two levels of
// nesting (identities). The bounds leave room for larger tokens. Package auth documents them under "Bounds".
const (
	maxDepth  = 8    // levels of objects and arrays, the outermost object included
	maxValues = 1536 // the budget of a text, in values
	maxNumber = 32   // characters
	maxName   = 256  // bytes of one member name
	nameSlots = 512  // of the set of names: a power of two, so that a remainder is a bit mask
	maxNames  = 256  // members of all objects of a text together: half of the slots, so that probing is short
)

// Anyone can send a token, and its claims are read before its signature is checked. A hostile token must not cost more
// than about twice a usual one, so the time to read a text is bounded, not only its length. Every step is charged to a
// budget. Its unit is the time to skip one short value; a step that takes longer is charged as several values. Example:
// the member "a":"b" costs 6, which is 5 for its name and 1 for its value. BenchmarkWorst in _bench looks for a text
// whose steps are charged too little.
const (
	memberCost = 5  // a member of an object, in addition to its value: its name is remembered
	nameBytes  = 8  // this many bytes of a member name cost one value
	escapeCost = 3  // an escape in a string
	makeCost   = 8  // a string with escapes that is returned: it must be allocated
	foldCost   = 6  // a member name that must be folded
	lookCost   = 10 // a claim name that may be a decisive one in another letter case
	runeCost   = 12 // a character outside ASCII in such a name
	keptCost   = 1  // an element of a list that is returned, in addition to its value
	parseCost  = 16 // a number with a large exponent, which must be parsed

	spareBytes  = 3 // claims get one more value for each 3 bytes by which they are shorter than the longest
	spacedBytes = 4 // 4 bytes of a scope text in which blanks must be collapsed cost one value
)

// Why a text is refused. They name only the rule and not what the text says, because anyone may have written it. They
// reach logs, not clients.
var (
	errJSON      = narrow(ErrMalformed, "not a JSON object, or a value of the wrong type")
	errUTF8      = narrow(ErrMalformed, "not valid UTF-8")
	errDuplicate = narrow(ErrMalformed, "member name occurs twice")
	errCase      = narrow(ErrMalformed, "registered name in the wrong case")
	errBounds    = narrow(ErrMalformed, "too many members or values, too deep or too long")
	errRange     = narrow(ErrMalformed, "number out of range")
	errTrailing  = narrow(ErrMalformed, "data after the object")
)

// scanner reads one JSON object from front to back, once, without building a tree. For the claims of a usual token it
// takes 1.5 µs. encoding/json takes 11 µs to fill a map, in which a name that occurs twice goes unseen, and 20 µs to
// return the tokens one by one, by which it could be found.
//
// The caller asks for the members of the object one after the other, and must read or skip the value of each:
//
//	s.reset(text)
//	for name, ok := s.next(); ok; name, ok = s.next() {
//		switch name {
//		case "kid":
//			kid = s.string()
//		default:
//			s.skip()
//		}
//	}
//	return kid, s.err
//
// The first mistake is kept in err. It also moves the scanner to the end of the text, so that every later method
// returns an empty value and every loop ends. Therefore err need only be checked once, after the loop.
//
// It is stricter than RFC 8259: it refuses a name that occurs twice in an object. Unless exact is set, it also refuses
// two names that encoding/json would store in the same field. Otherwise another reader of the same text, such as the
// handler behind the verifier, could see a value that was not checked.
//
// A scanner is used again for further texts. It is not safe for concurrent use.
type scanner struct {
	text    string
	at      int   // the offset in text of the next byte to read
	depth   int   // objects and arrays around at, without the outermost object
	err     error // the first mistake in this text
	started bool  // next has returned a member of this text
	exact   bool  // names that differ in letter case are different

	members int // of all objects of this text
	values  int // charged to the budget so far; below zero if the text has a larger budget than maxValues

	// The set of names is shared by all objects, so that a text with many objects does not need many sets. An object is
	// told apart by its number.
	objects uint64            // the number of the last object, counted over all texts
	top     uint64            // the number of the outermost object of this text
	names   [nameSlots]uint64 // hashes of (object, name); zero is a free slot
	used    int               // slots that are not free

	folds  bool          // the last name had to be folded; see folds in jsonname.go
	fold   [maxName]byte // its fold
	folded int           // the length of its fold

	kept   []string // buffer for the elements of a list
	joined []byte   // buffer for a list of scopes
}

// reset starts another text and reads up to its first member. The budget is full again, and exact is off.
//
// The set of names of earlier texts stays while there is room, because to clear it takes as long as to fill it. It does
// no harm: the object numbers continue, so the names in it belong to other objects than those of this text.
func (s *scanner) reset(text string) {
	if s.begin(text); !utf8.ValidString(text) {
		s.fail(errUTF8)
	}
}

// begin is reset without the check that the text is UTF-8, which the caller must make before or after.
func (s *scanner) begin(text string) {
	s.text, s.at, s.depth, s.members, s.values, s.err = text, 0, 0, 0, 0, nil
	s.started, s.exact = false, false
	if s.used > nameSlots/4 { // below that, maxNames more fill the set to three quarters at most
		s.forget()
	}
	s.space()
	s.expect('{')
	s.objects++
	s.top = s.objects
}

// forget clears the set of names, and what has been charged.
func (s *scanner) forget() {
	s.members, s.values, s.used = 0, 0, 0
	clear(s.names[:])
}

// fail records the first mistake and moves to the end of the text, where every method stops.
func (s *scanner) fail(err error) {
	if s.err == nil {
		s.err = err
	}
	s.at = len(s.text)
}

// peek returns the next byte, or zero at the end of the text or after a mistake.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0 // no JSON token begins with it
}

// expect reads the byte c. Any other byte is a mistake.
func (s *scanner) expect(c byte) {
	if s.peek() != c {
		s.fail(errJSON)
		return
	}
	s.at++
}

// space skips white space. Most texts have none, so the check is small enough to be inlined.
func (s *scanner) space() {
	if s.at < len(s.text) && s.text[s.at] <= ' ' {
		s.spaces()
	}
}

// spaces skips the four characters that are white space in JSON (RFC 8259 section 2). Each is a bit of set.
func (s *scanner) spaces() {
	const set uint64 = 1<<' ' | 1<<'\t' | 1<<'\n' | 1<<'\r'
	i := s.at
	for i < len(s.text) && s.text[i] <= ' ' && set>>s.text[i]&1 != 0 {
		i++
	}
	s.at = i
}

// next reads the name of the next member of the top object and stops before its value, which the caller must consume.
// It reports false at the end of the text or after a mistake, which is then in err.
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

// member reads the name of the next member of an object: a comma, unless first, then the name and the colon. It stops
// before the value. At the closing brace it reports false, and after a mistake too.
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

// strings reads a string or an array of strings: aud may be either (RFC 7519 section 4.1.3).
func (s *scanner) strings() []string {
	if s.peek() == '"' {
		return []string{s.string()}
	}
	return s.list()
}

// list reads an array of strings. An empty one is not nil, so that it can be told from a missing one.
func (s *scanner) list() []string {
	list, _ := s.elements(true)
	defer clear(list)
	return append([]string{}, list...) // slices.Clone of an empty list would keep s in memory
}

// elements reads an array of strings into s.kept, so that a list whose length is not known yet is allocated only once,
// by the caller's copy. The caller must copy the list, because the buffer is used again. It must also clear the list,
// because the strings are parts of the text, and the buffer would keep the text in memory.
//
// If strict is set, an element that is not a string is a mistake. Otherwise it is skipped and ok is false.
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

// element moves to the next value of an array, over a comma unless first. At the closing bracket it reports false, and
// after a mistake too.
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

// charge takes n values from the budget of the text. More than there are is a mistake.
func (s *scanner) charge(n int) {
	if s.values += n; s.values > maxValues {
		s.fail(errBounds)
	}
}

// skip reads a value of any type and discards it. It checks the value as strictly as if it were used.
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

// skipObject and skipArray call skip for each value in them. down bounds that recursion.
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

// down reads the opening bracket of an object or array, and reports false if that is too deep. After true, the
// caller must lower depth again at the closing bracket.
func (s *scanner) down() bool {
	s.at++
	if s.depth++; s.depth >= maxDepth {
		s.fail(errBounds)
	}
	return s.err == nil
}

// literal reads true, false or null.
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
