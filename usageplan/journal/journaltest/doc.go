// Package journaltest is the contract of [journal.Journal] as a test suite, for stores of this module and of others:
//
//	func TestJournal(t *testing.T) {
//		journaltest.Run(t, func(t *testing.T, retain time.Duration) journal.Journal {
//			return mystore.Open(freshDatabase(t)).Journal("topic", retain)
//		})
//	}
//
// [Run] executes the contract over a journal that is open. [RunReopen] adds what holds for a journal that outlives its
// process. [RunFollow] has several nodes follow the journal of a server, and cuts one off. [Lossy] is a network between
// a program and its store that loses requests and answers. It is for tests of programs that use a journal.
//
// The suite decides nothing that the contract leaves open. A store may yield a snapshot wherever it likes to, in one
// part or in many. It may leave out superseded items or keep them. It may drop old records at once or a few at each
// Append, but within 300 appends all those of a case.
//
// The comment of each case says what it finds. Each case stands for a subtest: testHistory is history.
//
// Run the suite under the race detector too. A case that hangs ends the test binary after a minute.
//
// # How a case judges
//
// Each case keeps a model of what it has appended. It reads from each position as a reader who has the model's state of
// that position, and must arrive at the model's state of the revision at which the journal ends. On the way each change
// is compared with what was appended. Everything that a case passes to the journal, and everything that it gets, it
// overwrites afterwards. So a journal that keeps or gives away its own memory fails in many cases; ownership is the
// simplest.
//
// The files fault_*_test.go have faulty journals and the case that finds each of them.
//
// # What no case can see
//
// The suite cuts no power, so it cannot tell whether a change was synced before Append returned. Nor can it damage what
// is stored, or make a store lose an answer that it sends again by itself.
//
// # Errors
//
// The package has no errors to match. Faults of the journal are failures of the test.
package journaltest
