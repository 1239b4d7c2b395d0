package clientip

import (
	"net/http"
	"strings"
)

// maxLine bounds what is read of a line of the header, from the right. What an honest chain writes is a hundred times shorter.
const maxLine = 8192

// A walk goes over the entries of a header from the right, the last line first.
type walk struct {
	lines     []string
	forwarded bool
	rest      string // what is left of the current line
	started   bool   // within a line
	cut       bool   // rest is not all of it
	bad       bool
}

func (r *Resolver) walk(req *http.Request) walk {
	return walk{lines: req.Header[r.header], forwarded: r.header == "Forwarded"}
}

// whole reports whether the walk ended for want of entries and not for one it could not read.
func (w *walk) whole() bool { return !w.bad }

// next returns the entry to the left of the last one. What is not an entry is returned as it stands, to be refused as an
// address.
func (w *walk) next() (entry string, ok bool) {
	if !w.started {
		if len(w.lines) == 0 {
			return "", false
		}
		last := len(w.lines) - 1
		w.rest, w.lines, w.started = w.lines[last], w.lines[:last], true
		if w.cut = len(w.rest) > maxLine; w.cut {
			w.rest = w.rest[len(w.rest)-maxLine:]
		}
	}
	comma, ok := w.lastComma()
	if !ok || w.cut && (comma < 0 || w.forwarded) { // where quotes begin is told from the left
		return w.fail()
	}
	entry = strings.Trim(w.rest[comma+1:], " \t")
	if w.started = comma >= 0; w.started {
		w.rest = w.rest[:comma]
	}
	if w.forwarded {
		if entry, ok = forwardedFor(entry); !ok {
			return w.fail()
		}
	}
	return entry, true
}

func (w *walk) fail() (string, bool) {
	w.bad = true
	return "", false
}

// lastComma is the index of the last comma that separates entries, or -1. In Forwarded a comma may stand within quotes, so
// that line is read from the left; one with an open quote cannot be read.
func (w *walk) lastComma() (index int, ok bool) {
	if !w.forwarded {
		return strings.LastIndexByte(w.rest, ','), true
	}
	index = -1
	quoted := false
	for i := 0; i < len(w.rest); i++ {
		switch c := w.rest[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			index = i
		}
	}
	return index, !quoted
}

// forwardedFor returns the node of an element's "for" parameter, RFC 7239 section 4. It is false if there is none, or two,
// or the element is malformed. Escapes within quotes are refused: no address needs one.
func forwardedFor(element string) (node string, ok bool) {
	for element != "" {
		name, rest, found := strings.Cut(element, "=")
		if !found || !token(name) {
			return "", false
		}
		var value string
		if quoted, is := strings.CutPrefix(rest, `"`); is {
			value, rest, found = strings.Cut(quoted, `"`)
			if !found || strings.Contains(value, `\`) {
				return "", false
			}
		} else {
			end := strings.IndexByte(rest, ';')
			if end < 0 {
				end = len(rest)
			}
			if value, rest = rest[:end], rest[end:]; !token(value) {
				return "", false
			}
		}
		if strings.EqualFold(name, "for") {
			if ok {
				return "", false
			}
			node, ok = value, true
		}
		if element, found = strings.CutPrefix(rest, ";"); rest != "" && (!found || element == "") {
			return "", false
		}
	}
	return node, ok
}

// token reports whether s is one, RFC 9110 section 5.6.2.
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}
