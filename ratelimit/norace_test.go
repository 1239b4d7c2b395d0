//go:build !race

package ratelimit

const lighter = 1
