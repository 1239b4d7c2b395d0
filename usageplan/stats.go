package usageplan

import (
	"sync/atomic"
	"time"
)

// Stats are levels of a [Meter] at one moment.
type Stats struct {
	// Plans is how many plans there are.
	Plans int
	// Members is how many members they have. A client counts once for each plan that it is a member of. Clients that
	// only have the plan Config.Default count nowhere. After [Meter.DeletePlan], members of the deleted plan may count
	// again under a new plan of its id, until the journal has forgotten them.
	Members int
	// AccountTokens is how many requests Config.AccountThrottle would admit at this moment. It is -1 if there is none.
	AccountTokens int64
	// Throttled is how many requests a throttle has refused since New: one of the plan, of a member, of a method of
	// the plan, of a method of the stage, or of the account. What Config.AllowDespite admits all the same is counted
	// too. It is a figure of this meter alone, and starts at 0 with each process. [Meter.StatusHandler] counts
	// nothing.
	Throttled uint64
	// InFlight is how many requests hold a place under Plan.InFlight or Config.InFlight at this moment. A figure that
	// only grows means that a caller of Check or Take does not call [Charge.Release].
	InFlight int
	// NoPlace is how many requests found no place there since New. It counts as Throttled does.
	NoPlace uint64

	// Revision is the revision of the journal up to which its changes act here. Meters of one journal that have the
	// same Revision have the same plans and members, if they declare the same. Without a journal, it counts the
	// changes.
	Revision uint64

	// Behind says that the journal may have a change that does not act here. This is so while a change is made or the
	// journal is read. If it stays so, the last attempt has failed; the next one that succeeds ends it. What other
	// meters have appended since the last attempt is not known: see Age.
	Behind bool

	// Age is how old the plans and members may be. What any meter had changed that long ago acts here, and what was
	// changed later perhaps does not. With Config.Follow it stays below a second while the journal answers. Without a
	// journal it is 0.
	Age time.Duration
}

// Stats returns the levels of the meter, for a page of metrics:
//
//	expvar.Publish("usageplan", expvar.Func(func() any { return meter.Stats() }))
//
// It walks over the plans, but not over their members, so it is cheap enough to be called once a second. No request or
// change waits for it. It may see a part of a change that is being made. A nil or zero meter has no plans.
func (m *Meter) Stats() Stats {
	st := Stats{AccountTokens: -1}
	if m == nil || !m.made {
		return st
	}
	st.Revision, st.Behind = m.topic.Position()
	st.Age = m.topic.Age()
	for _, p := range m.table.plans.Range {
		if p := p.(*plan); p.state.Load() != nil {
			st.Plans++
			st.Members += p.roll.count()
		}
	}
	if m.account != nil {
		st.AccountTokens = m.account.Peek().Remaining
	}
	st.Throttled = m.tooFast.Load()
	st.InFlight, st.NoPlace = int(m.places.all.Load()), m.places.refused.Load()
	return st
}

// A tally counts requests that a limit refuses. It has a cache line of its own, so that a flood of refusals on one
// core does not slow down the admitted requests of another, which only read the words around it. (Lines have 64
// bytes: with 56 on either side, no line has both the counter and another word.)
//
// It is one counter for all cores. A refusal takes a core about 1 µs, most of it for the [Error], and a line that is
// fought over moves in about 50 ns. So 20 cores that do nothing but refuse would begin to wait for it. Below HTTP,
// where a request takes a core 10 µs or more, even 200 would not.
type tally struct {
	_ [56]byte
	atomic.Uint64
	_ [56]byte
}
