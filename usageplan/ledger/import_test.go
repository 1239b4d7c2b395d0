package ledger

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/internal/past"
)

// exported is what an earlier format would have kept of the accounts of a key. It had no SetRemaining, and its leases
// are ended: what they hold stays held. The model is changed to that.
func (m model) exported(k Key) (all []past.Account) {
	for _, a := range m[k].accounts {
		clear(a.open)
		e := past.Account{
			Plan: k.Plan, Subject: k.Subject, Start: a.start, Limit: a.limit, Crossed: a.crossed, Told: a.told,
		}
		for _, d := range a.days {
			e.Days = append(e.Days, past.Day{
				Day: d.day, Limit: d.limit, Adjustments: d.adjustments, Used: d.used, Held: d.held,
			})
		}
		for i := range a.changes {
			c := &a.changes[i]
			if c.kind == setRemaining {
				c.kind, c.asked = extend, c.delta
			}
			e.Changes = append(e.Changes, past.Change{
				ID: c.id, Reason: c.reason, Actor: c.actor, Time: c.time, Delta: c.delta, Before: c.before,
				Correction: c.kind == correct,
			})
		}
		all = append(all, e)
	}
	return all
}

// importInto puts rows of the past into an engine.
func importInto(t *testing.T, e Engine, accounts []past.Account) {
	t.Helper()
	rows, err := past.Rows(accounts)
	require.NoError(t, err)
	for key, row := range rows {
		require.LessOrEqual(t, len(row), maxRow)
		put := func(int, []byte) ([]byte, error) { return row, nil }
		require.NoError(t, e.Update(t.Context(), []string{key}, put))
	}
}

// TestImportedRowsAreAsTheModel: a ledger goes on with accounts of an earlier format as if it had made them itself.
func TestImportedRowsAreAsTheModel(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m, s := model{}, newScene(seed)
			l := newLife(NewMemory(), 1)
			go200 := func() {
				for range 200 {
					s.now += s.Int64N(1 + s.length*s.Int64N(2))
					o := s.op()
					outs := l.send(t, o)
					want := m.apply(&o)
					require.Equal(t, want, outs[0], "%+v", o)
					s.learn(&o, &outs[0])
				}
			}
			go200()
			e := NewMemory()
			untold := 0
			for _, k := range s.keys {
				if m[k] == nil || len(m[k].accounts) == 0 {
					continue
				}
				importInto(t, e, m.exported(k))
				for _, a := range m[k].accounts[max(0, len(m[k].accounts)-2):] {
					if a.crossed != a.told {
						untold++
					}
				}
			}
			s.open = nil
			l = newLife(e, 1)
			for _, k := range s.keys {
				requireModel(t, l.rows, m, k)
			}
			for _, err := range l.crossings(t.Context()) {
				require.NoError(t, err)
				untold--
			}
			require.Zero(t, untold)
			go200()
			for _, k := range s.keys {
				requireModel(t, l.rows, m, k)
			}
		})
	}
}

// TestImportKeepsTheLastChanges: 256 of a period, as long as they may be, and their ids.
func TestImportKeepsTheLastChanges(t *testing.T) {
	a := past.Account{Plan: "p", Subject: "s", Limit: 10, Days: []past.Day{{Limit: 10}}}
	long := strings.Repeat("x", maxText-3)
	for i := range 300 {
		a.Changes = append(a.Changes, past.Change{
			ID: fmt.Sprintf("%03d", i) + long, Reason: long, Actor: long, Time: int64(i), Delta: 1, Before: int64(i),
		})
	}
	a.Days[0].Adjustments = 300
	e := NewMemory()
	importInto(t, e, []past.Account{a})
	l := newLife(e, 1)
	var got []past.Change
	for c, err := range l.adjustments(t.Context(), Key{"p", "s"}, 0, 1000) {
		require.NoError(t, err)
		got = append(got, past.Change{
			ID: c.ID, Reason: c.Reason, Actor: c.Actor, Time: c.Time.Unix(), Delta: c.Delta, Before: c.Before,
		})
	}
	require.Equal(t, a.Changes[44:], got)
	for _, c := range []past.Change{a.Changes[44], a.Changes[200], a.Changes[299]} {
		o := op{kind: extend, account: Account{Key: Key{"p", "s"}}, limit: 10, want: 1, id: c.ID}
		require.True(t, l.send(t, o)[0].replayed)
	}
}

func TestImportRefuses(t *testing.T) {
	day := []past.Day{{Used: 1}}
	good := past.Account{Plan: "p", Subject: "s", Start: 5, Days: day}
	tests := []struct {
		name string
		next past.Account
	}{
		{"accounts that do not ascend", past.Account{Plan: "p", Subject: "s", Start: 5, Days: day}},
		{"accounts of two keys", past.Account{Plan: "p", Subject: "t", Start: 6, Days: day}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := past.Rows([]past.Account{good, tt.next})
			require.ErrorIs(t, err, errDamaged)
			require.ErrorContains(t, err, `plan "p", subject "s"`)
		})
	}
	_, err := past.Rows([]past.Account{{Plan: "p", Subject: strings.Repeat("s", maxText+1)}})
	require.Error(t, err, "a key that no ledger takes")
}
