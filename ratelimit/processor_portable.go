//go:build !gc || portable

package ratelimit

import "math/rand/v2"

// processor picks a stripe at random, where the runtime cannot be asked which processor runs the caller. The tag portable
// picks this file too. Callers then meet at a stripe more often than if each processor had its own, and less often than if
// all shared one word.
func processor() int { return int(rand.Uint32() >> 1) }
