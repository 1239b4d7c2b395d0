package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// rowsOf returns all rows that a scene leaves.
func rowsOf(t testing.TB, seed uint64, format uint8) (all [][]byte) {
	e, s := NewMemory(), newScene(seed)
	l := newLife(e, format)
	for range 200 {
		s.now += s.Int64N(dayLong)
		l.number++
		_, _, err := l.apply(t.Context(), &batch{number: l.number, ops: []op{s.op(), s.op(), s.op()}})
		require.NoError(t, err)
	}
	for key, err := range e.Keys(t.Context(), "") {
		require.NoError(t, err)
		if key[0] == indexRow {
			continue
		}
		row, err := e.Load(t.Context(), key)
		require.NoError(t, err)
		all = append(all, row)
	}
	return all
}

// TestRowsComeBackAsTheyWere: a decoded row encodes to the same bytes, and from a record that was used before as well.
func TestRowsComeBackAsTheyWere(t *testing.T) {
	var used record
	for seed := range uint64(20) {
		format := uint8(1 + seed%2)
		for _, row := range rowsOf(t, seed, format) {
			require.NoError(t, used.decode(row))
			again, err := used.encode(format)
			require.NoError(t, err)
			require.Equal(t, row, again)
		}
	}
}

// TestExtremeNumbersComeBack: differences that overflow are no harm.
func TestExtremeNumbersComeBack(t *testing.T) {
	extremes := []int64{math.MinInt64, -1, 0, 1, math.MaxInt64}
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func() int64 { return extremes[rng.IntN(len(extremes))] }
	for range 1000 {
		start := pick()
		r := record{version: version{rng.Uint64(), rng.Uint64()}, states: []state{{
			totals: totals{
				start: start, limit: pick(), used: pick(), held: pick(), adjustments: pick(),
				crossed: percents{rng.Uint64()}, told: percents{0, rng.Uint64()},
			},
			whole: true,
			days:  []dayTotals{{pick(), pick(), pick(), pick(), pick()}},
			open:  []leased{{rng.Uint64(), pick(), pick(), pick()}},
		}}}
		r.states[0].settleDay()
		row, err := r.encode(format1)
		require.NoError(t, err)
		var got record
		require.NoError(t, got.decode(row))
		got.sessions, r.sessions, r.scratch = nil, nil, nil
		require.Equal(t, r, got)
	}
}

// TestEveryFlippedBitIsRefused, and every row that is cut off or goes on after its end.
func TestEveryFlippedBitIsRefused(t *testing.T) {
	var r record
	for _, row := range append(rowsOf(t, 3, 1), rowsOf(t, 4, 2)...) {
		for i := range len(row) * 8 {
			row[i/8] ^= 1 << (i % 8)
			err := r.decode(row)
			require.Error(t, err)
			if i >= 8 {
				require.ErrorIs(t, err, errDamaged)
			}
			row[i/8] ^= 1 << (i % 8)
		}
		for n := range row {
			require.Error(t, r.decode(row[:n:n]))
		}
		require.ErrorIs(t, r.decode(append(row, 0)), errDamaged)
	}
}

// TestHugeCountIsRefused, also one that an int of 32 bits has no room for.
func TestHugeCountIsRefused(t *testing.T) {
	for _, n := range []uint64{11, math.MaxInt32, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 + 3, math.MaxUint64} {
		c := coder{b: append(binary.AppendUvarint(nil, n), make([]byte, 10)...)}
		require.Zero(t, c.count(0, 1), n)
		require.True(t, c.bad, n)
		_, err := answers(nil).decode(binary.AppendUvarint(binary.AppendUvarint(nil, n<<16), 1))
		require.ErrorIs(t, err, errDamaged, n)
	}
}

