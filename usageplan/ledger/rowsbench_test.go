package ledger

import (
	"fmt"
	"testing"
)

// smallRow is a key with one open day and one session, as exact mode makes it.
func smallRow(b testing.TB) (row []byte) {
	e := NewMemory()
	l := newLife(e, 1)
	k := Key{"gold", "customer-1"}
	for range 1000 {
		l.number++
		_, _, err := l.apply(b.Context(), &batch{number: l.number, ops: []op{exactCharge(k)}})
		if err != nil {
			b.Fatal(err)
		}
	}
	row, err := e.Load(b.Context(), rowOf(headRow, k))
	if err != nil {
		b.Fatal(err)
	}
	return row
}

func exactCharge(k Key) op {
	return op{
		kind: charge, account: Account{k, 1_700_000_000 / dayLong * dayLong}, day: 1_700_000_000 / dayLong * dayLong,
		time: 1_700_000_000, limit: 1_000_000_000, want: 1, min: 1,
	}
}

func BenchmarkRow(b *testing.B) {
	row := smallRow(b)
	b.Run("decode", func(b *testing.B) {
		var r record
		for b.Loop() {
			if r.decode(row) != nil {
				b.Fatal("damaged")
			}
		}
		b.ReportMetric(float64(len(row)), "B/row")
	})
	b.Run("encode", func(b *testing.B) {
		var r record
		_ = r.decode(row)
		for b.Loop() {
			if _, err := r.encode(format1); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkApply is the time of an operation: 64 of them in a batch, on as many keys and on one.
func BenchmarkApply(b *testing.B) {
	for _, keys := range []int{64, 1} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			l := newLife(NewMemory(), 1)
			ops := make([]op, 64)
			for i := range ops {
				ops[i] = exactCharge(Key{"gold", fmt.Sprint("customer-", i%keys)})
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%len(ops) > 0 {
					continue
				}
				l.number++
				if _, _, err := l.apply(b.Context(), &batch{number: l.number, ops: ops}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
