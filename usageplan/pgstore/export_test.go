package pgstore

import (
	"testing"
	"time"
)

// SetReadBytes sets how much of a journal one request reads, until the test ends.
func SetReadBytes(t testing.TB, n int) {
	before := readBytes
	readBytes = n
	t.Cleanup(func() { readBytes = before })
}

// Weak is what Durable returns of a server that has these settings and is durable otherwise.
func Weak(commit, standbys string) error {
	return settings{fsync: "on", fullPages: "on", commit: commit, standbys: standbys}.weak()
}

// SetPollMissed sets how long Wait trusts notifications, until restore is called.
func SetPollMissed(d time.Duration) (restore func()) {
	before := pollMissed
	pollMissed = d
	return func() { pollMissed = before }
}
