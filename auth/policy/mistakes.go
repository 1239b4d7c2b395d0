package policy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// mistakes collects what is wrong with a document, so that an author sees everything at once.
type mistakes struct {
	errs  []error  // at most mostMistakes
	paths []string // the path of each of errs
	more  int      // mistakes that are only counted
}

// mostMistakes is how many mistakes are told. A document of 10 240 bytes can have thousands.
const mostMistakes = 100

// add adds a mistake at a path such as "Statement[0].Effect".
func (m *mistakes) add(path, format string, args ...any) {
	if len(m.errs) == mostMistakes {
		m.more++
		return
	}
	m.paths = append(m.paths, path)
	m.errs = append(m.errs, fmt.Errorf("policy: %w: %s: %s", ErrInvalid, path, fmt.Sprintf(format, args...)))
}

// addFault adds what is wrong with a text at a path, unless nothing is. An element of a list that was no text has a
// mistake already; an empty text stands in its place.
func (m *mistakes) addFault(path, text, fault string) {
	if fault != "" && !m.at(path) {
		m.add(path, "%q %s", text, fault)
	}
}

// has reports whether there is a mistake at a path or below it. What depends on it is not worth another mistake.
func (m *mistakes) has(path string) bool {
	for _, p := range m.paths {
		if rest, ok := strings.CutPrefix(p, path); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// at reports whether there is a mistake at a path itself.
func (m *mistakes) at(path string) bool {
	return slices.Contains(m.paths, path)
}

// join returns the mistakes as one error, or nil if there is none. They are in the order in which they were found:
// those of the JSON, of the application's keys, of the document, and of each statement.
func (m *mistakes) join() error {
	if m.more > 0 {
		return errors.Join(append(m.errs, fmt.Errorf("policy: %w: %d more mistakes", ErrInvalid, m.more))...)
	}
	return errors.Join(m.errs...)
}

// member returns the path of the member of an object. A name that could be taken for something else is quoted, and a
// long one is cut, since it stands in the path of each mistake below it. Two paths may be equal by the cut. Then only
// one mistake may be reported for both, and the document is refused all the same.
func member(path, name string) string {
	const most = 100
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "…"
	}
	if !consistsOf(name, alphanumeric+".:/-_") {
		name = strconv.Quote(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// element returns the path of the i-th element of a list.
func element(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
