// Package ledger counts what each account uses of its quota: exactly, durably and fast.
//
// An account is one period (a day, a week, a month) of one subject under one plan. The contract:
//
//   - An admitted request is counted exactly once, a refused one not at all.
//   - Admitted never exceeds the limit and its extensions, over any interleaving of requests, ledgers and restarts.
//   - What was acknowledged is never forgotten, as far as the engine is durable.
//
// The smallest use:
//
//	l, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
//	charge, err := l.Take(ctx, ledger.Key{Plan: "basic", Subject: customer}, ledger.Quota{Limit: 1000, Period: ledger.Monthly}, 1)
//	switch {
//	case errors.Is(err, ledger.ErrExhausted):
//		… 429 …
//	case err != nil:
//		… 503, and serve nothing …
//	}
//	… serve …
//	err = charge.Settle(ctx, actual) // optional: 0 gives it back; without it the cost stays counted
//
// # Modes
//
// By default, a ledger reserves blocks of units in the engine and spends them from memory: a lease. What is reserved is
// counted before it is spent, so the limit holds whatever happens to the process. A lease is for one day of one
// account; blocks grow with demand up to [Config].Block. Near the limit they shrink to a quarter of what remains,
// shared among the ledgers that hold a lease. None reaches past the next threshold. When nothing is left to reserve,
// the last reserved units are still spent, and never one more. With several ledgers over one engine, one may refuse
// while others still hold units. A lease from which nothing is spent for a minute is given back with one of the next
// commits, of whatever key; Close returns what has not been spent.
//
// With [Config].Exact every decision is an operation of the engine, durable before its answer.
//
// In both modes a key that is exhausted is refused from memory until something can have changed: at once where this
// ledger changes it, within [Config].Stale where another does.
//
// # Engines
//
// An [Engine] keeps rows of bytes and knows nothing of quotas. It is [NewMemory], a file (package boltstore), or any
// that passes package enginetest. [Config].Slots keeps, in local files (package slots), what is spent of open leases.
//
// Kept are, for each key, the totals of each day and period, and the last 256 adjustments of a period with who, when
// and why, for [Config].Keep. There is no line for each charge: an application that wants one writes it to its own log.
//
// # Formats
//
// Rows have versions. A ledger reads all that it knows and writes the one of [Config].Format. To change to another
// while several ledgers run over one engine, first replace them all by releases that read it, then set it. A row of a
// version that the ledger does not know, or a damaged one, makes calls for its key fail with [ErrUnavailable], and no
// others.
//
// # Bounds
//
// With B for [Config].Block (or the largest cost, if that is more), for each account in use:
//
//   - Admitted never exceeds limit and extensions, whatever crashes: units are counted before they can be spent.
//   - A lease holds at most 3 B unspent: up to 2 B by what settlements have given back into it, and a block whose
//     answer is under way.
//   - kill -9 with Slots: nothing acknowledged is lost, nothing is wasted; what was counted without having been
//     acknowledged is at most the cost of the requests in flight.
//   - A crash without Slots, or a power loss: what the lease held stays counted against the limit, and so does what was
//     spent since the last reservation. It is not counted as used, so never too much is billed.
//   - Several ledgers over one engine: when one refuses, each other may hold a lease. Near the limit blocks shrink to a
//     quarter of what remains, divided by the number of leases. A refusal from memory is at most [Config].Stale old. A
//     lower limit binds each ledger from the first call that is given it. A negative extension and a correction bind
//     the ledger that makes them at once, and every reservation after them. What the leases of other ledgers held by
//     then may still be spent: at most 3 B for each of them. For example: two ledgers with blocks of up to 1 000, of
//     which one holds 700 units; the other takes the rest of the limit away by an extension of -5 000; up to 700
//     requests are still admitted.
//   - An account knows 256 open leases, those of crashed processes included. Beyond, it forgets the one that has
//     reported nothing for the longest time: its units stay counted, and if its process still runs, they are counted
//     once more. So at most 256 ledgers should use one account at the same time.
//   - Thresholds: told by the request that crosses, where one ledger uses an account; with several, too early by what
//     the others hold, never too late. [Crossing] says how much of its Used is held.
//   - Exact mode: no such slack. What an engine did without answering is cleared up by repeating the batch, which every
//     row recognises: until that is done, at most the requests of one batch are counted too many.
//   - A settlement that fails is kept and made good with the next operation that reaches the engine: none is lost
//     unless the process ends before. They are added up by account and day, so an outage costs memory by accounts, not
//     by requests.
//   - An engine that has lost confirmed writes (a restored backup, a failover): [Config].OnLoss is told. What this
//     ledger had admitted from a lease that the engine does not know any more is counted again. What was reported
//     before, what exact ledgers had counted, and what was admitted by ledgers that have ended is lost with the data.
//
// # Time
//
// Periods start at midnight in the quota's location; days of 23 and 25 hours are days. The newest period and the newest
// day of each key are in the engine. A clock that steps back reopens neither, also after a restart: requests count on
// the newest day until the clock has caught up, also where the quota got another period or location. So a usage day
// that has been exported does not change by later requests, and keeps its limit. A clock that jumps far ahead does
// lasting harm: keep it disciplined. An engine with a clock of its own ([Clock]) refuses to begin a period that is in
// the future by it. A request belongs to the day and period in which it was admitted, and so does its settlement: a
// late one still changes what was used on the day of its request.
//
// # Failure
//
// While the engine fails, an exact ledger refuses at once; a leased one goes on with what it has reserved, and then
// refuses. Both refuse with [ErrUnavailable]: a caller fails closed unless its own code decides otherwise.
//
// # Memory
//
// A ledger keeps about 700 bytes for each key it has seen since New. Keys come from verified callers; do not pass
// unverified input as a subject.
package ledger
