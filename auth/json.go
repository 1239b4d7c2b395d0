package auth

import (
	"strings"
	"unicode/utf8"
)

// Bounds on a JSON text from the network. A Cognito token has about 20 members, at most 100 groups, and two levels of
// nesting (identities). The bounds leave room for larger tokens, and the work grows only linearly with the length.
const (
	maxDepth  = 8
	maxValues = 1536 // the budget of all arrays and objects of a text together, in values
	maxNumber = 32   // characters
	maxName   = 256  // bytes of one member name
	nameSlots = 512  // of the set of names: a power of two
	maxNames  = 256  // members of all objects of a text together: half of the slots

	// The unit of the budget is the time to skip one value. What takes longer is charged as several values.
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

// Why a text is refused. The texts name the rule only. They reach logs, not clients.
var (
	errJSON      = narrow(ErrMalformed, "not a JSON object, or a value of the wrong type")
	errUTF8      = narrow(ErrMalformed, "not valid UTF-8")
	errDuplicate = narrow(ErrMalformed, "member name occurs twice")
	errCase      = narrow(ErrMalformed, "registered name in the wrong case")
	errBounds    = narrow(ErrMalformed, "too many members or values, too deep or too long")
	errRange     = narrow(ErrMalformed, "number out of range")
	errTrailing  = narrow(ErrMalformed, "data after the object")
)

// scanner reads one JSON object from front to back, once, without building a tree. It is stricter than RFC 8259: it
// refuses a name that occurs twice in an object. Unless exact is set, it also refuses two names that encoding/json
// would store in the same field. Otherwise a more lenient reader of the same text could see a value that was not
// checked.
//
// The first mistake is kept in err. After that, every method returns zero values.
type scanner struct {
	text    string
	at      int
	depth   int
	objects uint64 // number of objects so far, in all texts
	top     uint64 // the number of the outermost object of this text
	members int    // of all objects of this text
	values  int    // what has been charged to the budget
	err     error
	started bool              // next has returned a member
	exact   bool              // names that differ in letter case are different
	folds   bool              // the last name was folded, into fold
	folded  int               // length of fold
	fold    [maxName]byte     // the folded last name, if folds
	used    int               // slots of names that are in use
	names   [nameSlots]uint64 // hashes of (object, name); zero is free
	kept    []string          // buffer for the elements of a list
	joined  []byte            // buffer for a list of scopes
}

// reset starts another text and reads up to its first member. It keeps the set of names while there is room, because
// clearing the set costs as much as filling it. The object numbers continue, so the names of an earlier text are not
// confused with those of this one.
func (s *scanner) reset(text string) {
	if s.begin(text); !utf8.ValidString(text) {
		s.fail(errUTF8)
	}
}

// begin is reset without the check of the UTF-8, which the caller must do.
func (s *scanner) begin(text string) {
	s.text, s.at, s.depth, s.members, s.values, s.err = text, 0, 0, 0, 0, nil
	s.started, s.exact = false, false
	if s.used > nameSlots/4 { // with maxNames more, the set is at most three quarters full
		s.forget()
	}
	s.space()
	s.expect('{')
	s.objects++
	s.top = s.objects
}

// forget resets the bounds and the set of names.
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

func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0 // no JSON token begins with it
}

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

// member reads the name of an object's next member: a comma, unless first, the name and the colon. At the closing brace
// it reports false.
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

// list reads an array of strings.
func (s *scanner) list() []string {
	list, _ := s.elements(true)
	defer clear(list)
	return append([]string{}, list...) // slices.Clone of an empty list would keep s in memory
}

// elements reads an array of strings into s.kept. The caller must copy the list and clear it: the buffer is used again
// and outlives the token. If strict is set, a value that is not a string is a mistake. Otherwise it is skipped and ok
// is false.
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

// element moves to an array's next value, over a comma unless first. At the closing bracket it reports false.
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

// charge takes n values from the budget of the text.
func (s *scanner) charge(n int) {
	if s.values += n; s.values > maxValues {
		s.fail(errBounds)
	}
}

// skip checks any value and discards it.
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

// down enters an object or array and reports whether it is not too deep.
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
