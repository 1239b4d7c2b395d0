package journal_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// node is what a program keeps of a topic in these tests: the items themselves.
type node struct {
	*journal.Topic
	items map[string]string
	fail  error // of apply
}

func follow(t *testing.T, j journal.Journal) *node {
	n := &node{items: make(map[string]string)}
	var err error
	n.Topic, err = journal.Follow(t.Context(), j, n.apply)
	require.NoError(t, err)
	return n
}

func (n *node) apply(items iter.Seq[journal.Item], reset bool) error {
	if n.fail != nil {
		return n.fail
	}
	if reset {
		clear(n.items)
	}
	for it := range items {
		if it.Gone {
			delete(n.items, it.Name)
		} else {
			n.items[it.Name] = string(it.Value)
		}
	}
	return nil
}

// put appends value to an item, which it creates if there is none.
func (n *node) put(ctx context.Context, name, value string) error {
	return n.Change(ctx, "Put", func(uint64) ([]journal.Item, error) {
		return []journal.Item{{Name: name, Value: []byte(n.items[name] + value)}}, nil
	})
}

func (n *node) remove(ctx context.Context, name string) error {
	return n.Change(ctx, "Remove", func(uint64) ([]journal.Item, error) {
		return []journal.Item{{Name: name, Gone: true}}, nil
	})
}

// faulty is a journal some of whose methods a test replaces; nil is that of Journal.
type faulty struct {
	journal.Journal
	append  func(ctx context.Context, after uint64, c journal.Change) (uint64, error)
	changes func(after uint64) []journal.Change
}

func (f *faulty) Append(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
	if f.append != nil {
		return f.append(ctx, after, c)
	}
	return f.Journal.Append(ctx, after, c)
}

func (f *faulty) Changes(ctx context.Context, after uint64) iter.Seq2[journal.Change, error] {
	if f.changes == nil {
		return f.Journal.Changes(ctx, after)
	}
	return func(yield func(journal.Change, error) bool) {
		for _, c := range f.changes(after) {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func TestTheSlowerOfTwoWritersReadsOnAndDecidesAgain(t *testing.T) {
	j := journal.Memory(0)
	a, b := follow(t, j), follow(t, j)
	require.NoError(t, a.put(t.Context(), "x", "a"))
	require.NoError(t, b.put(t.Context(), "x", "b"))
	require.Equal(t, "ab", b.items["x"])
	require.Equal(t, "a", a.items["x"])
	require.NoError(t, a.Refresh(t.Context()))
	require.Equal(t, b.items, a.items)
}

// What is refused, and what needs no change, is decided at the head as well: the other writer may just have made it
// possible, or necessary.
func TestRefusalsAndNothingToDoAreDecidedAtTheHead(t *testing.T) {
	absent := errors.New("absent")
	for name, tt := range map[string]struct {
		err  error // of decide, where x is absent
		want error // where the journal does not answer
	}{
		"refused":       {absent, absent},
		"nothing to do": {nil, journal.ErrUnavailable},
	} {
		down := false
		j := journal.Memory(0)
		a, b := follow(t, j), follow(t, &faulty{Journal: j, changes: func(after uint64) []journal.Change {
			if down {
				return []journal.Change{{Revision: after + 9}} // which the topic refuses
			}
			return slices.Collect(firsts(j.Changes(t.Context(), after)))
		}})
		remove := func() error {
			return b.Change(t.Context(), "Remove", func(uint64) ([]journal.Item, error) {
				if _, has := b.items["x"]; !has {
					return nil, tt.err
				}
				return []journal.Item{{Name: "x", Gone: true}}, nil
			})
		}
		require.ErrorIs(t, remove(), tt.err, name)
		require.NoError(t, a.put(t.Context(), "x", "a"))
		down = true
		require.ErrorIs(t, remove(), tt.want, name)
		down = false
		require.NoError(t, remove(), name)
		require.NoError(t, a.Refresh(t.Context()))
		require.Empty(t, a.items, name)
		require.Empty(t, b.items, name)
		require.ErrorIs(t, remove(), tt.err, name)
	}
}

// firsts yields the changes of a journal that does not fail.
func firsts(changes iter.Seq2[journal.Change, error]) iter.Seq[journal.Change] {
	return func(yield func(journal.Change) bool) {
		for c := range changes {
			if !yield(c) {
				return
			}
		}
	}
}

func TestDecideIsToldTheRevisionOfItsChange(t *testing.T) {
	for name, j := range map[string]journal.Journal{"journal": journal.Memory(0), "no journal": nil} {
		n := follow(t, j)
		for want := range uint64(3) {
			require.NoError(t, n.Change(t.Context(), "Put", func(next uint64) ([]journal.Item, error) {
				require.Equal(t, want+1, next, name)
				return []journal.Item{{Name: "x"}}, nil
			}))
		}
	}
}

func TestAChangeSaysWhoMadeItAndWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := journal.Memory(0)
		who := journal.Origin{Actor: "AKIDEXAMPLE", Source: "192.0.2.1", Request: "r1"}
		require.NoError(t, follow(t, j).put(journal.NewContext(t.Context(), who), "x", "1"))
		for c, err := range j.History(t.Context(), "x") {
			require.NoError(t, err)
			require.Equal(t, journal.Change{
				Revision: 1, Time: time.Now().UTC(), Origin: who, Operation: "Put", Items: []journal.Item{{Name: "x"}},
			}, c)
		}
	})
}

