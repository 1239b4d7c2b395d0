package ratelimit

import "time"

// A Receipt is the outcome of one take from one bucket, granted or refused. The zero Receipt is empty: its decision
// refuses, and Undo does nothing.
//
// A receipt is for one goroutine at a time. It must not be copied and then undone twice.
type Receipt struct {
	ref Ref
	taken
}

// taken is a take of n tokens.
type taken struct {
	outcome
	n int64
}

// Decision returns what the bucket answered to the take, as [Bucket.Take] would have.
func (r Receipt) Decision() Decision { return r.decision(r.n) }

// Undo gives n of the taken tokens back, or all of them if n is more; an n below 1 gives back nothing. A receipt can be
// undone once: Undo clears it, so a second call does nothing. Nor does a call for a take that was refused.
//
// The bucket then holds what it would hold if those tokens had not been taken, with two exceptions, without which it
// might admit more than its limit. Nothing comes back if the limit has changed since. And if others have used the
// bucket since, they may have been granted what has flowed in since the take, so that much is kept back. For example,
// at 1 token a second: take 3, wait 2 seconds, let another caller take 1, undo 3. One token comes back.
//
// A key of a [Limiter] has no room to remember earlier undos, so one case goes beyond the limit, by at most what has
// flowed in since the take. For example: A takes 3, B takes 3, and A is undone. Two seconds later C takes 3, which
// makes the key owe exactly what it owed after B. If B is undone only now, all 3 tokens come back instead of one. Undo
// a take of a key soon, or not at all.
//
// A bucket that has ever been asked to Reserve or Wait may have callers that wait behind the take. They keep the
// instants that they were promised. If nothing was taken after this take, all of it comes back; otherwise only what
// exceeds the later takes, and those instants are given back no second time.
func (r *Receipt) Undo(n int64) {
	ref := r.ref // undo clears r
	r.undo(ref.now, n)
}

// undo is Undo with the caller's clock, which is read after the TAT. For tests, it returns the TAT that it leaves
// behind, or 0 if nothing came back.
func (r *Receipt) undo(now func() int64, n int64) (tat int64) {
	ref, k := r.ref, r.taken
	*r = Receipt{}
	k.n = min(k.n, n)
	switch {
	case !k.ok() || k.n < 1 || k.seg.unlimited():
		return 0
	case ref.keyed != nil:
		return ref.keyed.undo(now, ref.fingerprint, k)
	default:
		return ref.bucket.undo(now, k)
	}
}

// TakeAll takes n tokens from each bucket, or none from any, at the instant t, which is usually time.Now. It returns -1
// and true, or the index of the first bucket that refuses and false. Without buckets it returns -1 and false.
//
// It stores a receipt for each bucket in receipts, which must be at least as long as refs. After a grant they tell what
// each bucket holds, and can undo the takes. After a refusal the one at index says how long that bucket refuses, and
// the others are empty; [Ref.Peek] asks the other buckets.
//
// A refused call consumes nothing, except for what flows into a bucket during the call if others take from it
// meanwhile. While TakeAll is under way it may hold tokens of the first buckets that it gives back when a later one
// refuses, and another call may be refused for lack of them. So name the bucket first that refuses most often.
func TakeAll(t time.Time, n int64, refs []Ref, receipts []Receipt) (index int, ok bool) {
	return takeAll(t, n, refs, receipts, Ref.now)
}

// takeAll is TakeAll with the caller's clock for what is given back.
func takeAll(t time.Time, n int64, refs []Ref, receipts []Receipt, clock func(Ref) int64) (index int, ok bool) {
	receipts = receipts[:len(refs)]
	for i := range refs {
		r := &refs[i]
		o := r.take(r.since(t), n)
		receipts[i] = Receipt{*r, taken{o, n}}
		if !o.ok() {
			for j := range i {
				receipts[j].undo(func() int64 { return clock(refs[j]) }, n)
			}
			clear(receipts[i+1:])
			return i, false
		}
	}
	return -1, len(refs) > 0
}
