// Package enginetest is the contract of [ledger.Engine] as a test suite, for engines of this module and of others:
//
//	func TestEngine(t *testing.T) {
//		enginetest.Test(t, func(t *testing.T) ledger.Engine { return myengine.Open(freshDatabase(t)) })
//	}
//
// [Test] executes the contract over an engine that is open once. Three more suites are for engines that can do more:
// [TestReopen] if rows outlive the process, [TestShared] if several processes open one store at once, and [TestCuts] if
// there is a connection that can break.
//
// The suite decides nothing that the contract leaves open. An engine may lock rows or compare and swap them; it may
// call f in any order; it may yield keys in any order. [ledger.NewMemory] is the place to begin with an engine of one's
// own.
//
// Run the suite under the race detector too. A case that hangs ends the test binary after a minute.
//
// # When a case fails
//
// Each subtest is a function of this package: late_copies is testLateCopies. Its comment quotes the sentences of the
// contract that the case holds, after the word Contract. After the word Finds it names the mistakes that make the case
// fail. Most of these mistakes are engines in the files fault_*_test.go, which show what the code of such an engine
// looks like. Start with the first case that fails, because later ones use what earlier ones check.
//
// Some messages can come from every case, as the suite watches each Update:
//
//   - "f was not called for key": Update returned nil, but left a key out.
//   - "two goroutines call f at once", "f is called after Update has returned": one goroutine at a time calls f, and
//     none after the end.
//   - "f is called again after it has returned an error": the error did not stop the Update.
//   - "f is called with an empty row": the engine passed an empty slice for a key without a row, in place of nil.
//   - "Update has changed the slice of keys": the slice is the caller's.
//
// Some faults only show if two calls overlap at a certain instant. Cases repeat their calls, so that this is likely. So
// a case that fails once in many runs has still found a fault of the engine.
//
// # What no case can see
//
// The suite cuts no power, so it cannot tell whether a row was synced. Nor can it damage a row inside the engine. So an
// engine whose errors have a method Row needs a test of its own that such an Update has changed nothing.
package enginetest