func TestFromContextReturnsWhatNewContextWasGiven(t *testing.T) {
	_, found := journal.FromContext(t.Context())
	require.False(t, found)
	who := journal.Origin{Request: "r1"}
	ctx := journal.NewContext(t.Context(), who)
	got, found := journal.FromContext(ctx)
	require.True(t, found)
	require.Equal(t, who, got)
	_, found = journal.FromContext(journal.NewContext(ctx, journal.Origin{}))
	require.False(t, found, "the inner one counts")
}

func TestNothingIsAppendedThatDecideDoesNotReturn(t *testing.T) {
	j, no := journal.Memory(0), errors.New("no")
	n := follow(t, &faulty{Journal: j, append: func(context.Context, uint64, journal.Change) (uint64, error) {
		t.Error("appended")
		return 0, no
	}})
	decide := func(items []journal.Item, err error) error {
		return n.Change(t.Context(), "Put", func(uint64) ([]journal.Item, error) { return items, err })
	}
	require.Equal(t, no, decide([]journal.Item{{Name: "x"}}, no))
	require.NoError(t, decide(nil, nil))
	require.ErrorIs(t, decide([]journal.Item{{Name: "x"}, {Name: "x"}}, nil), journal.ErrTooLarge)
	require.Empty(t, n.items)
}

func TestAnEndedContextChangesNothing(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, j := range map[string]journal.Journal{"journal": journal.Memory(0), "no journal": nil} {
		n := follow(t, j)
		for range 20 { // a select would let every other one through
			err := n.put(ended, "x", "1")
			require.ErrorIs(t, err, context.Canceled, name)
			require.NotErrorIs(t, err, journal.ErrUnavailable, name)
			require.ErrorIs(t, n.Refresh(ended), context.Canceled, name)
		}
		require.NoError(t, n.Refresh(t.Context()))
		require.Empty(t, n.items, name)
	}
}

func TestAWriterThatWaitsForItsTurnGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := follow(t, journal.Memory(0))
		require.NoError(t, n.Change(t.Context(), "Put", func(uint64) ([]journal.Item, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.ErrorIs(t, n.put(ctx, "x", "1"), context.DeadlineExceeded)
			return nil, nil
		}))
		require.NoError(t, n.put(t.Context(), "x", "2"))
		require.Equal(t, "2", n.items["x"])
	})
}

// position is what Position returns.
type position struct {
	revision uint64
	behind   bool
}

func positionOf(t *journal.Topic) position {
	revision, behind := t.Position()
	return position{revision, behind}
}

// Position answers while a change is under way, here from within the store.
func TestPositionTellsWhereTheTopicIsWithoutWaiting(t *testing.T) {
	f := &faulty{Journal: journal.Memory(0)}
	n := follow(t, f)
	require.Equal(t, position{0, false}, positionOf(n.Topic))
	var storing position
	f.append = func(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
		storing = positionOf(n.Topic)
		return f.Journal.Append(ctx, after, c)
	}
	require.NoError(t, n.put(t.Context(), "x", "1"))
	require.Equal(t, position{0, true}, storing)
	require.Equal(t, position{1, false}, positionOf(n.Topic))

	f.append = func(context.Context, uint64, journal.Change) (uint64, error) { return 0, errors.New("lost") }
	require.ErrorIs(t, n.put(t.Context(), "x", "2"), journal.ErrUnavailable)
	require.Equal(t, position{1, true}, positionOf(n.Topic))
	require.NoError(t, n.Refresh(t.Context()))
	require.Equal(t, position{1, false}, positionOf(n.Topic))

	require.Equal(t, position{1, false}, positionOf(follow(t, f.Journal).Topic), "another reads it all")
}

