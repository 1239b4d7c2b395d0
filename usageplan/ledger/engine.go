package ledger

import (
	"context"
	"iter"
	"time"
)

// Engine keeps one row of bytes for each key. It knows nothing of quotas: the ledger decides, and the engine makes the
// decision durable. Package enginetest executes this contract.
//
// A key has 1 to 1 200 bytes of any value. A row has 1 to 65 536 bytes. One Update has up to 10 000 keys. All methods
// are safe for concurrent use. Under a context that has ended, Update and Load change nothing and return an error.
//
// An engine may also be an [Owner], a [Clock] or a [Durable].
type Engine interface {
	// Update calls f for each key with the key's row, or with nil if there is none. It makes durable what f returns.
	// Nil leaves the row as it was. A slice that is empty but not nil deletes the row. Each row is written in one step,
	// and only if nobody has changed it since f saw it; otherwise f is called again for that key with the present row.
	// So an engine may first call f with a row that it remembers, which saves a round trip where nobody else uses the
	// key. If the row has changed since, it calls f again, even if f has returned nil.
	//
	// The keys are distinct. The engine neither changes nor keeps the slice. With no keys, Update returns nil.
	//
	// One goroutine at a time calls f, for the keys in any order. The row is valid only during the call, and f does not
	// change it. What f returns belongs to the engine. f is quick and does not use the engine, so the engine may hold a
	// lock meanwhile. An error of f stops the whole Update, which returns that error, or wraps it, and calls f no more.
	//
	// When Update returns nil, each key has the row that the last call of f for it returned, durably. Rows of different
	// keys are not atomic together: after an error, each row is as it was before or as f returned it, and the caller
	// does not know which. An engine that has lost the answer to a write returns an error. It never calls f again with
	// a row that this Update may have written itself.
	//
	// An engine that finds the row of one key unreadable may return an error with a method Row() string, which returns
	// that key. Such an error promises that this Update has changed nothing. The ledger then repeats it without the
	// key.
	Update(ctx context.Context, keys []string, f func(i int, row []byte) ([]byte, error)) error

	// Load returns a copy of the key's row, or nil if there is none or with an error. It sees every Update that has
	// returned.
	Load(ctx context.Context, key string) ([]byte, error)

	// Keys yields each key that begins with the prefix and existed throughout the iteration, once, in any order. Keys
	// that come or go meanwhile it may yield or not. The caller may use the engine while it iterates: Keys holds no
	// lock during a yield. An error ends the sequence, with an empty key.
	Keys(ctx context.Context, prefix string) iter.Seq2[string, error]

	// Close ends the engine. Afterwards Update, Load and Keys return errors. Every further Close, also a concurrent
	// one, returns nil.
	Close() error
}

// Owner is an [Engine] whose rows no other process can change while it is open.
type Owner interface {
	// Owner returns a number that stands for this opening of the store. Earlier openings had other numbers. The ledger
	// puts it into the IDs of its leases: a lease with another number belongs to a process that is gone, and the ledger
	// ends it when the key is next used.
	Owner() uint32
}

// Clock is an [Engine] with a clock of its own, which all ledgers over the store share.
type Clock interface {
	// Now returns the time of the store. The ledger refuses to begin a period that is in the future by this clock. So
	// one machine whose clock is far ahead cannot end the running period for all others. If Now returns an error, no
	// new account begins, with [ErrUnavailable]. Accounts that have begun go on.
	Now(ctx context.Context) (time.Time, error)
}

// Durable is an [Engine] that can tell how durable its writes are: those of a server depend on the server's settings.
type Durable interface {
	// Durable returns nil if a write that Update has confirmed survives a crash and a power failure of the store, and a
	// failover to any copy of it that receives its writes now. Otherwise the error says which setting is too weak, or
	// why the settings could not be read. [New] asks once, for [Config].Exact only, which promises that each decision
	// is durable before its answer. A leased ledger does not ask. An engine that is not a Durable is taken at its word.
	//
	// Durable changes nothing and may be called at any time. Under a context that has ended, and after Close, it
	// returns an error. Settings and copies that change later are not noticed. The context of New ends after
	// [Config].Timeout.
	Durable(ctx context.Context) error
}

// Slots keeps, outside the engine, what was spent of open leases. A lease with a slot wastes nothing when the process
// is killed. Package slots keeps them in local files. All methods are safe for concurrent use.
type Slots interface {
	// Claim returns the leases that earlier lives have left open in these slots. The ledger ends them in the engine and
	// then calls Clear. Until then their slots stay, so that a crash in between loses nothing.
	Claim() ([]OpenLease, error)

	// Clear frees the slots of the leases that Claim has returned.
	Clear() error

	// Open makes a slot for a lease before the lease is reserved. Of its argument, Spent and Known are not used.
	Open(OpenLease) (Slot, error)
}

// Slot keeps one number for one lease. Its methods are not called concurrently.
type Slot interface {
	// Note replaces the number. When it returns, the process may be killed, and the next Claim returns this number.
	Note(spent int64) error

	// Free gives the slot back after the lease has ended.
	Free()
}

// OpenLease is a lease that its ledger has not ended.
type OpenLease struct {
	Account Account

	// Day is the first second of the lease's usage day, Unix time. ID is the lease's.
	Day int64
	ID  uint64

	// Spent is what the slot has noted. Known says that it is exact. If it is not, the machine has restarted since, and
	// Spent is only a lower bound: the ledger then leaves the rest of the lease counted against the limit of its
	// period, but not as used.
	Spent int64
	Known bool
}
