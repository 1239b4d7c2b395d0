// Package ledger counts what each account uses of its quota: exactly, durably and fast.
//
// An account is one period (a day, a week, a month) of one subject under one plan. The contract, which the engines'
// test suite (package ledgertest) executes:
//
//   - An admitted request is counted exactly once, a refused one not at all.
//   - Admitted never exceeds the limit and its extensions, over any interleaving of requests, ledgers and restarts.
//   - What was acknowledged is never forgotten, as far as the engine is durable.
//
// The smallest use:
//
//	l, err := ledger.New(ledger.Config{Store: ledger.NewOldMemory()})
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
// In [Leased] mode, the default, a ledger reserves blocks of units in the store and spends them from memory. What is
// reserved is counted before it is spent, so the limit holds whatever happens to the process. A lease is for one day of
// one account; blocks grow with demand up to [Config].Block and shrink to a quarter of what remains near the limit. None
// reaches past the next threshold. When nothing is left to reserve, the last reserved units are still spent, and never
// one more. With several ledgers over one store, one may refuse while others still hold units. Close returns what has
// not been spent.
//
// In [Exact] mode every decision is an operation of the store, durable before its answer.
//
// # Bounds
//
// With B for [Config].Block (or the largest cost, if that is more), for each account in use:
//
//   - Admitted never exceeds limit and extensions, whatever crashes: units are counted before they can be spent.
//   - A lease holds at most 3 B unspent: up to 2 B by what settlements have given back into it, and a block whose answer
//     is under way.
//   - kill -9 over a [Noter]: nothing acknowledged is lost, nothing is wasted; what was counted without having been
//     acknowledged is at most the cost of the requests in flight.
//   - A crash without a Noter, or a power loss: what the lease held stays counted against the limit, and so does what was
//     spent since the last reservation. It is not counted as used, so never too much is billed.
//   - Several ledgers over one store: when one refuses, each other may hold a lease. Near the limit blocks shrink to a
//     quarter of what remains. A lower limit binds each ledger from the first call that is given it. A negative extension
//     and a correction bind the ledger that makes them at once, and every reservation after them. What the leases of other
//     ledgers held by then may still be spent: at most 3 B for each of them. For example: two ledgers with blocks of up to
//     1 000, of which one holds 700 units; the other takes the rest of the limit away by an extension of -5 000; up to 700
//     requests are still admitted.
//   - Thresholds: told by the request that crosses, where one ledger uses an account; with several, too early by what the
//     others hold, never too late. [Crossing] says how much of its Used is held.
//   - Exact mode: no such slack. What a store did without answering is cleared up by operation id: until that is done, at
//     most the requests of one batch are counted too many.
//   - A settlement that fails is kept and made good with the next operation that reaches the store: none is lost unless
//     the process ends before. They are added up by account and day, so an outage costs memory by accounts, not by
//     requests.
//
// # Time
//
// Periods start at midnight in the quota's location; days of 23 and 25 hours are days. The newest period and the newest
// day of each key are in the store. A clock that steps back reopens neither, also after a restart: requests count on the
// newest day until the clock has caught up, also where the quota got another period or location. So a usage day that has
// been exported does not change by later requests, and keeps its limit. A clock that jumps far ahead does lasting harm:
// keep it disciplined. A request belongs to the day and period in which it was admitted, and so does its settlement: a
// late one still changes what was used on the day of its request.
//
// # Failure
//
// While the store fails, Exact refuses at once; Leased goes on with what it has reserved, and then refuses. Both refuse
// with [ErrUnavailable]: a caller fails closed unless its own code decides otherwise.
//
// # Memory
//
// A ledger keeps about 600 bytes for each key it has seen since New. Keys come from verified callers; do not pass
// unverified input as a subject.
package ledger