func TestWithoutAJournalPositionCountsTheChanges(t *testing.T) {
	n := follow(t, nil)
	require.NoError(t, n.put(t.Context(), "x", "1"))
	require.NoError(t, n.put(t.Context(), "x", "2"))
	require.Equal(t, position{2, false}, positionOf(n.Topic))
}

func TestALostAnswerIsHealedByTheNextChangeOrRefresh(t *testing.T) {
	lost := errors.New("lost")
	for _, heal := range []func(*node) error{
		func(n *node) error { return n.Refresh(t.Context()) },
		func(n *node) error { return n.put(t.Context(), "y", "1") },
	} {
		f := &faulty{Journal: journal.Memory(0)}
		n := follow(t, f)
		f.append = func(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
			_, err := f.Journal.Append(ctx, after, c)
			require.NoError(t, err)
			return 0, lost
		}
		err := n.put(t.Context(), "x", "1")
		require.ErrorIs(t, err, journal.ErrUnavailable)
		require.ErrorIs(t, err, lost)
		require.Empty(t, n.items)
		f.append = nil
		require.NoError(t, heal(n))
		require.Equal(t, "1", n.items["x"])
		require.NoError(t, n.put(t.Context(), "x", "2"))
		require.Equal(t, "12", n.items["x"])
	}
}

// A request whose answer the writer has given up on may reach the store later, if nothing else has been appended.
func TestALateRequestLandsOnceOrIsKeptOut(t *testing.T) {
	for _, otherFirst := range []bool{false, true} {
		f := &faulty{Journal: journal.Memory(0)}
		n := follow(t, f)
		var late func() error
		f.append = func(_ context.Context, after uint64, c journal.Change) (uint64, error) {
			late = func() error {
				_, err := f.Journal.Append(t.Context(), after, c)
				return err
			}
			return 0, errors.New("no answer in time")
		}
		require.ErrorIs(t, n.put(t.Context(), "x", "late "), journal.ErrUnavailable)
		f.append = nil
		require.NoError(t, n.Refresh(t.Context()))
		require.Empty(t, n.items)
		if otherFirst {
			require.NoError(t, n.put(t.Context(), "x", "other "))
			require.ErrorIs(t, late(), journal.ErrBehind)
		} else {
			require.NoError(t, late())
		}
		require.NoError(t, n.put(t.Context(), "x", "last"))
		require.Equal(t, map[bool]string{false: "late last", true: "other last"}[otherFirst], n.items["x"])
		require.Equal(t, n.items, follow(t, f.Journal).items)
	}
}

func TestAnEmptySnapshotDropsEverything(t *testing.T) {
	f := &faulty{Journal: journal.Memory(0)}
	n := follow(t, f)
	require.NoError(t, n.put(t.Context(), "x", "1"))
	f.changes = func(uint64) []journal.Change { return []journal.Change{{Revision: 2, Snapshot: true}} }
	require.NoError(t, n.Refresh(t.Context()))
	require.Empty(t, n.items)
}

// Reading before each change would double the requests to a store.
func TestATopicReadsOnOnlyIfItMayBeBehind(t *testing.T) {
	f := &faulty{Journal: journal.Memory(0)}
	n := follow(t, f)
	require.NoError(t, n.Refresh(t.Context()))
	f.changes = func(uint64) []journal.Change {
		t.Error("the topic reads on")
		return nil
	}
	require.NoError(t, n.put(t.Context(), "x", "1"))
	require.NoError(t, n.put(t.Context(), "x", "2"))
}

func TestTimesGoToTheStoreInUTC(t *testing.T) {
	f := &faulty{Journal: journal.Memory(0)}
	f.append = func(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
		require.Equal(t, time.UTC, c.Time.Location())
		return f.Journal.Append(ctx, after, c)
	}
	require.NoError(t, follow(t, f).put(t.Context(), "x", "1"))
}

