package journal

import (
	"context"
	"iter"
	"time"
)

// An Event is one use of a journal, told by [Observe]. Operation is fit for the label of a metric, and Err for logs.
type Event struct {
	// Operation is "append", "changes", "history" or "wait": the method of [Journal] that was called.
	Operation string

	// After is the revision that the writer or reader had seen. It is 0 for "history".
	After uint64

	// Revision is that of the change which was appended, or of the last one which was read. After an error, and if
	// there was nothing to read, it may be After. It is 0 for "history".
	//
	// For "changes", Revision - After is how many changes the reader had not seen. A reader with After 0 begins: it
	// reads everything there is, so the number does not show whether it was behind.
	Revision uint64

	// Items is how many items were appended or read.
	Items int

	// Lag is the age, by the clock of this machine, of the oldest change that the reader had not seen. It is set for
	// "changes" only. It is 0 if nothing was read, if After is 0, if the change has no time, and if the changes came as
	// a snapshot, because a snapshot has none either.
	Lag time.Duration

	// Duration is how long the journal took. It leaves out the time that the reader spends between two changes.
	Duration time.Duration

	// Err is why the use failed, or nil. It wraps [ErrBehind] if another writer was first. That is no fault: the
	// writer reads on and decides again.
	Err error
}

// Observe returns a journal that does what j does and tells each use of it. A program passes it to a package that keeps
// its state in a journal, such as apikey or usageplan. To tell two journals apart, give each its own function.
//
// It calls tell once for each Append, and once for each iteration over Changes or History, when that is over or the
// reader has stopped it. If the reader panics, nothing is told. It calls tell for a Wait only if that fails before its
// context has ended. A node that follows then hears of changes late, when it next looks.
//
// A node that follows asks for changes several times a second, although mostly there are none. So a log leaves out
// events that say nothing new: Operation is "changes", Revision is After, and Err is nil.
//
// tell gets the context of the call. It runs on the goroutine that uses the journal, so several goroutines may call it
// at once. It must not block, nor call a [Topic] of the journal: the topic waits until it returns.
//
// If j is nil, the result is nil, which stands for no journal there too. If tell is nil, the result is j.
func Observe(j Journal, tell func(context.Context, Event)) Journal {
	if j == nil || tell == nil {
		return j
	}
	return &observed{j, tell}
}

type observed struct {
	Journal
	tell func(context.Context, Event)
}

func (o *observed) Wait(ctx context.Context, after uint64) error {
	start := time.Now()
	err := o.Journal.Wait(ctx, after)
	if err != nil && ctx.Err() == nil {
		o.tell(ctx, Event{Operation: "wait", After: after, Revision: after, Duration: time.Since(start), Err: err})
	}
	return err
}

func (o *observed) Append(ctx context.Context, after uint64, c Change) (uint64, error) {
	start := time.Now()
	revision, err := o.Journal.Append(ctx, after, c)
	e := Event{Operation: "append", After: after, Revision: after, Duration: time.Since(start), Err: err}
	if err == nil {
		e.Revision, e.Items = revision, len(c.Items)
	}
	o.tell(ctx, e)
	return revision, err
}

func (o *observed) Changes(ctx context.Context, after uint64) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		e := Event{Operation: "changes", After: after, Revision: after}
		first := true
		e.read(o.Journal.Changes(ctx, after), func(c Change, err error) bool {
			if err == nil {
				e.Revision = c.Revision
			}
			if err == nil && first && after > 0 && !c.Snapshot && !c.Time.IsZero() {
				e.Lag = max(0, time.Since(c.Time)) // clocks of two machines differ
			}
			first = false
			return yield(c, err)
		})
		o.tell(ctx, e)
	}
}

func (o *observed) History(ctx context.Context, item string) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		e := Event{Operation: "history"}
		e.read(o.Journal.History(ctx, item), yield)
		o.tell(ctx, e)
	}
}

// read passes changes on to yield, and sets Items, Duration and Err.
func (e *Event) read(changes iter.Seq2[Change, error], yield func(Change, error) bool) {
	resumed := time.Now()
	for c, err := range changes {
		e.Duration += time.Since(resumed)
		e.Err = err
		e.Items += len(c.Items)
		if !yield(c, err) {
			return
		}
		resumed = time.Now()
	}
	e.Duration += time.Since(resumed)
}
