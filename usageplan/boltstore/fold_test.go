package boltstore_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// tiny makes a store fold every few records.
var tiny = boltstore.Sizes{FoldEvery: 4, FoldEntries: 12, CachedKeys: 15, KeptIDs: 25}

const (
	tinyKeep = 8 * time.Second
	twinKeys = 40
	twinDay  = int64(86400)
)

func twinKey(i int) ledger.Key {
	return ledger.Key{Plan: fmt.Sprint("plan", i%3), Subject: fmt.Sprint("subject", i)}
}

// TestFoldsLikeMemory: a store that folds, evicts and compacts all the time, is closed and opened, and killed, decides
// as the engine that keeps everything in memory does, and takes out of its log what may go, no less and no more.
func TestFoldsLikeMemory(t *testing.T) {
	rounds, batches := 3, 150
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		rounds, batches = 12, 600
	}
	boltstore.SetSizes(t, tiny)
	for range rounds {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &twins{t: t, began: time.Now(), rand: rand.New(rand.NewPCG(seed, 0)), twin: ledger.NewOldMemory(), path: filepath.Join(t.TempDir(), "usage.db")}
				r.open()
				for range batches {
					r.batch()
				}
				r.kill() // whatever chance has made of the rest
				r.reopen()
				require.NoError(t, r.store.Close())
				t.Logf("%d folds, %d evictions of keys, %d of older accounts, %d compactions; %d lives, %d of them after a kill", r.folds, r.keys, r.older, r.compactions, r.lives, r.copies)
				for _, n := range []int{r.folds, r.keys, r.older, r.compactions, r.copies} {
					require.NotZero(t, n)
				}
			})
		})
	}
}

// twins are a store in a file and one in memory that are given the same operations.
type twins struct {
	t     *testing.T
	rand  *rand.Rand
	began time.Time
	pace  time.Duration
	path  string
	store *boltstore.Store
	twin  *ledger.OldMemory
	was   boltstore.Extent // of the store, before the last batch

	log  []ledger.Entry // all there have been
	gone int            // of them, by compaction
	ids  []ledger.Op    // those whose ids are remembered, oldest first
	used map[string]int // ids, by place in ids; -1 if not remembered
	busy map[ledger.Key]bool

	// What was seen while the store was open.
	folds, keys, older, compactions int
	lives, copies                   int
}

func (r *twins) open() {
	s, err := boltstore.Open(r.path, boltstore.Config{Keep: tinyKeep})
	require.NoError(r.t, err)
	r.store, r.busy, r.was = s, make(map[ledger.Key]bool), s.Extent(r.t)
	r.lives++
}

// batch applies some operations to both.
func (r *twins) batch() {
	if r.rand.IntN(15) == 0 { // now and then much becomes old at once
		r.pace = []time.Duration{time.Millisecond, time.Second, 20 * time.Second}[r.rand.IntN(3)]
	}
	time.Sleep(time.Duration(r.rand.Int64N(int64(2*r.pace) + 1)))
	ops := make([]ledger.Op, 1+r.rand.IntN(9))
	if r.rand.IntN(10) == 0 {
		ops = make([]ledger.Op, 30) // more than a fold waits for
	}
	want := make([]ledger.Outcome, len(ops))
	for i := range ops {
		ops[i] = r.op()
		want[i] = r.decide(ops[i])
		r.busy[ops[i].Account.Key] = true
	}
	got, err := r.store.Apply(r.t.Context(), ops)
	require.NoError(r.t, err)
	for i := range ops {
		require.Equal(r.t, want[i], got[i], "%+v", ops[i])
	}
	r.watch()
	k := r.rand.IntN(twinKeys)
	from := r.today() - r.rand.Int64N(9)*twinDay
	r.same(r.store, k, from, from+r.rand.Int64N(9)*twinDay)
	switch r.rand.IntN(20) {
	case 0:
		r.reopen()
	case 1:
		r.kill()
	case 2, 3:
		require.NoError(r.t, r.store.Check(r.t.Context()))
	}
}

// today is a day that lasts 20 seconds.
func (r *twins) today() int64 { return start + int64(time.Since(r.began)/(20*time.Second))*twinDay }

