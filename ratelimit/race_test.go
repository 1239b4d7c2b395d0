//go:build race

package ratelimit

// lighter divides the light counts further: the race detector makes each step some ten times slower.
const lighter = 10
