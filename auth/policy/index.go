package policy

import (
	"math/bits"
	"slices"
	"strings"
)

// index finds the patterns whose literal beginning is that of a resource, in one pass over the resource. It is a tree
// in which the path to a node spells a beginning:
//
//	"…/Prod/"   pattern …/Prod/*
//	  "GET/"    pattern …/Prod/GET/*
//	    "pets"  pattern …/Prod/GET/pets
//	  "POST/"   …
//
// The resource …/Prod/GET/pets/1 is looked up like this:
//
//	label "…/Prod/" is next in the resource    …/Prod/* is asked, and matches
//	the next byte is G: the child is "GET/"     …/Prod/GET/* is asked, and matches
//	the next byte is p: the child is "pets"     …/Prod/GET/pets is asked, and does not match: /1 is left over
//	the next byte is /: there is no child       done; no pattern below "POST/" was looked at
//
// So a document with a hundred statements costs little more than one with two. Only the beginning of a pattern is in
// the tree. Whether the pattern matches is still for resource.matches to say.
type index struct {
	label  string    // what the path to this node adds to that of its parent
	here   []indexed // the patterns whose literal beginning ends here
	next   []index   // each label begins with another byte
	begins string    // those bytes, in the order of next; a string, as strings.IndexByte is fast
}

// indexed is a pattern of a statement.
type indexed struct {
	statement int
	resource  *resource
}

// newIndex returns the index of patterns, which it sorts. Their first depth bytes must be equal and are not part of the
// label.
func newIndex(patterns []indexed, depth int) index {
	slices.SortStableFunc(patterns, func(a, b indexed) int { return strings.Compare(a.resource.prefix, b.resource.prefix) })
	var x index
	if len(patterns) == 0 {
		return x
	}
	first, last := patterns[0].resource.prefix, patterns[len(patterns)-1].resource.prefix
	end := depth
	for end < len(first) && end < len(last) && first[end] == last[end] {
		end++ // in a sorted list, what the first and the last share is shared by all
	}
	x.label = first[depth:end]
	for len(patterns) > 0 && len(patterns[0].resource.prefix) == end {
		x.here, patterns = append(x.here, patterns[0]), patterns[1:]
	}
	for len(patterns) > 0 {
		c := patterns[0].resource.prefix[end]
		n := 1
		for n < len(patterns) && patterns[n].resource.prefix[end] == c {
			n++
		}
		x.begins += string([]byte{c})
		x.next = append(x.next, newIndex(patterns[:n], end))
		patterns = patterns[n:]
	}
	return x
}

// has reports whether x has any pattern.
func (x *index) has() bool { return len(x.here)+len(x.next) > 0 }

// find adds the statements to found that have a pattern which matches the resource of a request from an offset on.
func (x *index) find(e *evaluation, from int, found *statements) {
	s := e.resource.s
	for strings.HasPrefix(s[from:], x.label) {
		from += len(x.label)
		for _, p := range x.here {
			// One pattern is enough for a statement, so the others that it has are not matched.
			if !found.has(p.statement) && p.resource.matches(e, from) {
				found.add(p.statement)
			}
		}
		if from == len(s) {
			return
		}
		child := strings.IndexByte(x.begins, s[from])
		if child < 0 {
			return
		}
		x = &x.next[child]
	}
}

// statements is a set of statements of one document. A document of 10 240 bytes has 222 at most, since the shortest
// statement, {"Effect":"Deny","Action":"*","Resource":"*"} and a comma, takes 46.
type statements [maxStatements / 64]uint64

// maxStatements bounds what a program may pass to New. It is a multiple of 64, the bits of a word of statements.
const maxStatements = 256

func (s *statements) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }
func (s *statements) add(i int)      { s[i/64] |= 1 << (i % 64) }

// next returns the first statement of s from i on, or -1. So the statements come in the order of the document.
func (s *statements) next(i int) int {
	for word := i / 64; word < len(s); word++ {
		if rest := s[word] >> (i % 64); rest != 0 {
			return i + bits.TrailingZeros64(rest)
		}
		i = (word + 1) * 64
	}
	return -1
}
