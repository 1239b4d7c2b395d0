package journal_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
)

// scene returns a journal with random changes of a few items, and the names of the items. The first dropped of its
// changes are older than its retention.
func scene(t *testing.T, seed uint64, dropped, changes int) (journal.Journal, []string) {
	j := journal.Memory(time.Hour)
	random := rand.New(rand.NewPCG(seed, 3))
	names := []string{"a", "b", "c", "d", "e", "\x00\xff"}
	for i := range dropped + changes {
		c := journal.Change{Operation: fmt.Sprint("op ", i)}
		if i >= dropped {
			c.Time = time.Now().UTC().Add(time.Duration(i) * time.Microsecond)
			c.Origin = journal.Origin{Actor: fmt.Sprint("who ", i), Source: "192.0.2.7", Request: fmt.Sprint("request ", i)}
		}
		for _, k := range random.Perm(len(names))[:1+random.IntN(2)] {
			it := journal.Item{Name: names[k], Value: fmt.Append(nil, "value ", i)}
			it.Gone = random.IntN(3) == 0
			c.Items = append(c.Items, it)
		}
		_, err := j.Append(t.Context(), uint64(i), c)
		require.NoError(t, err)
	}
	return j, names
}

// told is what a journal tells: the items, its head, and the history of each name.
type told struct {
	Items   map[string]string
	Head    uint64
	History map[string][]journal.Change
}

func tell(t *testing.T, j journal.Journal, names []string) told {
	t.Helper()
	got := told{make(map[string]string), 0, make(map[string][]journal.Change)}
	for c, err := range j.Changes(t.Context(), 0) {
		require.NoError(t, err)
		got.Head = c.Revision
		for _, it := range c.Items {
			if got.Items[it.Name] = string(it.Value); it.Gone {
				delete(got.Items, it.Name)
			}
		}
	}
	for _, name := range names {
		for c, err := range j.History(t.Context(), name) {
			require.NoError(t, err)
			got.History[name] = append(got.History[name], c)
		}
	}
	return got
}

// shapes are how many changes of a source have no record any more, and how many have.
var shapes = [][2]int{{0, 0}, {0, 1}, {1, 1}, {0, 20}, {3, 20}, {30, 5}, {30, 1}}

// TestCopyTellsWhatItsSourceTells: items, histories with who, when and what, and the head. Nothing is told of what
// stands for dropped records.
func TestCopyTellsWhatItsSourceTells(t *testing.T) {
	for _, shape := range shapes {
		for seed := range uint64(20) {
			source, names := scene(t, seed, shape[0], shape[1])
			first, back := journal.Memory(0), journal.Memory(0)
			require.NoError(t, journal.Copy(t.Context(), first, source), "%v, seed %d", shape, seed)
			require.NoError(t, journal.Copy(t.Context(), back, first), "%v, seed %d", shape, seed)
			want := tell(t, source, names)
			require.Equal(t, want, tell(t, first, names), "%v, seed %d", shape, seed)
			require.Equal(t, want, tell(t, back, names), "%v, seed %d", shape, seed)
			require.EqualValues(t, shape[0]+shape[1], want.Head)
		}
	}
}

// TestChangesOfACopyComeAfterAll: the next change of a copy has the revision that the next one of the source would
// have. Packages apikey and usageplan number what they create by it.
func TestChangesOfACopyComeAfterAll(t *testing.T) {
	source, _ := scene(t, 1, 30, 5)
	target := journal.Memory(0)
	require.NoError(t, journal.Copy(t.Context(), target, source))
	topic, err := journal.Follow(t.Context(), target, func(items iter.Seq[journal.Item], _ bool) error {
		for range items { // nobody needs them here
		}
		return nil
	})
	require.NoError(t, err)
	var got uint64
	require.NoError(t, topic.Change(t.Context(), "Create", func(next uint64) ([]journal.Item, error) {
		got = next
		return []journal.Item{{Name: "new", Value: []byte("x")}}, nil
	}))
	require.EqualValues(t, 36, got)
}

// mortal is a journal of a process that is killed at one of its calls, before it or after it.
type mortal struct {
	journal.Journal
	calls int // until then, one that reaches 0 is the last
	after bool
}

var errKilled = errors.New("killed")

func (m *mortal) Append(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
	m.calls--
	if m.calls < 0 || m.calls == 0 && !m.after {
		return 0, errKilled
	}
	revision, err := m.Journal.Append(ctx, after, c)
	if m.calls == 0 {
		return 0, errKilled
	}
	return revision, err
}

