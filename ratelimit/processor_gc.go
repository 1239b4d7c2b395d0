//go:build gc && !portable

package ratelimit

import _ "unsafe" // for go:linkname

// processor is the number of the processor, in the scheduler's sense, that runs the caller. The scheduler may move the
// caller to another one before the number is used. That costs time and is still correct: any stripe serves any caller.
func processor() int {
	id := procPin()
	procUnpin()
	return id
}

// The runtime calls these two internal. Its source keeps their signatures because packages outside of the standard library
// link to them (https://go.dev/issue/67401), but Go's compatibility promise does not cover them. Where a release takes them
// away, the build fails at link time, and the tag portable builds without them.

//go:linkname procPin runtime.procPin
func procPin() int

//go:linkname procUnpin runtime.procUnpin
func procUnpin()