// op is any operation: mostly on the keys most in use and the newest period, of two days.
func (r *twins) op() ledger.Op {
	n := twinKeys
	if r.rand.IntN(3) > 0 {
		n = 6
	}
	day := r.today() - max(0, r.rand.Int64N(12)-5)*twinDay
	period := day - (day-start)%(2*twinDay)
	o := ledger.Op{
		Kind: ledger.Kind(r.rand.IntN(int(ledger.KindTell) + 1)), Account: ledger.Account{Key: twinKey(r.rand.IntN(n)), Start: period},
		Day: day, Time: time.Now().Unix(), Limit: 50 + r.rand.Int64N(2)*1000, Want: r.rand.Int64N(20), Thresholds: []int{50, 100}, ID: r.id(),
	}
	switch o.Kind {
	case ledger.KindCharge:
		o.Min = o.Want
	case ledger.KindTrueUp:
		o.Force = r.rand.IntN(2) == 0
	case ledger.KindReserve, ledger.KindReport, ledger.KindReturn:
		o.Lease, o.Spent = uint64(1+r.rand.IntN(3)), r.rand.Int64N(5)-1
	case ledger.KindExtend, ledger.KindCorrect:
		o.Want -= 8
		o.Reason, o.Actor = "reason", "actor"
	case ledger.KindTell:
		o.Want = 50
	}
	return o
}

// id is none, a fresh one or one that has been used, unless the store may have forgotten that.
func (r *twins) id() string {
	switch r.rand.IntN(4) {
	case 0:
		return ""
	case 1:
		id := fmt.Sprint(r.rand.IntN(len(r.used) + 1))
		if at, ok := r.used[id]; !ok || at < 0 || at >= len(r.ids)-tiny.KeptIDs {
			return id
		}
	}
	return fmt.Sprint(len(r.used))
}

// decide has the twin decide, and notes whether it remembers the id.
func (r *twins) decide(o ledger.Op) ledger.Outcome {
	before := r.states(r.twin, o.Account.Key, 0, 1<<40)
	outs, err := r.twin.Apply(r.t.Context(), []ledger.Op{o})
	require.NoError(r.t, err)
	out := outs[0]
	changed := !out.Refused && !out.Replayed && !out.Stale && o.Kind != ledger.KindRead
	if o.Kind == ledger.KindReport && changed { // its outcome does not tell
		changed = !slices.EqualFunc(before, r.states(r.twin, o.Account.Key, 0, 1<<40), sameState)
	}
	if r.used == nil {
		r.used = make(map[string]int)
	}
	if changed && !o.Kind.Adjusts() && o.ID != "" {
		r.used[o.ID] = len(r.ids)
		r.ids = append(r.ids, o)
	} else if _, ok := r.used[o.ID]; !ok && o.ID != "" {
		r.used[o.ID] = -1
	}
	return out
}

// watch looks at what the last batch made of memory and log.
func (r *twins) watch() {
	is := r.store.Extent(r.t)
	waited := is.Last-r.was.Folded >= tiny.FoldEvery
	if is.Folded == r.was.Folded {
		require.GreaterOrEqual(r.t, is.Keys, r.was.Keys, "eviction without a fold")
		r.compacted(0, false)
	} else {
		r.folds++
		require.Equal(r.t, is.Last, is.Folded)
		require.LessOrEqual(r.t, is.Keys, max(tiny.CachedKeys, len(r.busy)), "keys that were not used stay in memory")
		require.GreaterOrEqual(r.t, is.Keys, max(len(r.busy), min(tiny.CachedKeys, r.was.Keys)), "keys are evicted that were just used, or though there are few")
		require.Zero(r.t, is.Older, "older accounts stay in memory")
		clear(r.busy)
		if is.Keys < r.was.Keys {
			r.keys++
		}
		if r.was.Older > 0 {
			r.older++
		}
		if r.compacted(is.Folded, true) > 0 {
			r.compactions++
		}
		require.True(r.t, waited || len(r.waiting()) >= tiny.FoldEntries, "a fold too early")
	}
	r.was = is
	require.Less(r.t, is.Last-is.Folded, tiny.FoldEvery, "records that wait for a fold")
	require.Less(r.t, is.Waiting, tiny.FoldEntries, "entries that wait for a fold")
	require.Len(r.t, r.waiting(), is.Waiting)
}