func (m *mortal) Changes(ctx context.Context, after uint64) iter.Seq2[journal.Change, error] {
	return m.cut(m.Journal.Changes(ctx, after))
}

func (m *mortal) History(ctx context.Context, item string) iter.Seq2[journal.Change, error] {
	return m.cut(m.Journal.History(ctx, item))
}

// cut returns a sequence that ends with an error, before all changes or after them.
func (m *mortal) cut(changes iter.Seq2[journal.Change, error]) iter.Seq2[journal.Change, error] {
	m.calls--
	return func(yield func(journal.Change, error) bool) {
		if m.calls > 0 || m.after {
			for c, err := range changes {
				if !yield(c, err) {
					return
				}
			}
		}
		if m.calls <= 0 {
			yield(journal.Change{}, errKilled)
		}
	}
}

// TestKilledCopyGoesOn: a copy that is killed at any call of the target, before it or after it, goes on when it is
// called again, and appends nothing twice.
func TestKilledCopyGoesOn(t *testing.T) {
	for _, shape := range shapes {
		source, names := scene(t, 9, shape[0], shape[1])
		want := tell(t, source, names)
		for _, after := range []bool{false, true} {
			for calls := 1; ; calls++ {
				target := journal.Memory(0)
				err := journal.Copy(t.Context(), &mortal{target, calls, after}, source)
				if err == nil {
					require.Greater(t, calls, shape[0]+shape[1])
					break
				}
				require.ErrorIs(t, err, errKilled)
				require.ErrorIs(t, err, journal.ErrUnavailable)
				require.NoError(t, journal.Copy(t.Context(), target, source), "%v, call %d", shape, calls)
				require.Equal(t, want, tell(t, target, names), "%v, call %d", shape, calls)
			}
		}
	}
}

// TestCopyOverABadNetworkArrives: requests and answers of both journals get lost, again and again.
func TestCopyOverABadNetworkArrives(t *testing.T) {
	for seed := range uint64(20) {
		source, names := scene(t, seed, 5, 20)
		target := journal.Memory(0)
		from, to := journaltest.Lossy(source, seed), journaltest.Lossy(target, seed+100)
		tries := 0
		for journal.Copy(t.Context(), to, from) != nil {
			tries++
			require.Less(t, tries, 10_000)
		}
		require.Equal(t, tell(t, source, names), tell(t, target, names), "seed %d", seed)
	}
}

// TestCopyRefusesATargetWithOtherData: nothing is appended to it.
func TestCopyRefusesATargetWithOtherData(t *testing.T) {
	for _, shape := range shapes[1:] {
		source, names := scene(t, 2, shape[0], shape[1])
		for name, spoil := range map[string]func(target journal.Journal){
			"another journal": func(target journal.Journal) {
				_, err := target.Append(t.Context(), 0, journal.Change{
					Time: time.Now(), Items: []journal.Item{{Name: "other", Value: []byte("x")}},
				})
				require.NoError(t, err)
			},
			"more changes": func(target journal.Journal) {
				require.NoError(t, journal.Copy(t.Context(), target, source))
				_, err := target.Append(t.Context(), uint64(shape[0]+shape[1]), journal.Change{
					Time: time.Now(), Items: []journal.Item{{Name: "a", Value: []byte("x")}},
				})
				require.NoError(t, err)
			},
		} {
			target := journal.Memory(0)
			spoil(target)
			before := tell(t, target, append(names, "other"))
			require.ErrorIs(t, journal.Copy(t.Context(), target, source), journal.ErrDiffers, "%v, %s", shape, name)
			require.Equal(t, before, tell(t, target, append(names, "other")), "%v, %s", shape, name)
		}
	}
}

// altered is a journal that tells something else than what was stored.
type altered struct {
	journal.Journal
	alter func(c *journal.Change)
}

func (a altered) Changes(ctx context.Context, after uint64) iter.Seq2[journal.Change, error] {
	return a.each(a.Journal.Changes(ctx, after))
}

func (a altered) History(ctx context.Context, item string) iter.Seq2[journal.Change, error] {
	return a.each(a.Journal.History(ctx, item))
}

func (a altered) each(changes iter.Seq2[journal.Change, error]) iter.Seq2[journal.Change, error] {
	return func(yield func(journal.Change, error) bool) {
		for c, err := range changes {
			if a.alter(&c); !yield(c, err) {
				return
			}
		}
	}
}

