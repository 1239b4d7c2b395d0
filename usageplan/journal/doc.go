// Package journal is the seam between control state, such as API keys and usage plans, and the stores that keep it. A
// [Journal] is an append-only log of changes: packages apikey and usageplan append to it and follow it, and every store
// of control state implements it.
//
//	j := journal.Memory(0) // or (*boltstore.Store).Journal("keys", 0), which survives kill -9
//	keys, err := apikey.New(apikey.Config{Journal: j, Pepper: pepper}) // with several nodes also Follow and MaxStale
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
// journals. Programs that need an order between them append to one first.
//
// # Several nodes
//
// [Topic.Keep] has a goroutine follow the journal. If the store answers, it applies what another node has appended
// within a second. The goroutine waits in [Journal.Wait], and it also looks four times a second, because notifications
// get lost. A store that fails is asked about once a second.
//
// Keep also bounds the age of the state. For example, a topic asks the store at 10:00:00, and has read everything at
// 10:00:02. At 10:00:05 its state is 5 seconds old: a change of 10:00:01 may be missing in it. The owner of the state
// calls [Topic.Fresh] before each decision, and [Topic.Renew] if that is false. So a process that was frozen reads on
// before it decides, although none of its goroutines has run meanwhile. AWS Lambda freezes processes between requests.
//
// # A store that loses changes
//
// A store may lose changes that it had confirmed: a backup is restored, a replica that lags behind takes over, or
// somebody empties the server. Each package of a store says when that can happen. Nodes that have read the lost changes
// notice it as long as the head is lower than the revision that they have read. Meanwhile [Topic.Refresh] and the
// follower fail, and with a MaxStale the node refuses once its state is too old. It goes on when it is started again,
// or when the head has reached the revision that it has read.
//
// In the second case the loss is no longer noticed. For example, a node has read change 7, which disabled a key. The
// store loses changes 6 and 7. Another node is started, and makes two other changes, which get the numbers 6 and 7. The
// first node then believes that it has the state of revision 7, but the store has another. So after a loss, restart
// every node, and look into the history for what has to be done again.
//
// # Copies
//
// [Copy] carries a journal to another store, with its history: from a file to a database that machines share, and back.
//
// # Stores
//
// A server that keeps journals needs a [Store]: it appends a change, and reads the next page of changes, items or a
// history. [New] makes the journal of it. Packages redisstore, pgstore and dynamostore are examples.
//
// # Watching it
//
// [Observe] wraps a journal and tells each use of it: how long the store took, conflicts of writers, failures, and how
// far behind a reader was. Raise an alarm when it tells errors other than [ErrBehind], or when Age in the Stats of
// apikey or usageplan grows although the node follows.
//
// # Errors
//
//   - [ErrBehind]: an error of Append. Read on, decide again and repeat; [Topic.Change] does that.
//   - [ErrUnavailable]: an error of [Topic] and [Follow]. It is unknown whether the change was made. The next change,
//     or [Topic.Refresh], reads what the store has. From [Topic.Renew] it means that the state is too old.
//   - [ErrTooLarge]: nothing was stored. Make the change in several.
//   - [ErrDiffers]: an error of [Copy]. The target has other data, or somebody has changed a journal meanwhile.
//
// # Files
//
// journal.go has the contract, error.go the causes of errors, origin.go who makes a change, and memory.go the store in
// memory. observe.go tells each use of a journal. topic.go has the reader and writer that apikey and usageplan share,
// current.go bounds the age of its state, and follower.go has its goroutine. copy.go copies a journal to another store,
// and past.go reads the whole history for that. store.go makes a journal over a server, and codec.go encodes changes.
// Package journaltest has the contract as tests.
package journal
