package slots_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
)

func open(t testing.TB, dir string) *slots.Slots {
	t.Helper()
	s, err := slots.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func begin(t testing.TB, s *slots.Slots, o ledger.OpenLease) ledger.Slot {
	t.Helper()
	slot, err := s.Open(o)
	require.NoError(t, err)
	return slot
}

func claim(t testing.TB, s *slots.Slots) []ledger.OpenLease {
	t.Helper()
	list, err := s.Claim()
	require.NoError(t, err)
	return list
}

// kinds runs a test over slots that are mapped and over slots that are written.
func kinds(t *testing.T, test func(t *testing.T)) {
	t.Run("mapped", func(t *testing.T) {
		slots.SetBootID(t, "boot 1")
		test(t)
	})
	t.Run("written", func(t *testing.T) {
		slots.SetBootID(t, "boot 1")
		slots.WriteSlots(t)
		test(t)
	})
}

// files lists the files of slots in a folder.
func files(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "spent-*"))
	require.NoError(t, err)
	return names
}

// TestSpentIsClaimed: the next life gets what was noted last of each lease that was open, whatever its name.
func TestSpentIsClaimed(t *testing.T) {
	kinds(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "not", "there")
		s := open(t, dir)
		require.Empty(t, claim(t, s))
		var want []ledger.OpenLease
		lengths := []int{1, 31, 32, 33, 95, 96, 97, 223, 224, 225, 512}
		for i, n := range lengths {
			for j, m := range lengths {
				o := ledger.OpenLease{
					Account: ledger.Account{Key: ledger.Key{Plan: strings.Repeat("p", n), Subject: strings.Repeat("\x00", m)}, Start: int64(i) - 5},
					Day:     int64(-j), ID: uint64(i*100 + j + 1), Spent: 99, Known: true, // of these, Open uses nothing
				}
				slot := begin(t, s, o)
				last := int64(0)
				for _, last = range []int64{math.MaxInt64, math.MinInt64, 0, int64(i - j)}[:j%5] {
					require.NoError(t, slot.Note(last))
				}
				if i%2 == 0 {
					want = append(want, known(o, last))
				} else {
					slot.Free()
				}
			}
		}
		require.Empty(t, claim(t, s), "its own are not left by an earlier life")
		require.NoError(t, s.Close())
		require.ElementsMatch(t, want, claim(t, open(t, dir)))
	})
}

// TestClaimedUntilCleared: a crash between Claim and Clear loses nothing, and what was opened meanwhile is claimed too.
func TestClaimedUntilCleared(t *testing.T) {
	slots.SetBootID(t, "boot 1")
	dir := t.TempDir()
	var want []ledger.OpenLease
	for life := range 4 {
		s := open(t, dir)
		require.ElementsMatch(t, want, claim(t, s))
		require.ElementsMatch(t, want, claim(t, s), "again")
		require.NoError(t, begin(t, s, lease(life)).Note(int64(life)))
		want = append(want, known(lease(life), int64(life)))
		require.NoError(t, s.Close())
	}
	s := open(t, dir)
	require.NoError(t, s.Clear())
	require.ElementsMatch(t, want, claim(t, s), "not claimed, so not cleared")
	begin(t, s, lease(9))
	require.NoError(t, s.Clear())
	require.NoError(t, s.Clear())
	require.Empty(t, claim(t, s))
	require.NoError(t, s.Close())
	require.Equal(t, []ledger.OpenLease{known(lease(9), 0)}, claim(t, open(t, dir)))
}