// TestCopyComparesAtTheEnd: a target that has not kept what was appended is found, but not one that keeps times to the
// millisecond.
func TestCopyComparesAtTheEnd(t *testing.T) {
	source, _ := scene(t, 4, 3, 20)
	for name, alter := range map[string]func(c *journal.Change){
		"the actor":     func(c *journal.Change) { c.Actor += "x" },
		"the operation": func(c *journal.Change) { c.Operation = "x" },
		"the time":      func(c *journal.Change) { c.Time = c.Time.Truncate(time.Minute) },
		"the bytes": func(c *journal.Change) {
			for i := range c.Items {
				c.Items[i].Value = append(c.Items[i].Value, 0)
			}
		},
		"an item": func(c *journal.Change) {
			if c.Snapshot {
				c.Items = c.Items[1:]
			}
		},
		"another item": func(c *journal.Change) {
			if c.Snapshot {
				c.Items = append(c.Items, journal.Item{Name: "more", Value: []byte("x")})
			}
		},
		"what is gone": func(c *journal.Change) {
			for i := range c.Items {
				c.Items[i].Gone = true
			}
		},
	} {
		err := journal.Copy(t.Context(), altered{journal.Memory(0), alter}, source)
		require.ErrorIs(t, err, journal.ErrDiffers, name)
	}
	coarse := altered{journal.Memory(0), func(c *journal.Change) { c.Time = c.Time.Truncate(time.Millisecond) }}
	require.NoError(t, journal.Copy(t.Context(), coarse, source))
}

// summary is a journal that yields one snapshot after revision 0, which names no item that is gone.
type summary struct{ journal.Journal }

func (s summary) Changes(ctx context.Context, after uint64) iter.Seq2[journal.Change, error] {
	if after > 0 {
		return s.Journal.Changes(ctx, after)
	}
	return func(yield func(journal.Change, error) bool) {
		c, items := journal.Change{Snapshot: true}, make(map[string]journal.Item)
		for change, err := range s.Journal.Changes(ctx, 0) {
			if err != nil {
				yield(journal.Change{}, err)
				return
			}
			c.Revision = change.Revision
			for _, it := range change.Items {
				items[it.Name] = it
			}
		}
		for it := range maps.Values(items) {
			if !it.Gone {
				c.Items = append(c.Items, it)
			}
		}
		yield(c, nil)
	}
}

// TestRemovalInTheFirstChangeIsCopied, also to a store that names it in no change that it yields.
func TestRemovalInTheFirstChangeIsCopied(t *testing.T) {
	source, target := journal.Memory(0), journal.Memory(0)
	first := []journal.Item{{Name: "never", Gone: true}, {Name: "a", Value: []byte("x")}}
	for i, items := range [][]journal.Item{first, {{Name: "b", Value: []byte("x")}}} {
		_, err := source.Append(t.Context(), uint64(i), journal.Change{Time: time.Now(), Items: items})
		require.NoError(t, err)
	}
	require.NoError(t, journal.Copy(t.Context(), summary{target}, source))
	names := []string{"never", "a", "b"}
	require.Equal(t, tell(t, source, names), tell(t, target, names))
}

// counting is a journal that counts the bytes of what is appended to it.
type counting struct {
	journal.Journal
	bytes int
}

func (c *counting) Append(ctx context.Context, after uint64, change journal.Change) (uint64, error) {
	for _, it := range change.Items {
		c.bytes += len(it.Value)
	}
	return c.Journal.Append(ctx, after, change)
}

// TestEachItemIsCopiedOnce: its bytes come with its last change. Before, there may be no room for them: a change of
// 10 000 small items is within bounds, and all of them may have grown since.
func TestEachItemIsCopiedOnce(t *testing.T) {
	source, names := scene(t, 5, 3, 50)
	target, size := &counting{Journal: journal.Memory(0)}, 0
	require.NoError(t, journal.Copy(t.Context(), target, source))
	for _, value := range tell(t, source, names).Items {
		size += len(value)
	}
	require.NotZero(t, size)
	require.Equal(t, size, target.bytes)
}

// growing is a journal to which somebody appends at one of the calls.
type growing struct {
	journal.Journal
	calls int
	grow  func()
}

func (g *growing) Append(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
	if g.calls--; g.calls == 0 {
		g.grow()
	}
	return g.Journal.Append(ctx, after, c)
}

func (g *growing) Changes(ctx context.Context, after uint64) iter.Seq2[journal.Change, error] {
	if g.calls--; g.calls == 0 {
		g.grow()
	}
	return g.Journal.Changes(ctx, after)
}

