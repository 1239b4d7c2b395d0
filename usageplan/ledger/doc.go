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
//	key, quota := ledger.Key{Plan: "basic", Subject: customer}, ledger.Quota{Limit: 1000, Period: ledger.Monthly}
//	charge, err := l.Take(ctx, key, quota, 1)
//	switch {
//	case errors.Is(err, ledger.ErrExhausted):
//		… 429 …
//	case err != nil:
//		… 503, and serve nothing …
//	}
//	… serve …
//	err = charge.Settle(ctx, actual) // optional: 0 gives it back; without it the cost stays counted
//
// # Charges that grow
//
// Where a request goes on, as an answer that streams does, its charge can grow: [Charge.More] takes more units as they
// are used. At the limit it takes none and returns [ErrExhausted], so the stream can be cut there. [Ledger.TakeUpTo]
// takes what is left, up to what the request may need. Settle comes once, at the end, and replaces all that was taken.
//
//	charge, err := l.TakeUpTo(ctx, key, quota, 1, 4096)
//	for part := range answer {
//		if need := used + part.Units - charge.Units(); need > 0 && charge.More(ctx, need) != nil {
//			break // cut
//		}
//		used += part.Units
//		… send the part …
//	}
//	err = charge.Settle(ctx, used)
//
// Each unit is counted once, whatever happens between: the engine is asked first, and what it has granted to a charge
// that was settled meanwhile is given back. Growth counts on the day of its Take. While a lease of that day and account
// is open, it is spent from the lease, as a take is. Otherwise each More is an operation of the engine. So in exact mode,
// take some hundred units at a time, and Settle gives back what is left. When a step is refused, take what the next part
// needs.
//
// A request that dies leaves its charge as it is, with what it had taken. [Config].SettleWithin makes that visible: a
// charge that is older can neither grow nor be settled, and Observe is told of it.
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
// An [Engine] keeps rows of bytes and knows nothing of quotas. It is [NewMemory]; a file (package boltstore); a server
// that several processes share (packages redisstore, pgstore and dynamostore); or any that passes package enginetest.
// [Config].Slots keeps, in local files (package slots), what is spent of open leases.
//
// Kept are, for each key, the totals of each day and period, and the last 256 adjustments of a period with who, when
// and why, for [Config].Keep. There is no line for each charge: an application that wants one writes it to its own log.
//
// [Copy] carries the rows of one engine to another: from a file to a database that machines share, and back.
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
//     spent since the last reservation. It is not counted as used, so no more is billed than was taken. But what
//     settlements have given back into the lease since then is forgotten too, and stays used. Blocks adapt, so a crash
//     usually wastes far less than 3 B. In tests, eight ledgers used up limits of 1 000 units while they were killed
//     one after the other. Each kill wasted 9 to 17 units of each account.
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
//     unless the process ends before, or the key's row cannot be read. They are added up by account and day, so an
//     outage costs memory by accounts, not by requests.
//   - An engine that has lost confirmed writes: see Loss of data.
//
// # Loss of data
//
// An engine may lose writes that it had confirmed: a backup is restored, a replica that lags behind takes over, or
// somebody empties the server. With each operation on a key, a ledger checks that the key's row still has what the
// ledger knew of it: the last of its own batches, the newest version that it has seen, and its lease. If not, it calls
// [Config].OnLoss.
//
// So a ledger notices the loss of its own writes, and of writes of others that it has seen, with its next operation on
// the key. A request that spends from a lease is no operation on the key. It writes nothing, so nothing of it can be
// lost except the lease. For example, a lease has 64 units, and 10 are spent. If the engine loses only what came after
// the reservation of the 64, nothing is missing, and OnLoss is not called. No ledger notices:
//
//   - the loss of what a ledger wrote that has ended since, unless another ledger has seen it;
//   - the loss of a write of a ledger whose session the row has dropped, if others have written the row as often again:
//     a row remembers the last 16 ledgers that wrote it;
//   - the loss of an extension or a correction, if others have written the row as often again.
//
// After a loss, more may be admitted than the limit of an account:
//
//   - Never by more than what the lost writes had counted.
//   - By leased ledgers, less than that. If the engine no longer knows a lease, or knows only a part of it, the ledger
//     counts again what it has spent of it, with its next operation on the key. So nothing is admitted beyond the
//     limit if all ledgers are alive, use the key before the rest of the limit is used up, and had no other lease in
//     this period before. What was spent of leases that had ended is lost with the data, and so is what dead ledgers
//     had spent. A lease ends with its day; earlier if it is idle for a minute, if the quota changes, or if a
//     settlement or an adjustment needs the engine. If another ledger has begun the next period, nothing of the old one
//     is counted again.
//   - By exact ledgers, all that the lost writes had counted, because nothing else knows of it.
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
// While the engine fails, an exact ledger refuses; a leased one goes on with what it has reserved, and then refuses.
// Both refuse with [ErrUnavailable]: a caller fails closed unless its own code decides otherwise.
//
// An outage begins when a call of the engine fails. Takes that were waiting for that call are refused then, after up to
// [Config].Timeout if the engine hangs. From then on, takes that need the engine are refused at once. After a pause,
// one take asks the engine and waits for its answer, and the others are still refused meanwhile. The pause is 50 ms,
// and doubles with each failure up to 800 ms. The first answer of the engine ends the outage, whatever it says.
//
// Settlements, adjustments, Balance and Usage ask the engine also in an outage, and their callers wait for the answer.
// There is one exception. If it is unknown whether the engine has made earlier operations, or some are kept for it,
// they come first. During a pause, all but Usage then get ErrUnavailable at once. A settlement is kept and made later.
//
// # Observation
//
// [Config].Observe is told of each call of the engine, each commit, and what it has granted, counted and given back.
// [Ledger.Stats] has the sums, the open leases and the queue. A take that a lease grants is told when the lease reports
// what was spent. With [Config].SettleWithin, each charge that was not settled in time is told too.
//
// # Memory
//
// A ledger keeps about 700 bytes for each key it has seen since New. Where charges grow, or are settled with another
// amount than their cost, 8 bytes more for each of the last of them, and 256 for each key. With [Config].SettleWithin it
// keeps about 130 bytes for each charge that is open. Keys come from verified callers; do not pass
// unverified input as a subject.
package ledger
