package clientip

import (
	"net/http"
	"strings"
)

// maxText bounds what is read of a header, from the right, over all of its lines. What proxies write is normally a
// hundred times shorter. No byte is looked at more than a few times.
const maxText = 8192

// A walk goes over the elements of a header from the right, the last line first.
type walk struct {
	lines     []string // the lines that next has not come to
	forwarded bool     // the header is Forwarded
	rest      string   // what is left of the current line
	within    bool     // there is a current line
	cut       bool     // rest is the end of a line of which the beginning is not read
	left      int      // the number of bytes that may still be read
	seen      bool     // there was an element, or there is no header
	bad       bool     // something could not be read, which ends the walk
}

func (r *Resolver) walk(req *http.Request) walk {
	lines := req.Header[r.header]
	return walk{lines: lines, forwarded: r.header == "Forwarded", left: maxText, seen: len(lines) == 0}
}

// whole reports whether the walk ended because there are no more elements, and not because it could not read something.
// A header without any element does not come from a proxy: the lists have at least one (RFC 7239 section 4).
func (w *walk) whole() bool { return w.seen && !w.bad }

// next returns the element to the left of the last one. Empty elements are skipped (RFC 9110 section 5.6.1.2).
func (w *walk) next() (element string, ok bool) {
	for w.within || w.begin() {
		comma := w.lastComma()
		if w.cut && comma < 0 {
			w.bad = true
			break
		}
		element = strings.Trim(w.rest[comma+1:], " \t")
		if w.within = comma >= 0; w.within {
			w.rest = w.rest[:comma]
		}
		if element != "" {
			w.seen = true
			return element, true
		}
	}
	w.within = false
	return "", false
}

// begin makes the line to the left the current one, and reports whether there is one that can be read. The comma
// between two lines (RFC 9110 section 5.3) counts as one byte.
func (w *walk) begin() bool {
	if w.bad || len(w.lines) == 0 {
		return false
	}
	last := len(w.lines) - 1
	w.rest, w.lines = w.lines[last], w.lines[:last]
	if w.cut = len(w.rest) >= w.left; w.cut {
		w.rest = w.rest[len(w.rest)-w.left:]
	}
	w.left -= len(w.rest) + 1
	w.bad = w.forwarded && (w.cut || !delimited(w.rest)) // where quotes begin is told from the left
	w.within = !w.bad
	return w.within
}

// lastComma is the index of the last comma that separates elements, or -1. In Forwarded a comma may stand within
// quotes. The line is delimited, so a quote that is reached from the right within a quoted-string either is escaped,
// and follows a backslash, or opens the string, and follows an equals sign.
func (w *walk) lastComma() int {
	if !w.forwarded {
		return strings.LastIndexByte(w.rest, ',')
	}
	quoted := false
	for i := len(w.rest) - 1; i >= 0; i-- {
		switch c := w.rest[i]; {
		case c == '"' && !quoted:
			quoted = true
		case c == '"' && w.rest[i-1] == '=':
			quoted = false
		case c == ',' && !quoted:
			return i
		}
	}
	return -1
}