func (g *growing) History(ctx context.Context, item string) iter.Seq2[journal.Change, error] {
	if g.calls--; g.calls == 0 {
		g.grow()
	}
	return g.Journal.History(ctx, item)
}

// TestCopyNoticesWriters: if a change is appended to the source during a copy, Copy fails at the end, and the next Copy
// copies that change too. If a change is appended to the target, every later Copy fails.
func TestCopyNoticesWriters(t *testing.T) {
	for calls := 1; ; calls++ {
		source, names := scene(t, 6, 3, 10)
		appended, target := false, journal.Memory(0)
		from := &growing{source, calls, func() {
			appended = true
			c := journal.Change{Time: time.Now(), Operation: "late", Items: []journal.Item{{Name: "a", Value: []byte("late")}}}
			_, err := source.Append(t.Context(), 13, c)
			require.NoError(t, err)
		}}
		err := journal.Copy(t.Context(), target, from)
		if !appended {
			require.NoError(t, err)
			require.Greater(t, calls, 8)
			break
		}
		if calls > 1 { // else it was there from the beginning
			require.ErrorIs(t, err, journal.ErrDiffers, "call %d", calls)
		}
		require.NoError(t, journal.Copy(t.Context(), target, source), "call %d", calls)
		require.Equal(t, tell(t, source, names), tell(t, target, names), "call %d", calls)
	}
	source, _ := scene(t, 6, 3, 10)
	target := journal.Memory(0)
	to := &growing{target, 2, func() { // right before the first Append
		_, err := target.Append(t.Context(), 0, journal.Change{Items: []journal.Item{{Name: "x"}}})
		require.NoError(t, err)
	}}
	for range 2 {
		require.ErrorIs(t, journal.Copy(t.Context(), to, source), journal.ErrDiffers)
	}
}

// TestCopyKeepsWhatItsSourceDrops: a source that goes on after a copy drops old records. A second copy has what is new,
// and the records that the first one has.
func TestCopyKeepsWhatItsSourceDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, names := scene(t, 8, 3, 10)
		target := journal.Memory(0)
		put := func(after uint64) {
			time.Sleep(45 * time.Minute) // the source keeps records for an hour
			items := []journal.Item{{Name: "a", Value: fmt.Append(nil, after)}}
			_, err := source.Append(t.Context(), after, journal.Change{Time: time.Now(), Items: items})
			require.NoError(t, err)
		}
		put(13)
		require.NoError(t, journal.Copy(t.Context(), target, source))
		before := tell(t, target, names)
		put(14)
		require.NoError(t, journal.Copy(t.Context(), target, source))
		want, got := tell(t, source, names), tell(t, target, names)
		require.Equal(t, want.Items, got.Items)
		require.EqualValues(t, 15, got.Head)
		require.Len(t, want.History["a"], 2)
		require.Equal(t, slices.Concat(want.History["a"][:1], before.History["a"]), got.History["a"])
		require.Equal(t, before.History["b"], got.History["b"])
		require.NotEmpty(t, got.History["b"])
	})
}

// TestCopyRefusesAJournalThatForgets: a record that a source should have, and has not.
func TestCopyRefusesAJournalThatForgets(t *testing.T) {
	source := journal.Memory(0)
	for i, names := range [][]string{{"a", "b"}, {"c"}, {"d"}} {
		c := journal.Change{Time: time.Now()}
		for _, name := range names {
			c.Items = append(c.Items, journal.Item{Name: name, Value: []byte("x")})
		}
		_, err := source.Append(t.Context(), uint64(i), c)
		require.NoError(t, err)
	}
	for name, want := range map[string]error{
		"a": journal.ErrTooLarge, "c": journal.ErrUnavailable, "d": journal.ErrUnavailable,
	} {
		target := journal.Memory(0)
		require.ErrorIs(t, journal.Copy(t.Context(), target, forgetful{source, name}), want, name)
		require.Empty(t, slices.Collect(maps.Keys(tell(t, target, nil).Items)))
	}
}

// forgetful is a journal that has no history of an item.
type forgetful struct {
	journal.Journal
	name string
}

func (f forgetful) History(ctx context.Context, item string) iter.Seq2[journal.Change, error] {
	if item == f.name {
		return func(func(journal.Change, error) bool) {}
	}
	return f.Journal.History(ctx, item)
}

func TestCopyNeedsTwoJournals(t *testing.T) {
	require.Error(t, journal.Copy(t.Context(), nil, journal.Memory(0)))
	require.Error(t, journal.Copy(t.Context(), journal.Memory(0), nil))
}