// answering returns an empty journal whose Append stores nothing and has this answer.
func answering(revision uint64, err error) journal.Journal {
	return &faulty{Journal: journal.Memory(0), append: func(context.Context, uint64, journal.Change) (uint64, error) {
		return revision, err
	}}
}

// A store that says that the writer is behind, but has nothing newer, must not keep the writer in a loop.
func TestAStoreThatRefusesForNoReasonIsUnavailable(t *testing.T) {
	n := follow(t, answering(0, journal.ErrBehind))
	require.ErrorIs(t, n.put(t.Context(), "x", "1"), journal.ErrUnavailable)
}

func TestAStoreThatRefusesTheSizeHasStoredNothing(t *testing.T) {
	n := follow(t, answering(0, journal.ErrTooLarge))
	err := n.put(t.Context(), "x", "1")
	require.ErrorIs(t, err, journal.ErrTooLarge)
	require.NotErrorIs(t, err, journal.ErrUnavailable)
}

func TestAStoreThatStoresElsewhereIsUnavailable(t *testing.T) {
	n := follow(t, answering(2, nil))
	require.ErrorIs(t, n.put(t.Context(), "x", "1"), journal.ErrUnavailable)
	require.Empty(t, n.items)
}

// Each step is a revision, with a star if it is of a snapshot. The reader has read up to revision 2.
func TestChangesOutOfOrderAreRefused(t *testing.T) {
	for _, c := range []struct {
		steps string
		right bool
	}{
		{"", true},
		{"3", true},
		{"3 4 5", true},
		{"2*", true},
		{"5*", true},
		{"5* 5* 6", true},
		{"4", false},
		{"2", false},
		{"1", false},
		{"3 5", false},
		{"3 3", false},
		{"1*", false},
		{"3 3*", false},
		{"3 4*", false},
		{"5* 6*", false},
		{"5* 4*", false},
		{"5* 5", false},
		{"5* 7", false},
		{"5* 6 6*", false},
	} {
		f := &faulty{Journal: journal.Memory(0)}
		n := follow(t, f)
		require.NoError(t, n.put(t.Context(), "x", "1"))
		require.NoError(t, n.put(t.Context(), "x", "2"))
		f.changes = func(after uint64) (changes []journal.Change) {
			require.EqualValues(t, 2, after)
			for step := range strings.FieldsSeq(c.steps) {
				number, snapshot := strings.CutSuffix(step, "*")
				revision, err := strconv.ParseUint(number, 10, 64)
				require.NoError(t, err)
				items := []journal.Item{{Name: step}}
				changes = append(changes, journal.Change{Revision: revision, Snapshot: snapshot, Items: items})
			}
			return changes
		}
		err := n.Refresh(t.Context())
		if c.right {
			require.NoError(t, err, c.steps)
			want := strings.Fields(c.steps)
			if !strings.Contains(c.steps, "*") {
				want = append(want, "x") // which a snapshot drops
			}
			require.ElementsMatch(t, slices.Compact(want), slices.Collect(maps.Keys(n.items)), c.steps)
			continue
		}
		require.ErrorIs(t, err, journal.ErrUnavailable, c.steps)
		require.Equal(t, map[string]string{"x": "12"}, n.items, c.steps)
	}
}

func TestAnItemThatCannotBeAppliedIsOfferedAgain(t *testing.T) {
	j, unreadable := journal.Memory(0), errors.New("unreadable")
	a, b := follow(t, j), follow(t, j)
	a.fail = unreadable
	err := a.put(t.Context(), "x", "1")
	require.ErrorIs(t, err, journal.ErrUnavailable)
	require.ErrorIs(t, err, unreadable)
	require.NoError(t, b.put(t.Context(), "y", "2"))
	require.ErrorIs(t, a.put(t.Context(), "z", "3"), unreadable)
	require.ErrorIs(t, a.Refresh(t.Context()), unreadable)
	a.fail = nil
	require.NoError(t, a.Refresh(t.Context()))
	require.Equal(t, map[string]string{"x": "1", "y": "2"}, a.items)
}

func TestWithoutAJournalAFailedChangeLeavesTheTopicUsable(t *testing.T) {
	n := follow(t, nil)
	n.fail = errors.New("unreadable")
	require.ErrorIs(t, n.put(t.Context(), "x", "1"), n.fail)
	n.fail = nil
	require.NoError(t, n.Refresh(t.Context()))
	require.NoError(t, n.put(t.Context(), "x", "2"))
	require.Equal(t, map[string]string{"x": "2"}, n.items)
}

