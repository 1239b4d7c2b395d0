// Package ledgertest is the contract of [ledger.Store] as a test suite, for engines of this module and of others:
//
//	func TestStore(t *testing.T) {
//		ledgertest.Test(t, func(t *testing.T) ledger.Store { return mystore.Open(freshDatabase(t)) })
//	}
//
// [ledger.OldMemory] is a hundred lines and the place to begin with an engine of one's own. [TestReopen] is for engines
// that outlive the process. An engine that decides in Go shares [ledger.History]; one that decides in its database is
// compared with [ledger.OldMemory], operation by operation.
package ledgertest
