package enginetest

import (
	"testing"
	"time"
)

// SetPatience makes the suite give up a case earlier, until the test ends.
func SetPatience(t testing.TB, d time.Duration) {
	old := patience
	patience = d
	t.Cleanup(func() { patience = old })
}

// SetRecovery makes the suite give up an engine earlier that was cut, until the test ends.
func SetRecovery(t testing.TB, d time.Duration) {
	old := recovery
	recovery = d
	t.Cleanup(func() { recovery = old })
}

// Cases are the names of all cases.
func Cases() (names []string) {
	for _, c := range cases {
		names = append(names, c.name)
	}
	for _, c := range reopenCases {
		names = append(names, c.name)
	}
	for _, c := range sharedCases {
		names = append(names, c.name)
	}
	return append(names, "cuts")
}
