package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var errInjected = errors.New("injected")

// shared is an engine as several machines see it over a network that fails: calls stop in the middle, answers are lost,
// writes arrive late, and while one machine decides another may change the row, which is what meanwhile does. It is
// used by one goroutine.
type shared struct {
	*rand.Rand
	t         *testing.T
	rows      map[string][]byte
	late      []write
	faults    int // one call in so many, 0 for none
	meanwhile func()
	nested    bool
}

type write struct {
	key         string
	before, now []byte
}

func (e *shared) chance() bool { return e.faults > 0 && e.IntN(e.faults) == 0 }

// others lets another machine act, and late writes arrive.
func (e *shared) others() {
	if e.nested || e.faults == 0 {
		return
	}
	if len(e.late) > 0 && e.IntN(3) == 0 {
		w := e.late[0]
		e.late = e.late[1:]
		if bytes.Equal(e.rows[w.key], w.before) {
			e.put(w.key, w.now)
		}
	}
	if e.meanwhile != nil && e.IntN(4) == 0 {
		e.nested = true
		e.meanwhile()
		e.nested = false
	}
}

// put writes a row and requires what holds at every instant: rows are small, and a crossing that is not told is in the
// index.
func (e *shared) put(key string, row []byte) {
	if len(row) == 0 {
		delete(e.rows, key)
		return
	}
	e.rows[key] = row
	require.LessOrEqual(e.t, len(row), maxRow)
	if key[0] == headRow {
		var r record
		require.NoError(e.t, r.decode(row))
		require.False(e.t, r.untold() && e.rows["c"+key[1:]] == nil, "a crossing is not in the index")
		require.LessOrEqual(e.t, len(r.states), 2*maxStates)
	}
}

func (e *shared) Update(_ context.Context, keys []string, f func(int, []byte) ([]byte, error)) error {
	for i, key := range keys {
		e.others()
		if e.chance() {
			return errInjected
		}
		for {
			before := e.rows[key]
			seen := bytes.Clone(before)
			now, err := f(i, seen)
			if err != nil {
				return err
			}
			for i := range seen {
				seen[i] = 0xa5
			}
			if now == nil {
				break
			}
			e.others()
			if !bytes.Equal(e.rows[key], before) {
				continue // f decides again
			}
			if e.chance() {
				e.late = append(e.late, write{key, before, now})
				return errInjected
			}
			e.put(key, now)
			break
		}
		if e.chance() {
			return errInjected
		}
	}
	return nil
}

func (e *shared) Load(_ context.Context, key string) ([]byte, error) {
	e.others()
	if e.chance() {
		return nil, errInjected
	}
	return bytes.Clone(e.rows[key]), nil
}

func (e *shared) Keys(_ context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for key := range e.rows {
			if strings.HasPrefix(key, prefix) && !yield(key, nil) {
				return
			}
		}
	}
}

func (e *shared) Close() error { return nil }

// seeds is how many random runs a test makes, and ten times as many if the machine has time.
func seeds(n uint64) uint64 {
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		return 10 * n
	}
	return n
}

// counted is what the outcomes of all operations add up to, by account and day.
type counted map[Account]map[int64]*dayTotals

// addLost adds adjustments that proved to have been made although their ledger was never told so: two newer periods had
// begun when it asked again.
func (c counted) addLost(t *testing.T, r *rows, k Key, lost map[string]op) {
	for a, err := range r.adjustments(t.Context(), k, 0, 1<<40) {
		require.NoError(t, err)
		if o, ok := lost[a.ID]; ok {
			c.add(&o, &outcome{granted: a.Delta}, map[string]bool{})
		}
	}
}

func (c counted) add(o *op, out *outcome, seen map[string]bool) {
	if out.refused || out.stale || out.gone || out.early || out.granted == 0 || o.kind.adjusts() && seen[o.id] {
		return
	}
	if c[o.account] == nil {
		c[o.account] = map[int64]*dayTotals{}
	}
	d := c[o.account][o.day]
	if d == nil {
		d = new(dayTotals)
		c[o.account][o.day] = d
	}
	switch o.kind {
	case charge, trueUp, grow, reserve, correct:
		d.used += out.granted
	case refund, giveBack:
		d.used -= out.granted
	case extend, setRemaining:
		d.adjustments += out.granted
	}
	seen[o.id] = o.kind.adjusts()
}

