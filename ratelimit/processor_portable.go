//go:build !gc || portable

package ratelimit

import "math/rand/v2"

// processor picks any stripe, where there is no asking which processor runs the caller (and with -tags portable, to test
// that): they share less than one word, but more than with a stripe for each.
func processor() int { return int(rand.Uint32() >> 1) }
