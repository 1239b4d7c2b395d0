package policy

import (
	"slices"
	"strings"
)

// A token is a part of a pattern: an asterisk, a question mark, a policy variable with its braces, or a character.
type token = string

// tokens splits a pattern. Variables are those of version 2012-10-17.
func tokens(pattern string, variables bool) (list []token) {
	for pattern != "" {
		n := charLen(pattern)
		if variables && strings.HasPrefix(pattern, "${") {
			end := strings.IndexByte(pattern, '}')
			if start := strings.Index(pattern, ", '"); 0 <= start && start < end {
				end = start + strings.Index(pattern[start:], "'}") + 1 // the text of a default may have a brace
			}
			n = max(n, end+1)
		}
		list = append(list, pattern[:n])
		pattern = pattern[n:]
	}
	return list
}

// covers reports whether wide matches everything that narrow matches. It may report false where that is so, but never
// true where it is not: a token of narrow is covered by the same token, an asterisk covers any number of tokens, and a
// question mark covers one character or question mark.
//
// It goes through the tokens of narrow once, with a bit for each place in wide: bit i of reached says whether the first
// i tokens of wide cover the tokens of narrow that came before. If an asterisk follows at place i, it may have covered
// some of them already. For example, whether a* covers ab:
//
//	at the beginning    0       nothing of wide covers nothing
//	after a             1, 2    a covers a, and so does a*, since the asterisk may cover nothing
//	after ab            1, 2    the asterisk at place 1 covers b and may cover more, or end here
//
// Bit 2, for the whole of wide, is set at the end, so a* covers ab. The time is len(narrow) × len(wide) / 64 steps.
func covers(wide, narrow []token) bool {
	// Neighbouring asterisks are one, which step relies on.
	wide = slices.CompactFunc(slices.Clone(wide), func(a, b token) bool { return a == "*" && b == "*" })
	stars := places(wide, func(w token) bool { return w == "*" })
	fits := map[token][]uint64{}
	reached := make([]uint64, len(stars))
	reached[0] = 1
	step(reached, stars, reached)
	for _, n := range narrow {
		fit, known := fits[n]
		if !known {
			one := n != "*" && !strings.HasPrefix(n, "${") // narrow has exactly one character here
			fit = places(wide, func(w token) bool { return w == n || w == "?" && one })
			fits[n] = fit
		}
		stay := make([]uint64, len(stars)) // an asterisk covers n, and may cover more
		for i := range stay {
			stay[i] = reached[i] & stars[i]
		}
		step(reached, fit, stay) // another token covers n
		step(stay, stars, stay)  // an asterisk may end, or cover nothing
		reached = stay
	}
	return reached[len(wide)/64]>>(len(wide)%64)&1 == 1
}

// places returns a bit for each token of a pattern that is among those that are asked for. There is room for one more
// bit: a pattern of n tokens has n+1 places, one before each token and one at the end.
func places(pattern []token, among func(token) bool) []uint64 {
	bits := make([]uint64, len(pattern)/64+1)
	for i, t := range pattern {
		if among(t) {
			bits[i/64] |= 1 << (i % 64)
		}
	}
	return bits
}

// step adds to next the places after those that are both in from and in allowed. No two asterisks are neighbours, so if
// next is from, one pass is enough.
func step(from, allowed, next []uint64) {
	carry := uint64(0)
	for i := range from {
		moved := from[i] & allowed[i]
		next[i] |= moved<<1 | carry
		carry = moved >> 63 // the bit that goes over into the next word
	}
}

// coversAction is covers for patterns of actions.
func coversAction(wide, narrow string) bool {
	if !strings.ContainsAny(wide, "*?") {
		return strings.EqualFold(wide, narrow) // actions have no letters but those of ASCII
	}
	return coversText(lower(wide), lower(narrow), false)
}

// coversText is covers for patterns as they are written. Nearly all pairs of a document differ in the literal
// characters at an end of the wide one, which only the same characters cover. They are told apart before anything is
// allocated: a document may have a thousand patterns, and so a million pairs.
func coversText(wide, narrow string, variables bool) bool {
	first, last := strings.IndexAny(wide, "*?$"), strings.LastIndexAny(wide, "*?}")
	if first < 0 {
		return wide == narrow
	}
	return strings.HasPrefix(narrow, wide[:first]) && strings.HasSuffix(narrow, wide[last+1:]) &&
		covers(tokens(wide, variables), tokens(narrow, variables))
}

// coversResource is covers for patterns of resources, part by part, since a wildcard that allows stays within its part.
// A pattern that begins at the stage has no parts, and is compared with others of that form only.
func coversResource(wide, narrow string, variables bool) bool {
	short := strings.HasPrefix(wide, shortService)
	switch {
	case wide == "*" || narrow == "*":
		return wide == "*"
	case short != strings.HasPrefix(narrow, shortService):
		return false
	case short:
		return coversText(wide, narrow, variables)
	}
	// A pattern with fewer parts ends in an asterisk, which stands for the parts that are not written as well.
	w, n := strings.SplitN(wide, ":", partsOfARN), strings.SplitN(narrow, ":", partsOfARN)
	if len(w) > len(n) {
		return false
	}
	for i := range w {
		if w[i] != n[i] && !coversText(w[i], n[i], variables) {
			return false
		}
	}
	return true
}

// coversAll reports whether each of narrow is covered by one of wide.
func coversAll(wide, narrow []string, by func(wide, narrow string) bool) bool {
	return !slices.ContainsFunc(narrow, func(n string) bool {
		return !slices.ContainsFunc(wide, func(w string) bool { return by(w, n) })
	})
}
