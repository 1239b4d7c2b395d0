package ledger_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// keptSlots are slots in memory that survive their ledger.
type keptSlots struct {
	mu      sync.Mutex
	open    map[uint64]*keptSlot
	claimed []uint64
	reboot  bool // of the machine: what was spent is only a lower bound
	cleared int
}

type keptSlot struct {
	of    *keptSlots
	lease ledger.OpenLease
}

func (s *keptSlots) Claim() (leases []ledger.OpenLease, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, slot := range s.open {
		slot.lease.Known = !s.reboot
		leases, s.claimed = append(leases, slot.lease), append(s.claimed, id)
	}
	return leases, nil
}

func (s *keptSlots) Clear() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.claimed {
		delete(s.open, id)
	}
	s.claimed = nil
	s.cleared++
	return nil
}

func (s *keptSlots) Open(l ledger.OpenLease) (ledger.Slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[uint64]*keptSlot)
	}
	s.open[l.ID] = &keptSlot{s, l}
	return s.open[l.ID], nil
}

func (s *keptSlot) Note(spent int64) error {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.lease.Spent = spent
	return nil
}

func (s *keptSlot) Free() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	delete(s.of.open, s.lease.ID)
}

// TestKilledLedgerWastesNothing: the next ledger returns what the leases of one that was killed had not spent.
func TestKilledLedgerWastesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = 1500 // more than are ended in one commit
		engine, slots := ledger.NewMemory(), new(keptSlots)
		subject := func(i int) ledger.Key { return ledger.Key{Plan: "plan", Subject: fmt.Sprint(i)} }
		for life := range 3 {
			l, err := ledger.New(ledger.Config{Engine: engine, Slots: slots})
			require.NoError(t, err)
			for i := range keys {
				s := account(t, engine, subject(i))
				require.Equal(t, [3]int64{3 * int64(life), 0, 0}, [3]int64{s.Used, s.Held, int64(s.Leases)})
			}
			for i := range keys {
				for range 3 {
					_, err := l.Take(t.Context(), subject(i), daily(1000), 1)
					require.NoError(t, err)
				}
			}
			synctest.Wait()
		}
		newLedger(t, ledger.Config{Engine: engine, Slots: slots})
		require.Empty(t, slots.open)
	})
}

// TestRebootBillsTooLittle: if what was spent is only a lower bound, the rest stays counted, but not as used.
func TestRebootBillsTooLittle(t *testing.T) {
	engine, slots := ledger.NewMemory(), new(keptSlots)
	l, err := ledger.New(ledger.Config{Engine: engine, Slots: slots, Block: 16})
	require.NoError(t, err)
	for range 3 {
		_, err = l.TakeAt(t.Context(), noon, key, daily(1000), 1)
		require.NoError(t, err)
	}
	slots.reboot = true
	newLedger(t, ledger.Config{Engine: engine, Slots: slots})
	s := account(t, engine, key)
	require.Equal(t, [3]int64{16, 13, 0}, [3]int64{s.Used, s.Held, int64(s.Leases)})
}

// TestSlotsStayUntilLeasesHaveEnded: an engine that fails while leases are ended costs nothing: they are claimed again.
func TestSlotsStayUntilLeasesHaveEnded(t *testing.T) {
	engine, slots := &faulty{Engine: ledger.NewMemory()}, new(keptSlots)
	l, err := ledger.New(ledger.Config{Engine: engine, Slots: slots})
	require.NoError(t, err)
	_, err = l.TakeAt(t.Context(), noon, key, daily(1000), 7)
	require.NoError(t, err)
	engine.after.Store(true)
	_, err = ledger.New(ledger.Config{Engine: engine, Slots: slots})
	require.ErrorIs(t, err, ledger.ErrUnavailable)
	require.Equal(t, 1, slots.cleared, "only by the first")
	require.Len(t, slots.open, 1)
	engine.after.Store(false)
	newLedger(t, ledger.Config{Engine: engine, Slots: slots})
	require.Empty(t, slots.open)
	s := account(t, engine, key)
	require.Equal(t, [3]int64{7, 0, 0}, [3]int64{s.Used, s.Held, int64(s.Leases)})
}

// brokenSlots fail.
type brokenSlots struct {
	countedSlots
	claim, clear, open error
}

func (s *brokenSlots) Claim() ([]ledger.OpenLease, error) { return nil, s.claim }
func (s *brokenSlots) Clear() error                       { return s.clear }
func (s *brokenSlots) Open(ledger.OpenLease) (ledger.Slot, error) {
	return countedSlot{&s.countedSlots}, s.open
}

func TestBrokenSlotsAreUnavailable(t *testing.T) {
	broken := errors.New("broken")
	for _, slots := range []*brokenSlots{{claim: broken}, {clear: broken}} {
		_, err := ledger.New(ledger.Config{Engine: ledger.NewMemory(), Slots: slots})
		require.ErrorIs(t, err, ledger.ErrUnavailable)
		require.ErrorIs(t, err, broken)
	}
	l := newLedger(t, ledger.Config{Engine: ledger.NewMemory(), Slots: &brokenSlots{open: broken}})
	_, err := l.TakeAt(t.Context(), noon, key, daily(1000), 7)
	require.ErrorIs(t, err, ledger.ErrUnavailable)
	require.ErrorIs(t, err, broken)
}

// owned is an engine that no other process has.
type owned struct {
	ledger.Engine
	number uint32
}

func (o owned) Owner() uint32 { return o.number }

// TestOthersTellLeavesLeases: a ledger that starts first tells a crossing of another one's key. It does not end that
// one's leases, of which the other knows by its slots what was spent.
func TestOthersTellLeavesLeases(t *testing.T) {
	engine, slots := ledger.NewMemory(), new(keptSlots)
	l, err := ledger.New(ledger.Config{Engine: owned{engine, 1}, Slots: slots})
	require.NoError(t, err)
	for range 55 {
		_, err = l.TakeAt(t.Context(), noon, key, daily(100), 1)
		require.NoError(t, err)
	}
	next, told := owned{engine, 2}, make(chan ledger.Crossing, 1) // the process has been killed
	other := newLedger(t, ledger.Config{Engine: next, OnThreshold: func(c ledger.Crossing) { told <- c }})
	require.Equal(t, key, (<-told).Account.Key)
	require.NoError(t, other.Close())
	newLedger(t, ledger.Config{Engine: next, Slots: slots})
	s := account(t, engine, key)
	require.Equal(t, [3]int64{55, 0, 0}, [3]int64{s.Used, s.Held, int64(s.Leases)})
}

// TestLeaseNamesItsOpening: on an engine of its own, a ledger puts the number of the opening into the IDs of its
// leases.
func TestLeaseNamesItsOpening(t *testing.T) {
	for _, number := range []uint32{1, 1 << 31} {
		slots := new(keptSlots)
		l := newLedger(t, ledger.Config{Engine: owned{ledger.NewMemory(), number}, Slots: slots})
		_, err := l.TakeAt(t.Context(), noon, key, daily(1000), 7)
		require.NoError(t, err)
		for id, slot := range slots.open {
			require.Equal(t, number, uint32(id>>32))
			require.Equal(t, ledger.Account{Key: key, Start: noon.Truncate(24 * time.Hour).Unix()}, slot.lease.Account)
			require.Equal(t, noon.Truncate(24*time.Hour).Unix(), slot.lease.Day)
		}
		require.Len(t, slots.open, 1)
	}
}
