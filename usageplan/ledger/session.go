package ledger

import (
	"slices"
)

// session is what a row remembers of one ledger life: which of its batches has changed the row last, and what became of
// that batch's operations. A life repeats only its last batch. So this much is enough to make each operation once,
// without ids of operations.
//
// Example: batch 7 charges 3 and then 5, of 4 that are left. The row is written with session 7: made 3, refused. The
// answer is lost. The ledger sends batch 7 again, is told the same, and nothing changes. Had the write not arrived, the
// second batch 7 would be decided as if it were the first, and the row that it writes is one that the late write of the
// first does not expect. That is why a repeated batch writes the row even if all of it is refused.
type session struct {
	name    uint64
	last    uint64 // the batch's number
	answers []byte // see answers
}

// answers are what became of a batch's sequenced operations on one key, by their position among these. They are
// run-length encoded: a crowd's answers are nearly always alike.
type answers []answer

// answer is a code and, above it, the units granted.
type answer uint64

// The codes. They are stored: they never change.
const (
	elsewhere   answer = iota // not decided, or in another row
	wasMade                   // the units are what it granted
	wasRefused                // this and the others made nothing
	wasStale                  //
	wasGone                   // with what is known of the lease
	wasEarly                  //
	codeBits    = 3
	codeMask    = 1<<codeBits - 1
	maxAnswers  = 1 << 16 // of one batch
	maxRecorded = 1 << 14 // bytes of answers that a row keeps, if the last session does not have more alone
)

// answerOf is what a row keeps of an outcome. The units take the upper 61 bits, which hold all that one operation may
// grant.
func answerOf(out *outcome) answer {
	code := wasMade
	switch {
	case out.stale:
		code = wasStale
	case out.gone:
		code = wasGone
	case out.early:
		code = wasEarly
	case out.refused:
		code = wasRefused
	}
	return answer(out.granted)<<codeBits | code
}

// outcome is what the answer says, without totals.
func (a answer) outcome() outcome {
	code := a & codeMask
	return outcome{
		granted: int64(a >> codeBits), replayed: true,
		stale: code == wasStale, gone: code == wasGone, early: code == wasEarly, refused: code == wasRefused,
	}
}

// at returns the answer at a position. Positions beyond the end, and that of an operation which is not sequenced, are
// elsewhere.
func (as answers) at(i int) answer {
	if i < 0 || i >= len(as) {
		return elsewhere
	}
	return as[i]
}

// put sets the answer at a position.
func (as answers) put(i int, a answer) answers {
	for len(as) <= i {
		as = append(as, elsewhere)
	}
	as[i] = a
	return as
}

// encode appends the answers to b, as pairs of a number and an answer. For example, 300 charges of 1 unit were made and
// 700 refused: that is 6 bytes.
func (as answers) encode(b []byte) []byte {
	c := coder{b: b, writing: true}
	for i := 0; i < len(as); {
		n := 1
		for i+n < len(as) && as[i+n] == as[i] {
			n++
		}
		c.size(&n)
		c.uint((*uint64)(&as[i]))
		i += n
	}
	return c.b
}

// decode replaces as by what b says. The number of answers is bounded, because a few damaged bytes could stand for
// billions.
func (as answers) decode(b []byte) (answers, error) {
	as = as[:0]
	c := coder{b: b}
	for len(c.b) > 0 {
		var n int
		var a answer
		c.size(&n)
		c.uint((*uint64)(&a))
		if c.fail(n > maxAnswers-len(as)); !c.bad {
			as = append(as, slices.Repeat(answers{a}, n)...)
		}
	}
	return as, c.end("answers of a session")
}

// recall returns what the row knows of a batch: the answers to it; or that nobody knows any more whether operations
// that are not among the answers have been made.
//
// A number lower than the last is of a batch that the ledger has given up. A repeated batch whose session is unknown
// may have been made before the session was dropped. Neither is made.
//
// Example: a row has sixteen sessions when a seventeenth life writes it. The session that has been silent for the
// longest time is dropped, and the row is marked as pruned. If the life of that session repeats a batch after this, its
// operations are forgotten: they may have been made or not, so they are not made again. A new batch of that life is
// decided as usual.
func (r *record) recall(b *batch, name uint64, as answers) (_ answers, forgotten bool, err error) {
	i := slices.IndexFunc(r.sessions, func(s session) bool { return s.name == name })
	switch {
	case i < 0:
		return as[:0], b.repeat && r.pruned, nil
	case r.sessions[i].last == b.number:
		as, err = as.decode(r.sessions[i].answers)
		return as, false, err
	}
	return as[:0], r.sessions[i].last > b.number, nil
}

// lastBatch returns the last batch of a ledger life that r knows, and whether it knows the life.
func (r *record) lastBatch(name uint64) (number uint64, known bool) {
	for i := range r.sessions { // nearly always the first
		if r.sessions[i].name == name {
			return r.sessions[i].last, true
		}
	}
	return 0, false
}

// note records the answers to a batch. The session moves to the front, so that the last one is the one to drop.
func (r *record) note(b *batch, name uint64, as answers) {
	r.noted = as.encode(r.noted[:0])
	s := session{name: name, last: b.number, answers: r.noted}
	i := slices.IndexFunc(r.sessions, func(s session) bool { return s.name == name })
	if i < 0 {
		r.sessions = append(r.sessions, s)
		i = len(r.sessions) - 1
	}
	copy(r.sessions[1:i+1], r.sessions[:i])
	r.sessions[0] = s
	r.dropSessions(maxRecorded)
}

// dropSessions keeps sixteen sessions, and as many as fit into so many bytes; the most recently used one in any case.
func (r *record) dropSessions(most int) {
	size := 0
	for i := range r.sessions {
		size += len(r.sessions[i].answers)
		if i >= maxSessions || i > 0 && size > most {
			r.sessions = r.sessions[:i]
			r.pruned = true
			return
		}
	}
}

// mergeSessions adds sessions that come from the head, which are the more recent ones. Of the same batch of the same
// life, each row knows what was decided in it.
func (r *record) mergeSessions(from []session) {
	all := slices.Clone(from)
	for _, s := range r.sessions {
		i := slices.IndexFunc(all, func(t session) bool { return t.name == s.name })
		switch {
		case i < 0:
			all = append(all, s)
		case all[i].last < s.last:
			all[i] = s
		case all[i].last == s.last:
			all[i].answers = overlay(all[i].answers, s.answers)
		}
	}
	r.sessions = all
	r.dropSessions(maxRecorded)
}

// overlay fills what was decided elsewhere by one row from the other. Example: of one batch, the head has answers to
// operations 0 and 2, and the row of history to operation 1. When the head's session moves there, the row has all
// three.
func overlay(a, b []byte) []byte {
	as, err := answers(nil).decode(a)
	if err != nil {
		return b
	}
	bs, err := answers(nil).decode(b)
	if err != nil {
		return a
	}
	for i := range bs {
		if as.at(i) == elsewhere {
			as = as.put(i, bs[i])
		}
	}
	return as.encode(nil)
}