// TestAnotherBootKnowsNothing: after a restart of the machine the files may be of any time.
func TestAnotherBootKnowsNothing(t *testing.T) {
	for _, boots := range [][2]string{{"boot 1", "boot 2"}, {"boot 1", ""}, {"", "boot 1"}, {"", ""}} {
		dir := t.TempDir()
		slots.SetBootID(t, boots[0])
		s := open(t, dir)
		require.NoError(t, begin(t, s, lease(1)).Note(5))
		require.NoError(t, s.Close())
		slots.SetBootID(t, boots[1])
		require.Equal(t, []ledger.OpenLease{lease(1)}, claim(t, open(t, dir)), "%q", boots)
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	link := filepath.Join(t.TempDir(), "link")
	names := []string{dir, dir + "/."}
	if os.Symlink(dir, link) == nil {
		names = append(names, link)
	}
	for _, name := range names {
		_, err := slots.Open(name)
		require.ErrorIs(t, err, slots.ErrLocked)
		require.ErrorContains(t, err, name)
	}
}

// TestOpenWaitsForOneThatIsEnding: a program that is being replaced may close its folder after the next one has opened
// it. The time is not the machine's, so a busy machine does not use up the wait.
func TestOpenWaitsForOneThatIsEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		closed := make(chan error)
		go func() {
			time.Sleep(20 * time.Millisecond)
			closed <- s.Close()
		}()
		again := open(t, dir)
		require.NoError(t, <-closed)
		require.NoError(t, again.Close())
	})
}

// TestFreedPlacesAreUsedAgain: files grow by need, and are removed when nothing is open.
func TestFreedPlacesAreUsedAgain(t *testing.T) {
	kinds(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		const perChunk = slots.ChunkSize / 128
		var open []ledger.Slot
		for i := range 3 * perChunk {
			open = append(open, begin(t, s, lease(i)))
		}
		for round := range 3 {
			for i, slot := range open {
				if i%3 == round {
					require.NoError(t, slot.Note(7))
					slot.Free()
					slot.Free() // does nothing
					require.ErrorIs(t, slot.Note(8), slots.ErrClosed)
					open[i] = begin(t, s, lease(i+round))
				}
			}
		}
		require.Len(t, files(t, dir), 1)
		info, err := os.Stat(files(t, dir)[0])
		require.NoError(t, err)
		require.EqualValues(t, 3*slots.ChunkSize, info.Size())
		for _, slot := range open {
			slot.Free()
		}
		require.NoError(t, s.Close())
		require.Empty(t, files(t, dir))
	})
}

// TestFlippedBitOfFile: a file with one bit flipped is read, and never tells a wrong number as known.
func TestFlippedBitOfFile(t *testing.T) {
	slots.SetBootID(t, "boot 1")
	slots.SetSync(t, func(*os.File) error { return nil })
	dir := t.TempDir()
	s := open(t, dir)
	want := make(map[uint64]ledger.OpenLease)
	var second ledger.Slot
	for i := range 4 {
		slot := begin(t, s, lease(i))
		require.NoError(t, slot.Note(int64(i)*1000))
		if want[lease(i).ID] = known(lease(i), int64(i)*1000); i == 1 {
			second = slot
			delete(want, lease(i).ID)
		}
	}
	second.Free()
	require.NoError(t, s.Close())
	name := files(t, dir)[0]
	whole, err := os.ReadFile(name)
	require.NoError(t, err)
	whole = whole[:5*128] // the last slot was never used
	require.NoError(t, os.Truncate(name, int64(len(whole))))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	s = open(t, dir)
	for bit := range len(whole) * 8 {
		_, err := f.WriteAt([]byte{whole[bit/8] ^ 1<<(bit%8)}, int64(bit/8))
		require.NoError(t, err)
		list := claim(t, s)
		_, err = f.WriteAt(whole[bit/8:bit/8+1], int64(bit/8))
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(list), len(want)-1, "bit %d: at most one lease is not told", bit)
		for _, o := range list {
			require.Equal(t, want[o.ID], o, "bit %d", bit)
		}
	}
	for cut := range len(whole) {
		require.NoError(t, os.WriteFile(name, whole[:cut], 0o600))
		require.Len(t, claim(t, s), []int{0, 1, 1, 2, 3}[cut/128], "the file was cut at %d", cut)
	}
}

// TestLostWritesAreNotBelieved: if the system could not write a file back, its numbers are not known, in this life and
// in the next ones, which the system does not tell of it again.
func TestLostWritesAreNotBelieved(t *testing.T) {
	slots.SetBootID(t, "boot 1")
	dir := t.TempDir()
	for i := range 2 {
		s := open(t, dir)
		require.NoError(t, begin(t, s, lease(i)).Note(5))
		require.NoError(t, s.Close())
	}
	failed := false
	slots.SetSync(t, func(*os.File) error {
		if failed {
			return nil
		}
		failed = true
		return errors.New("input/output error")
	})
	for range 3 {
		s := open(t, dir)
		list := claim(t, s)
		require.Len(t, list, 2)
		require.True(t, list[0].Known != list[1].Known, "%+v", list)
		require.NoError(t, s.Close())
	}
	s := open(t, dir)
	claim(t, s)
	require.NoError(t, s.Clear())
	require.Empty(t, files(t, dir))
}

