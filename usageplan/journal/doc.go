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
// Readers that have read up to the same revision have the same items. A reader that is not given every change notices:
// revisions have no gaps.
//
// # Items and changes
//
// Control state is a set of items, each with a name and bytes, which the journal does not interpret. A [Change] puts or
// removes some of them, in one step, and says who made it, when, from where, by which operation and request. [Topic]
// takes who, where and which request from the context; see [NewContext] and [FromContext].
//
// A journal keeps two things for different times. It keeps the bytes of an item until the item is changed again. It
// keeps the record of each change (revision, time, origin, operation and the names of its items) for the retention of
// the store, 400 days by default. So the journal is the audit log as well; see [Journal].
//
// # Unknown outcomes
//
// A store can make a change and lose the answer. The writer cannot tell this from a change that was not made. [Topic]
// then returns [ErrUnavailable], and its state stays as it was. Before it decides the next change, it reads what the
// store has. So a change is applied once or never, and never in part. A caller who repeats a change after
// ErrUnavailable decides from a state that shows whether it is there.
//
// # What it does not do
//
// It does not hide anything: what is put into an item is stored as it is. It does not order the changes of two
// journals. Programs that need an order between them append to one first. It does not watch for changes: a program that
// shares a store with others calls [Topic.Refresh], for example after each return of Wait.
//
// # Errors
//
//   - [ErrBehind]: an error of Append. Read on, decide again and repeat; [Topic.Change] does that.
//   - [ErrUnavailable]: an error of [Topic] and [Follow]. It is unknown whether the change was made. The next change,
//     or [Topic.Refresh], reads what the store has.
//   - [ErrTooLarge]: nothing was stored. Make the change in several.
//
// # Files
//
// journal.go has the contract, error.go the causes of errors, origin.go who makes a change, memory.go the store in
// memory, and topic.go the reader and writer that apikey and usageplan share. Package journaltest has the contract as
// tests.
package journal