// sign gives a row the checksum of its contents.
func sign(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(bytes.Clone(body), crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

// TestContentsOutOfBoundsAreRefused even with a good checksum, which protects from chance, not from a mistake.
func TestContentsOutOfBoundsAreRefused(t *testing.T) {
	good := record{version: version{7, 8}, states: []state{
		{totals: totals{start: 10}, whole: true, days: []dayTotals{{day: 10}, {day: 20}}},
		{totals: totals{start: 20}, whole: true, days: []dayTotals{{day: 20}}},
	}}
	encode := func(change func(r *record)) []byte {
		r := record{version: good.version}
		for _, s := range good.states {
			s.days = append([]dayTotals(nil), s.days...)
			r.states = append(r.states, s)
		}
		change(&r)
		row, err := r.encode(format1)
		require.NoError(t, err)
		return row
	}
	plain := encode(func(*record) {})
	body := plain[:len(plain)-4]
	for name, row := range map[string][]byte{
		"empty":                    {},
		"a byte after the end":     sign(append(bytes.Clone(body), 0)),
		"a byte too few":           sign(body[:len(body)-1]),
		"an unknown part":          sign(append([]byte{1, 0x80}, body[2:]...)),
		"accounts that descend":    encode(func(r *record) { r.states[0].start = 30 }),
		"an account twice":         encode(func(r *record) { r.states[0].start = 20 }),
		"days that descend":        encode(func(r *record) { r.states[0].days[0].day = 30 }),
		"moves without an account": encode(func(r *record) { r.moves, r.states = 1, nil }),
		"a move to a head":         encode(func(r *record) { r.moving = move{to: place{letter: headRow}} }),
		"a million accounts":       sign(append(bytes.Clone(body[:11]), 0xc0, 0x84, 0x3d)),
	} {
		var r record
		require.ErrorIs(t, r.decode(row), errDamaged, name)
	}
	var r record
	require.NoError(t, r.decode(plain))
	require.ErrorIs(t, r.decode(sign(append([]byte{3}, body[1:]...))), errNewer)
}

// TestExtensionFieldsAreKept by a reader that does not know them, also by one that writes the first format.
func TestExtensionFieldsAreKept(t *testing.T) {
	e := NewMemory()
	first := newLife(e, 2)
	k := Key{"p", "s"}
	first.send(t, exactCharge(k))
	var r record
	require.NoError(t, first.load(t.Context(), k, rowOf(headRow, k), &r))
	r.extension = []byte{9, 3, 'n', 'e', 'w'}
	row, err := r.encode(format2)
	require.NoError(t, err)
	require.NoError(t, e.Update(t.Context(), []string{rowOf(headRow, k)}, func(int, []byte) ([]byte, error) { return row, nil }))

	for format := range uint8(2) {
		require.EqualValues(t, 2+format, newLife(e, 1+format).send(t, exactCharge(k))[0].totals.used)
		require.NoError(t, first.load(t.Context(), k, rowOf(headRow, k), &r))
		require.Equal(t, []byte{9, 3, 'n', 'e', 'w'}, r.extension)
	}
}

// TestSmallRowsAreSmall: what a key costs in exact mode, and with an open day, a lease and a session.
func TestSmallRowsAreSmall(t *testing.T) {
	require.LessOrEqual(t, len(smallRow(t)), 62)

	e := NewMemory()
	l := newLife(e, 1)
	k := Key{"gold", "customer-1"}
	l.send(t, op{
		kind: reserve, account: Account{k, 1_700_000_000}, day: 1_702_000_000, limit: MaxUnits, want: 1e9, min: 1, lease: 1 << 63,
		thresholds: []int{80, 100},
	})
	row, err := e.Load(t.Context(), rowOf(headRow, k))
	require.NoError(t, err)
	require.LessOrEqual(t, len(row), 150)
}

// TestRowsStaySmall: whatever many ledgers, leases, days and adjustments do, no row comes near what an engine takes.
// The longest texts that an adjustment may have are part of it.
func TestRowsStaySmall(t *testing.T) {
	e := NewMemory()
	k := Key{"p", "s"}
	long := string(bytes.Repeat([]byte("x"), maxText))
	start := int64(1_700_000_000 / dayLong * dayLong)
	for i := range 60 {
		l := newLife(e, 1)
		at := start + int64(i)*dayLong
		var ops []op
		for n := range 600 {
			a := Account{k, start + int64(i/7)*7*dayLong}
			ops = append(
				ops,
				op{kind: charge, account: a, day: at, limit: MaxUnits, want: int64(n+1) * 1_000_000, min: 1},
				op{kind: reserve, account: a, day: at, limit: MaxUnits, want: 5, min: 1, lease: rand.Uint64()},
			)
			if n%50 == 0 {
				ops = append(ops, op{
					kind: extend, account: a, day: at, time: at, limit: MaxUnits, want: 1,
					id: fmt.Sprint(i, "-", n, long)[:maxText], reason: long, actor: long,
				})
			}
		}
		for _, out := range l.send(t, ops...) {
			require.NotZero(t, out.granted)
		}
	}
	for key, err := range e.Keys(t.Context(), "") {
		require.NoError(t, err)
		row, err := e.Load(t.Context(), key)
		require.NoError(t, err)
		require.Less(t, len(row), maxRow/2+maxRow/4, "%q", key)
	}
}

// FuzzDecode: whatever a row says, decoding it either refuses it, or gives a record that encodes to the same row.
func FuzzDecode(f *testing.F) {
	for format := range uint8(2) {
		for _, row := range rowsOf(f, uint64(format), format+1) {
			f.Add(row[:len(row)-4])
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		row := sign(body)
		var r, again record
		if r.decode(row) != nil {
			return
		}
		for i := range r.states {
			_, _ = r.states[i].changes()
		}
		for i := range r.sessions {
			_, _ = answers(nil).decode(r.sessions[i].answers)
		}
		second, err := r.encode(row[0])
		require.NoError(t, err)
		require.NoError(t, again.decode(second))
		third, err := again.encode(row[0])
		require.NoError(t, err)
		require.Equal(t, second, third)
	})
}
