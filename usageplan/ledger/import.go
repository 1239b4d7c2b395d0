package ledger

import "math/rand/v2"

// Imported is an account as a store of an earlier format had it: package boltstore converts its files with it. It has no
// open leases; those have been ended.
type Imported struct {
	Account Account

	// Limit is the quota's at the last change, Adjustments the sum of the extensions. Used counts against the limit; Held is
	// the part of it of which nobody knows whether it was spent.
	Limit, Adjustments, Used, Held int64

	// Crossed and Told are sets of percentages: the bit n%64 of word n/64 stands for n.
	Crossed, Told [2]uint64

	// Days are ascending. Their sums are those of the account.
	Days []struct{ Day, Limit, Adjustments, Used, Held int64 }

	// Changes are the adjustments, oldest first.
	Changes []Change
}

// Import calls put with the rows of one key, which have all of its accounts. The accounts ascend by start, and there is at
// least one. They move out of the head as they would have done in use.
func Import(accounts []Imported, put func(key string, row []byte) error) error {
	k := accounts[0].Account.Key
	head := record{version: version{epoch: rand.Uint64(), counter: 1}}
	for i := range accounts {
		head.states = append(head.states, accounts[i].state())
	}
	others := make(map[place]*record)
	for head.pin(0); head.moving.to.letter != 0; head.pin(0) {
		var items record
		if err := items.readContents(head.moving.items); err != nil {
			return named(k, err)
		}
		to := others[head.moving.to]
		if to == nil {
			to = new(record)
			others[head.moving.to] = to
		}
		to.merge(&items)
		to.epoch, to.moves = head.epoch, head.moves
		head.moving = move{}
	}
	for at, r := range others {
		if err := r.put(k, at.row(k), put); err != nil {
			return err
		}
	}
	if head.untold() {
		if err := put(rowOf(indexRow, k), make([]byte, 8)); err != nil {
			return err
		}
	}
	return head.put(k, rowOf(headRow, k), put)
}

func (r *record) put(k Key, row string, put func(key string, row []byte) error) error {
	b, err := r.encode(format1)
	if err != nil {
		return named(k, err)
	}
	return put(row, b)
}

func (a *Imported) state() state {
	s := state{whole: true, totals: totals{
		start: a.Account.Start, limit: a.Limit, adjustments: a.Adjustments, used: a.Used, held: a.Held,
		crossed: a.Crossed, told: a.Told,
	}}
	for _, d := range a.Days {
		s.days = append(s.days, dayTotals{d.Day, d.Limit, d.Adjustments, d.Used, d.Held})
	}
	s.settleDay()
	if n := len(a.Changes) - rememberedChanges; n > 0 {
		s.made = n
		a.Changes = a.Changes[n:]
	}
	for _, c := range a.Changes {
		o := op{kind: extend, id: c.ID, reason: c.Reason, actor: c.Actor, time: c.Time.Unix(), want: c.Delta}
		if c.Correction {
			o.kind = correct
		}
		s.remember(&o, c.Delta, c.Before)
	}
	return s
}