// compacted compares the log with all entries there have been. It returns how many records have gone from it.
func (r *twins) compacted(folded uint64, exact bool) (records uint64) {
	var log []ledger.Entry
	for e, err := range r.store.Entries(r.t.Context(), 0) {
		require.NoError(r.t, err)
		log = append(log, e)
	}
	seen := uint64(0)
	if len(r.log) > 0 {
		seen = r.log[len(r.log)-1].Seq
	}
	known, _ := slices.BinarySearchFunc(log, seen+1, bySeq)
	r.log = append(r.log, log[known:]...)
	gone := len(r.log) - len(log)
	require.GreaterOrEqual(r.t, gone, r.gone)
	require.Equal(r.t, r.log[gone:], log)
	if gone < len(r.log) {
		require.True(r.t, gone == 0 || record(r.log[gone-1]) < record(r.log[gone]), "part of a record is gone")
	}
	first := r.firstRecent()
	mayGo := func(e ledger.Entry) bool {
		return record(e) <= folded && record(e) < first && e.Time < time.Now().Add(-tinyKeep).Unix()
	}
	last, before := uint64(0), 0 // the record and the entries before it
	for i, e := range r.log[r.gone:gone] {
		require.True(r.t, mayGo(e), "entry %d is gone, of %d before %d", e.Seq, e.Time, time.Now().Unix())
		if record(e) != last {
			last, before = record(e), i
			records++
		}
	}
	most := records == 2*tiny.FoldEvery || gone-r.gone >= 2*tiny.FoldEntries
	if exact && !most && gone < len(r.log) {
		require.False(r.t, mayGo(r.log[gone]), "entry %d is not gone, of %d before %d", r.log[gone].Seq, r.log[gone].Time, time.Now().Unix())
	}
	require.LessOrEqual(r.t, records, 2*tiny.FoldEvery)
	require.Less(r.t, before, 2*tiny.FoldEntries)
	r.gone = gone
	return records
}

func bySeq(e ledger.Entry, seq uint64) int { return cmp.Compare(e.Seq, seq) }

func record(e ledger.Entry) uint64 { return e.Seq / boltstore.MaxRecord }

// firstRecent is the first record with an id that must not be forgotten.
func (r *twins) firstRecent() uint64 {
	n, first := 0, uint64(1<<63)
	for _, e := range slices.Backward(r.log) {
		if e.ID != "" && !e.Kind.Adjusts() {
			if n == tiny.KeptIDs {
				break
			}
			n++
			first = record(e)
		}
	}
	return first
}

// reopen ends a life and begins the next.
func (r *twins) reopen() {
	was := r.was
	require.NoError(r.t, r.store.Close())
	r.open()
	require.Equal(r.t, r.was.Last, r.was.Folded, "closing folds")
	require.Equal(r.t, was.Last, r.was.Last)
	r.compacted(r.was.Folded, was.Folded < was.Last)
	r.whole()
}

// kill goes on from a copy of the file as it is.
func (r *twins) kill() {
	was, old := r.was, r.store
	b, err := os.ReadFile(r.path)
	require.NoError(r.t, err)
	r.path = filepath.Join(r.t.TempDir(), "usage.db")
	require.NoError(r.t, os.WriteFile(r.path, b, 0o600))
	r.open()
	require.NoError(r.t, old.Close())
	require.Equal(r.t, [3]uint64{was.Last, was.Folded, was.First}, [3]uint64{r.was.Last, r.was.Folded, r.was.First})
	r.compacted(0, false)
	require.Len(r.t, r.waiting(), r.was.Waiting)
	for _, e := range r.waiting() {
		r.busy[e.Account.Key] = true
	}
	r.whole()
	r.copies++
}

// waiting are the entries that are not in the rows.
func (r *twins) waiting() []ledger.Entry {
	at, _ := slices.BinarySearchFunc(r.log, (r.was.Folded+1)*boltstore.MaxRecord, bySeq)
	return r.log[at:]
}

