//go:build gc && !portable

package ratelimit

import _ "unsafe" // for go:linkname

// processor is the number of the processor, in the scheduler's sense, that runs the caller. The caller may be moved to
// another before he uses it, which costs time and nothing else.
func processor() int {
	id := procPin()
	procUnpin()
	return id
}

// These two are among the runtime's functions that packages may link to, as sync.Pool does.

//go:linkname procPin runtime.procPin
func procPin() int

//go:linkname procUnpin runtime.procUnpin
func procUnpin()
