// Package enginetest is the contract of [ledger.Engine] as a test suite, for engines of this module and of others:
//
//	func TestEngine(t *testing.T) {
//		enginetest.Test(t, func(t *testing.T) ledger.Engine { return myengine.Open(freshDatabase(t)) })
//	}
//
// [Test] executes each sentence of the contract over an engine that is open once. Three more suites are for engines
// that can do more: [TestReopen] if rows outlive the process, [TestShared] if several processes open one store at once,
// and [TestCuts] if there is a connection that can break.
//
// The suite decides nothing that the contract leaves open. An engine may lock rows or compare and swap them; it may
// call f in any order; it may yield keys in any order. [ledger.NewMemory] is the place to begin with an engine of one's
// own.
//
// Run the suite under the race detector too. A case that hangs ends the test binary after a minute.
package enginetest