func TestForeignFileIsAnError(t *testing.T) {
	for _, name := range []string{"spent-2-ABC-128", "spent-1-ABC-100", "spent-1-ABC", "spent-1-ABC-128-sure", "spent-"} {
		dir := t.TempDir()
		s := open(t, dir)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		_, err := s.Claim()
		require.ErrorContains(t, err, name)
	}
}

func TestBadNameIsRefused(t *testing.T) {
	s := open(t, t.TempDir())
	for _, key := range []ledger.Key{
		{}, {Plan: "p"}, {Subject: "s"}, {Plan: strings.Repeat("p", 513), Subject: "s"}, {Plan: "p", Subject: strings.Repeat("s", 513)},
	} {
		_, err := s.Open(ledger.OpenLease{Account: ledger.Account{Key: key}})
		require.ErrorContains(t, err, fmt.Sprintf("plan of %d bytes, subject of %d", len(key.Plan), len(key.Subject)))
	}
}

func TestClosedSlotsDoNothing(t *testing.T) {
	kinds(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		slot := begin(t, s, lease(1))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { require.NoError(t, s.Close()) })
		}
		wg.Wait()
		require.ErrorIs(t, slot.Note(1), slots.ErrClosed)
		slot.Free()
		_, err := s.Open(lease(2))
		require.ErrorIs(t, err, slots.ErrClosed)
		_, err = s.Claim()
		require.ErrorIs(t, err, slots.ErrClosed)
		require.ErrorIs(t, s.Clear(), slots.ErrClosed)
		require.Equal(t, []ledger.OpenLease{known(lease(1), 0)}, claim(t, open(t, dir)))
	})
}

// TestNoteWhileClosing: what a note has answered is what the next life claims, also if the slots are closed under a
// ledger.
func TestNoteWhileClosing(t *testing.T) {
	kinds(t, func(t *testing.T) {
		for range 20 {
			dir := t.TempDir()
			s := open(t, dir)
			slot := begin(t, s, lease(1))
			started, last := make(chan struct{}), make(chan int64)
			go func() {
				for n := int64(1); ; n++ {
					if err := slot.Note(n); err != nil {
						last <- n - 1
						return
					}
					if n == 1 {
						close(started)
					}
				}
			}()
			<-started
			require.NoError(t, s.Close())
			require.Equal(t, []ledger.OpenLease{known(lease(1), <-last)}, claim(t, open(t, dir)))
		}
	})
}

// TestCutFileIsAnErrorOfNote: a page that its file does not have any more is a refusal, not the end of the process.
func TestCutFileIsAnErrorOfNote(t *testing.T) {
	if !slots.Mapped {
		t.Skip("slots are not mapped here")
	}
	dir := t.TempDir()
	s := open(t, dir)
	slot := begin(t, s, lease(1))
	require.NoError(t, os.Truncate(files(t, dir)[0], 0))
	require.Error(t, slot.Note(1))
	slot.Free()
	slot = begin(t, s, lease(2))
	require.NoError(t, slot.Note(2), "its place was written again")
}

// TestManyLeases: a hundred thousand leases are open at once, and are claimed.
func TestManyLeases(t *testing.T) {
	slots.SetBootID(t, "boot 1")
	dir := t.TempDir()
	s := open(t, dir)
	const n = 100_000
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := g; i < n; i += 4 {
				require.NoError(t, begin(t, s, lease(i)).Note(int64(i)))
			}
		})
	}
	wg.Wait()
	require.NoError(t, s.Close())
	list := claim(t, open(t, dir))
	require.Len(t, list, n)
	slices.SortFunc(list, func(a, b ledger.OpenLease) int { return int(a.ID - b.ID) })
	for i, o := range list {
		if o != known(lease(i), int64(i)) {
			require.Equal(t, known(lease(i), int64(i)), o)
		}
	}
}
