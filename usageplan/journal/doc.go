// Package journal is the seam between control state, such as API keys and usage plans, and the stores that keep it. A
// [Journal] is an append-only log of changes: packages apikey and usageplan append to it and follow it, and every store
// of control state implements it.
//
//	j := journal.Memory(0) // or (*boltstore.Store).Journal("keys", 0), which survives kill -9
//	keys, err := apikey.New(apikey.Config{Journal: j, Pepper: pepper})
//
// # What it proves
//
// A change is appended only if its writer has seen every change before it. So of two writers that decide at the same
// time, one is told that it is behind, reads on and decides again. A change is durable when Append has returned nil.
// Readers that have read up to the same revision have the same items.
//
// # Items and changes
//
// Control state is a set of items, each with a name and bytes, which the journal does not interpret. A [Change] puts or
// removes some of them, in one step, and says who made it, when, from where, by which operation and request.
//
// A journal keeps two things for different times. It keeps the bytes of an item until the item is changed again. It
// keeps the record of each change (revision, time, actor, source, operation, request and the names of its items) for
// the retention of the store, 400 days by default. So the journal is the audit log as well, see [Journal].History.
//
// # What it does not do
//
// It does not hide anything: what is put into an item is stored as it is. It does not order the changes of two
// journals. Who needs an order between them, appends to the one first.
//
// # Errors
//
//   - [ErrBehind]: an error of Append. Read on, decide again and repeat; [Topic.Change] does that.
//   - [ErrUnavailable]: an error of [Topic]. It is unknown whether the change was made. The next change, or
//     [Topic.Refresh], reads what the store has.
//   - [ErrTooLarge]: nothing was stored. Make the change in several.
//
// # Files
//
// journal.go has the contract, origin.go who makes a change, memory.go the store in memory, and topic.go the reader and
// writer that apikey and usageplan share. Package journaltest executes the contract.
package journal
