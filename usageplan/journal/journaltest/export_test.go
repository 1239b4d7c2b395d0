package journaltest

import (
	"testing"
	"time"
)

// SetPatience makes the suite give up a case earlier, until the test ends. It waits for a Wait for half a second.
func SetPatience(t testing.TB, d time.Duration) {
	casesBefore, wakesBefore := patience, wakes
	patience, wakes = d, time.Second/2
	t.Cleanup(func() { patience, wakes = casesBefore, wakesBefore })
}

// Cases are the names of all cases.
func Cases() (names []string) {
	for _, c := range cases {
		names = append(names, c.name)
	}
	for _, c := range reopenCases {
		names = append(names, c.name)
	}
	return names
}