// TestEachOperationIsMadeOnce: three lives share rows over an engine that fails in every way that it may. Each repeats
// a batch until it is answered. In the end every account and every day has what the answers add up to.
func TestEachOperationIsMadeOnce(t *testing.T) {
	for seed := range seeds(80) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := newScene(seed)
			e := &shared{Rand: s.Rand, t: t, rows: map[string][]byte{}, faults: 6 + s.IntN(40)}
			sum, seen, lost := counted{}, map[string]bool{}, map[string]op{}
			lives := []*life{newLife(e, 1), newLife(e, 2), newLife(e, 1)}
			if seed%3 == 0 {
				for _, l := range lives {
					l.keep = 70 * dayLong
				}
			}
			busy := map[*life]bool{}
			act := func() {
				l := lives[s.IntN(len(lives))]
				if busy[l] { // it is what others are acting meanwhile
					return
				}
				busy[l] = true
				defer delete(busy, l)
				if l.last == nil {
					l.number++
					l.last = &batch{number: l.number}
					for range 1 + s.IntN(1+s.IntN(10)) {
						o := s.op()
						if o.kind.adjusts() {
							o.id = fmt.Sprint(len(seen), "-", l.number, "-", len(l.last.ops), "-", l.session)
						}
						l.last.ops = append(l.last.ops, o)
					}
					l.traced(l.last.ops)
				}
				outs, errs, err := l.apply(t.Context(), l.last)
				if l.last.repeat = true; err != nil {
					require.ErrorIs(t, err, errInjected)
					return
				}
				require.Nil(t, errs)
				for i := range outs {
					if o := l.last.ops[i]; o.kind.adjusts() && outs[i].stale {
						lost[o.id] = o
					}
					sum.add(&l.last.ops[i], &outs[i], seen)
					s.learn(&l.last.ops[i], &outs[i])
					require.False(t, outs[i].forgotten || outs[i].lost)
				}
				l.last = nil
			}
			e.meanwhile = act
			for range 300 {
				if s.IntN(12) == 0 {
					s.now += s.Int64N(1 + s.Int64N(2*s.length))
				}
				act()
				if s.IntN(5) == 0 {
					requireOneInstant(t, lives[0].rows, s.keys, s.now-lives[0].keep)
				}
			}
			e.faults = 0
			for _, l := range lives {
				for l.last != nil {
					act()
				}
			}
			for _, k := range s.keys {
				sum.addLost(t, lives[0].rows, k, lost)
			}
			requireSums(t, lives[0].rows, s.keys, sum, s.now-lives[0].keep)
		})
	}
}

// requireOneInstant: what is read while others move it is as of one instant, so days add up to their account.
func requireOneInstant(t *testing.T, r *rows, keys []Key, kept int64) {
	t.Helper()
	for _, k := range keys {
		for a, err := range r.usage(t.Context(), k, -1<<40, 1<<40) {
			if err != nil {
				require.ErrorIs(t, err, errInjected)
				continue
			}
			var sum dayTotals
			for _, d := range a.days {
				sum.used, sum.held, sum.adjustments = sum.used+d.used, sum.held+d.held, sum.adjustments+d.adjustments
			}
			if a.start < kept {
				continue
			}
			require.Equal(t, dayTotals{used: a.used, held: a.held, adjustments: a.adjustments}, sum)
		}
	}
}

// requireSums compares what rows tell of every account and day with what the outcomes add up to. Days of accounts from
// before kept may be gone.
func requireSums(t *testing.T, r *rows, keys []Key, want counted, kept int64) {
	t.Helper()
	for _, k := range keys {
		for a, err := range r.usage(t.Context(), k, -1<<40, 1<<40) {
			require.NoError(t, err)
			var total dayTotals
			for _, d := range a.days {
				w := want[Account{k, a.start}][d.day]
				if w == nil {
					w = new(dayTotals)
				}
				if d.day >= kept {
					require.Equal(t, [2]int64{w.used, w.adjustments}, [2]int64{d.used, d.adjustments}, "%v %d %d", k, a.start, d.day)
				}
				delete(want[Account{k, a.start}], d.day)
				total.used, total.held, total.adjustments = total.used+d.used, total.held+d.held, total.adjustments+d.adjustments
			}
			if a.start >= kept {
				require.Equal(t, total, dayTotals{used: a.used, held: a.held, adjustments: a.adjustments})
			}
		}
	}
	for a, days := range want {
		for day, d := range days {
			require.True(t, *d == dayTotals{} || day < kept, "%v %d is not kept", a, day)
		}
	}
}
