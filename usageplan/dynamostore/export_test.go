package dynamostore

import "testing"

// LeaveUnsettled makes writers leave their changes unsettled until the test ends.
func LeaveUnsettled(t *testing.T) {
	settlesOwn = false
	t.Cleanup(func() { settlesOwn = true })
}
