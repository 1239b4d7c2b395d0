package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// rows makes operations on the rows of an engine. It is the one place that decides: what an account may have, which
// operation has been made before, and which row an account stands in.
type rows struct {
	engine Engine
	clock  Clock // nil if the engine has none

	// session names this ledger life. If the engine is an Owner (owned), its number is in the high 32 bits, as in those
	// of lease IDs.
	session uint64
	owned   bool

	// format is that of the rows written. keep is how long history is kept, in seconds.
	format uint8
	keep   int64

	// ended is set when the leases have been ended of which [Slots] know what was spent. From then on the others that
	// earlier openings of an Owner have left are dropped.
	ended atomic.Bool

	pass pass // of apply
}

const defaultKeep = 400 * 24 * time.Hour

// newRows returns rows over e. The session is random. The caller may change keep before the first use.
func newRows(e Engine, session uint64, format uint8) *rows {
	r := &rows{engine: e, session: session, format: format, keep: int64(defaultKeep / time.Second)}
	r.clock, _ = e.(Clock)
	if o, is := e.(Owner); is {
		r.owned = true
		r.session = uint64(o.Owner())<<32 | session&(1<<32-1)
	}
	r.pass = pass{rows: r, byKey: make(map[Key]*turn), known: make(map[Key]known)}
	return r
}

// apply makes the operations of b, those of one key in their order, and each wholly or not at all. The outcomes are in
// their order too; they hold until the next apply. One goroutine at a time calls it.
//
// errs has an error for each operation that could not be made because of its own key's rows; it is nil if there is
// none. After err, what became of any operation is unknown.
func (r *rows) apply(ctx context.Context, b *batch) (outs []outcome, errs []error, err error) {
	p := &r.pass
	p.begin(b)
	if err := p.loadIndex(ctx); err != nil {
		return nil, nil, err
	}
	for len(p.open) > 0 {
		if err := p.turn(ctx); err != nil {
			return nil, nil, err
		}
	}
	p.dropIndex(ctx)
	return p.outs, p.errs, nil
}

// load decodes a row into rec.
func (r *rows) load(ctx context.Context, k Key, row string, rec *record) error {
	data, err := r.engine.Load(ctx, row)
	if err != nil {
		return err
	}
	return named(k, rec.decode(data))
}

// unreadableRow is the error of an engine that cannot read one row. See [Engine].
type unreadableRow interface {
	error
	Row() string
}

// isOfOneRow reports whether err concerns a row that cannot be read, and not the engine. Other keys go on then.
func isOfOneRow(err error) bool {
	_, unreadable := errors.AsType[unreadableRow](err)
	return unreadable || errors.Is(err, errDamaged) || errors.Is(err, errNewer)
}

// named says whose row has an error.
func named(k Key, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("plan %q, subject %q: %w", k.Plan, k.Subject, err)
}
