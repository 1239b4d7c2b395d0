package ledger

import (
	"iter"
	"math/bits"
)

// percents is a set of percentages, 1 to 127, one bit each: percentage p is bit p%64 of word p/64. It is a value, so
// rows and answers carry it without an allocation, and two sets are compared with ==.
type percents [2]uint64

// has reports whether p is in the set.
func (s percents) has(p int) bool { return p > 0 && p < 128 && s[p>>6]&(1<<(p&63)) != 0 }

// with returns the set with p, which must be 1 to 127, else the set itself.
func (s percents) with(p int) percents {
	if p > 0 && p < 128 {
		s[p>>6] |= 1 << (p & 63)
	}
	return s
}

// without returns the members of s that are not in t.
func (s percents) without(t percents) percents { return percents{s[0] &^ t[0], s[1] &^ t[1]} }

// union returns the members of either.
func (s percents) union(t percents) percents { return percents{s[0] | t[0], s[1] | t[1]} }

// all yields the members in ascending order.
func (s percents) all() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, w := range s {
			for ; w != 0; w &= w - 1 {
				if !yield(i<<6 + bits.TrailingZeros64(w)) {
					return
				}
			}
		}
	}
}