func TestFollowFailsWithTheStoreAndWithApply(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	j := journal.Memory(0)
	require.NoError(t, follow(t, j).put(t.Context(), "x", "1"))
	n := &node{items: make(map[string]string)}
	topic, err := journal.Follow(ended, j, n.apply)
	require.Nil(t, topic)
	require.ErrorIs(t, err, journal.ErrUnavailable)
	require.ErrorIs(t, err, context.Canceled)

	n.fail = errors.New("unreadable")
	topic, err = journal.Follow(t.Context(), j, n.apply)
	require.Nil(t, topic)
	require.Equal(t, n.fail, err)

	gap := func(uint64) []journal.Change { return []journal.Change{{Revision: 2}} }
	n.fail = nil
	_, err = journal.Follow(t.Context(), &faulty{Journal: j, changes: gap}, n.apply)
	require.ErrorIs(t, err, journal.ErrUnavailable)
}

func TestAReaderFromBeforeACompactionDropsWhatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := journal.Memory(time.Hour)
		a, b := follow(t, j), follow(t, j)
		require.NoError(t, a.put(t.Context(), "live", "1"))
		require.NoError(t, a.put(t.Context(), "gone", "1"))
		require.NoError(t, b.Refresh(t.Context()))
		require.NoError(t, a.remove(t.Context(), "gone"))
		time.Sleep(2 * time.Hour)
		require.NoError(t, a.put(t.Context(), "new", "1"))
		require.NoError(t, b.Refresh(t.Context()))
		want := map[string]string{"live": "1", "new": "1"}
		require.Equal(t, want, b.items)
		require.Equal(t, want, follow(t, j).items)
	})
}

// Random changes by several topics of one journal, some of whose records go at once, against one map.
func TestTopicsAgreeWithAModel(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(17, seed))
		j := journal.Memory([]time.Duration{1, 0}[seed%2])
		nodes, model := []*node{follow(t, j), follow(t, j), follow(t, j)}, make(map[string]string)
		for step := range 200 {
			n, name := nodes[r.IntN(len(nodes))], fmt.Sprint(r.IntN(8))
			switch r.IntN(8) {
			case 0:
				require.NoError(t, n.Refresh(t.Context()))
				require.Equal(t, model, n.items)
			case 1, 2:
				require.NoError(t, n.remove(t.Context(), name))
				delete(model, name)
			default:
				require.NoError(t, n.put(t.Context(), name, fmt.Sprint(step, " ")))
				model[name] += fmt.Sprint(step, " ")
			}
		}
		for _, n := range append(nodes, follow(t, j)) {
			require.NoError(t, n.Refresh(t.Context()))
			require.Equal(t, model, n.items, "seed %d", seed)
		}
	}
}

func TestConcurrentChangesOfOneItemLandOnceEach(t *testing.T) {
	j := journal.Memory(time.Nanosecond)
	var nodes []*node
	var wg sync.WaitGroup
	for range 4 {
		n := follow(t, j)
		nodes = append(nodes, n)
		for range 4 {
			wg.Go(func() {
				for range 50 {
					if err := n.put(t.Context(), "x", "1"); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	for _, n := range nodes {
		require.NoError(t, n.Refresh(t.Context()))
		require.Equal(t, strings.Repeat("1", 800), n.items["x"])
	}
}

// An operation says what has changed. One that is too long is cut between two characters, and the change is made.
func TestRecordSaysWhatHasChanged(t *testing.T) {
	j := journal.Memory(0)
	n := follow(t, j)
	for _, operation := range []string{"Put: 1 → 2", strings.Repeat("é", 600), strings.Repeat("é", 601)} {
		require.NoError(t, n.Record(t.Context(), func(uint64) (string, []journal.Item, error) {
			return operation, []journal.Item{{Name: "x", Value: []byte(operation)}}, nil
		}))
		for c, err := range j.History(t.Context(), "x") {
			require.NoError(t, err)
			if len(operation) <= 1200 {
				require.Equal(t, operation, c.Operation)
			} else {
				require.Equal(t, strings.Repeat("é", 598)+"…", c.Operation)
			}
			break
		}
	}
}
