package slots_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
)

// lease is one of many: each has another name, another ID and other days.
func lease(i int) ledger.OpenLease {
	return ledger.OpenLease{
		Account: ledger.Account{Key: ledger.Key{Plan: "gold", Subject: "subject " + strings.Repeat("x", i%3)}, Start: 20_000*86400 + int64(i)},
		Day:     20_003*86400 - int64(i), ID: 1<<63 + uint64(i),
	}
}

func known(o ledger.OpenLease, spent int64) ledger.OpenLease {
	o.Spent, o.Known = spent, true
	return o
}

var leases = map[string]ledger.OpenLease{
	"short":  {Account: ledger.Account{Key: ledger.Key{Plan: "p", Subject: "s"}}, ID: 1, Day: 1},
	"usual":  lease(1),
	"before": {Account: ledger.Account{Key: ledger.Key{Plan: "p", Subject: "s"}, Start: -86400}, ID: math.MaxUint64, Day: -86400},
	"long": {Account: ledger.Account{Key: ledger.Key{
		Plan: strings.Repeat("p", 512), Subject: strings.Repeat("\xff", 512),
	}}, ID: 7},
}

func TestSlotTellsItsLease(t *testing.T) {
	for name, o := range leases {
		for _, n := range []int64{0, 1, -1, 5, 1 << 40, math.MaxInt64, math.MinInt64} {
			want := known(o, n)
			for _, room := range []int{0, 100} { // what follows the texts is not read
				got, ok := slots.Decode(append(slots.Encode(want, "boot"), make([]byte, room)...), "boot")
				require.True(t, ok, name)
				require.Equal(t, want, got)
			}
			for _, boot := range []string{"other", ""} {
				got, ok := slots.Decode(slots.Encode(want, "boot"), boot)
				require.True(t, ok, name)
				require.Equal(t, o, got, "Spent is 0 and Known false")
			}
			got, _ := slots.Decode(slots.Encode(want, ""), "")
			require.False(t, got.Known, "a boot without a name is never the same")
		}
	}
}

// TestFlippedBitIsNotBelieved: of a slot with one bit flipped, the number is exact, or it is not told.
func TestFlippedBitIsNotBelieved(t *testing.T) {
	for name, o := range leases {
		for _, n := range []int64{0, 5, 1 << 40, -1} {
			want, whole := known(o, n), slots.Encode(known(o, n), "boot")
			for bit := range len(whole) * 8 {
				b := slices.Clone(whole)
				b[bit/8] ^= 1 << (bit % 8)
				got, ok := slots.Decode(b, "boot")
				if bit < slots.FixedAt*8 {
					require.True(t, ok, "%s, bit %d", name, bit)
					require.Equal(t, want, got, "two copies are whole")
				} else {
					require.False(t, ok, "%s, bit %d: got %+v", name, bit, got)
				}
			}
		}
	}
}

// TestNoteIsMadeOrNot: a process is killed after any of the stores of a note, in whatever order they are made. The
// number is the one before or the one after. One more flipped bit makes it unknown at worst.
func TestNoteIsMadeOrNot(t *testing.T) {
	for _, numbers := range [][2]int64{{0, 1}, {5, 6}, {4, 5}, {6, 5}, {255, 256}, {1 << 32, 1<<32 - 1}, {0, -1}} {
		before, after := slots.Encode(known(lease(1), numbers[0]), "boot"), slots.Encode(known(lease(1), numbers[1]), "boot")
		for made := range 8 { // which of the three copies are new
			b, count := slices.Clone(before), 0
			for i := range 3 {
				if made&(1<<i) != 0 {
					copy(b[8*i:8*i+8], after[8*i:])
					count++
				}
			}
			want := numbers[min(1, count/2)]
			got, ok := slots.Decode(b, "boot")
			require.True(t, ok)
			require.Equal(t, known(lease(1), want), got, "%v, copies %b", numbers, made)
			for bit := range slots.FixedAt * 8 {
				flipped := slices.Clone(b)
				flipped[bit/8] ^= 1 << (bit % 8)
				got, ok := slots.Decode(flipped, "boot")
				require.True(t, ok)
				if got.Known {
					require.Contains(t, numbers, got.Spent)
				} else {
					require.Zero(t, got.Spent)
				}
			}
		}
	}
}

// TestMixedSlotIsUnknown: parts of two leases, or zeros, are no number, as after a power failure.
func TestMixedSlotIsUnknown(t *testing.T) {
	one, two := slots.Encode(known(lease(1), 5), "boot"), slots.Encode(known(lease(2), 5), "boot")
	for name, number := range map[string][]byte{
		"zeros": make([]byte, slots.FixedAt), "ones": []byte(strings.Repeat("\xff", slots.FixedAt)), "another lease": two[:slots.FixedAt],
	} {
		got, ok := slots.Decode(slices.Concat(number, one[slots.FixedAt:]), "boot")
		require.True(t, ok, name)
		require.Equal(t, lease(1), got, name)
	}
	for at := slots.FixedAt + 1; at < slots.TextAt; at++ {
		b := slices.Concat(one[:at], two[at:])
		if string(b[slots.FixedAt:]) == string(one[slots.FixedAt:]) || string(b[slots.FixedAt:]) == string(two[slots.FixedAt:]) {
			continue
		}
		_, ok := slots.Decode(b, "boot")
		require.False(t, ok, "cut at %d", at)
	}
	_, ok := slots.Decode(make([]byte, 128), "boot")
	require.False(t, ok, "a free slot")
}

func FuzzDecode(f *testing.F) {
	for _, o := range leases {
		f.Add(slots.Encode(known(o, 5), "boot"))
	}
	f.Add(make([]byte, 128))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < slots.TextAt {
			return // a file yields whole slots
		}
		o, ok := slots.Decode(b, "boot")
		if ok && o.Known {
			again := slots.Encode(o, "boot")
			require.Equal(t, again[slots.FixedAt:], b[slots.FixedAt:len(again)])
		}
	})
}