// whole compares all that a store that has just been opened knows.
func (r *twins) whole() {
	s := r.store
	require.NoError(r.t, s.Check(r.t.Context()))
	var leases, crossings []string
	for k := range twinKeys {
		r.same(s, k, 0, 1<<40)
		for _, state := range r.states(r.twin, twinKey(k), 0, 1<<40) {
			for _, l := range state.Leases {
				leases = append(leases, fmt.Sprintf("%v %+v", ledger.Account{Key: twinKey(k), Start: state.Start}, l))
			}
			if state.Crossed != state.Told {
				crossings = append(crossings, fmt.Sprintf("%v %+v", twinKey(k), state.Totals))
			}
		}
	}
	for l, err := range s.Leases(r.t.Context()) {
		require.NoError(r.t, err)
		leases = remove(r.t, leases, fmt.Sprintf("%v %+v", l.Account, l.Lease))
	}
	for c, err := range s.Crossings(r.t.Context()) {
		require.NoError(r.t, err)
		crossings = remove(r.t, crossings, fmt.Sprintf("%v %+v", c.Account.Key, c.Totals))
	}
	require.Empty(r.t, leases)
	require.Empty(r.t, crossings)
	recent := r.ids[max(0, len(r.ids)-tiny.KeptIDs):]
	if len(recent) == 0 {
		return
	}
	got, err := s.Apply(r.t.Context(), recent)
	require.NoError(r.t, err)
	want, err := r.twin.Apply(r.t.Context(), recent)
	require.NoError(r.t, err)
	for i := range recent {
		require.True(r.t, got[i].Replayed, "%s, one of the last ids, is forgotten", recent[i].ID)
		require.Equal(r.t, want[i], got[i], "%+v", recent[i])
		r.busy[recent[i].Account.Key] = true
	}
	r.was = s.Extent(r.t)
}

func remove(t *testing.T, list []string, s string) []string {
	t.Helper()
	i := slices.Index(list, s)
	require.NotEqual(t, -1, i, "%s\n%q", s, list)
	return slices.Delete(list, i, i+1)
}

func (r *twins) same(s *boltstore.Store, k int, from, to int64) {
	got, want := r.states(s, twinKey(k), from, to), r.states(r.twin, twinKey(k), from, to)
	require.True(r.t, slices.EqualFunc(want, got, sameState), "accounts of %v:\ngot  %+v\nwant %+v", twinKey(k), got, want)
}

func (r *twins) states(s ledger.Store, k ledger.Key, from, to int64) (list []ledger.State) {
	for state, err := range s.Accounts(context.Background(), k, from, to) {
		require.NoError(r.t, err)
		list = append(list, state)
	}
	return list
}

func sameState(x, y ledger.State) bool {
	return x.Totals == y.Totals && slices.Equal(x.Days, y.Days) && slices.Equal(x.Leases, y.Leases) && slices.Equal(x.Applied, y.Applied)
}

// TestManyEntries: more entries in one commit than a record has room for are numbered all the same, in order and
// without a gap.
func TestManyEntries(t *testing.T) {
	const n = boltstore.MaxRecord + 10
	path := filepath.Join(t.TempDir(), "usage.db")
	s := open(t, path)
	apply(t, s, charge("before", 1))
	ops := make([]ledger.Op, n)
	for i := range ops {
		ops[i] = charge(fmt.Sprint("subject", i%50), int64(i+1))
	}
	apply(t, s, ops...)
	apply(t, s, charge("after", 1))
	entries := func() (seqs []uint64) {
		var total int64
		for e, err := range s.Entries(t.Context(), 0) {
			require.NoError(t, err)
			if len(seqs) > 0 && e.Seq <= seqs[len(seqs)-1] {
				t.Fatalf("entry %d after %d", e.Seq, seqs[len(seqs)-1])
			}
			if i := int64(len(seqs)); i > 0 && i <= n && e.Granted != i {
				t.Fatalf("entry %d grants %d", i, e.Granted)
			}
			seqs = append(seqs, e.Seq)
			total += e.Granted
		}
		require.Len(t, seqs, n+2)
		require.Equal(t, int64(n)*(n+1)/2+2, total)
		return seqs
	}
	seqs := entries()
	require.EqualValues(t, 4, s.Extent(t).Last, "the commit took two records")
	for _, i := range []int{0, 1, boltstore.MaxRecord - 1, boltstore.MaxRecord, boltstore.MaxRecord + 1, n} {
		for e, err := range s.Entries(t.Context(), seqs[i]) {
			require.NoError(t, err)
			require.Equal(t, seqs[i+1], e.Seq, "the first after entry %d", i)
			break
		}
	}
	want, err := usedBy(s)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	s = open(t, path)
	require.Equal(t, seqs, entries())
	got, err := usedBy(s)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.NoError(t, s.Check(t.Context()))
}
