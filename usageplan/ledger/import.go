package ledger

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/tallygate/tallygate/usageplan/internal/past"
)

// An engine that converts an old file calls past.Rows. A variable of an internal package keeps the function out of the
// exported names of this one.
func init() { past.Rows = importRows }

// importRows returns the rows of a key, by their keys in the engine, with the accounts of an earlier format. It wants
// at least one account, and all that the key has, in ascending order. An engine calls it before it stores any row of
// the key, so there is nothing to merge with.
//
// It gives the accounts to a head one after another, oldest first. Each time, what the head then has too much of moves
// at once to where a [pass] would move it. So no reader has to know of an import.
func importRows(accounts []past.Account) (map[string][]byte, error) {
	k := Key{accounts[0].Plan, accounts[0].Subject}
	if err := k.validate(); err != nil {
		return nil, err
	}
	i := importer{head: record{version: version{epoch: rand.Uint64() | 1, counter: 1}}, others: make(map[place]*record)}
	for _, a := range accounts {
		if newest := i.head.newest(); newest != nil && newest.start >= a.Start || (Key{a.Plan, a.Subject}) != k {
			return nil, named(k, fmt.Errorf("%w: accounts are not in order", errDamaged))
		}
		i.head.states = append(i.head.states, pastState(&a))
		if err := i.move(); err != nil {
			return nil, named(k, err)
		}
	}
	rows, err := i.rows(k)
	return rows, named(k, err)
}

// importer is the rows of one key on their way: the head, and by their places the rows of history and the pages.
type importer struct {
	head   record
	others map[place]*record
}

// move does at once what takes three steps in use. See [move]. One pin takes what goes to one row, so it goes on until
// nothing is too much. It pins at time 0, so the moves count from 1: numbers by time are for a head that may have lost
// some, and this one is new.
func (i *importer) move() error {
	for i.head.pin(0); i.head.moving.to.letter != 0; i.head.pin(0) {
		var items record
		if err := items.readContents(i.head.moving.items); err != nil {
			return err
		}
		to := i.others[i.head.moving.to]
		if to == nil {
			to = new(record)
			i.others[i.head.moving.to] = to
		}
		to.merge(&items)
		to.epoch, to.moves = i.head.epoch, i.head.moves
		i.head.moving = move{}
	}
	return nil
}

// rows encodes all that the key has, with an index row if a crossing is untold. It writes the first format, which every
// release reads. The first change of a row by a ledger writes it in that ledger's own.
func (i *importer) rows(k Key) (rows map[string][]byte, err error) {
	rows = make(map[string][]byte, 1+len(i.others))
	if rows[rowOf(headRow, k)], err = i.head.encode(format1); err != nil {
		return nil, err
	}
	for at, r := range i.others {
		if rows[at.row(k)], err = r.encode(format1); err != nil {
			return nil, err
		}
	}
	if i.head.untold() {
		rows[rowOf(indexRow, k)] = binary.BigEndian.AppendUint64(nil, rand.Uint64())
	}
	return rows, nil
}

// pastState is a as a row keeps it. The sums are those of the days. Of the changes, only those are taken that a row
// would still have: older ones are neither listed nor recognised by their ids. Earlier formats do not tell SetRemaining
// from Extend, so it becomes the extension that it made.
func pastState(a *past.Account) state {
	s := state{whole: true, totals: totals{start: a.Start, limit: a.Limit, crossed: a.Crossed, told: a.Told}}
	for _, d := range a.Days {
		s.adjustments += d.Adjustments
		s.used += d.Used
		s.held += d.Held
		s.days = append(s.days, dayTotals{d.Day, d.Limit, d.Adjustments, d.Used, d.Held})
	}
	s.settleDay()
	for _, c := range a.Changes[max(0, len(a.Changes)-rememberedChanges):] {
		k := extend
		if c.Correction {
			k = correct
		}
		o := op{kind: k, id: c.ID, reason: c.Reason, actor: c.Actor, time: c.Time, want: c.Delta}
		s.remember(&o, c.Delta, c.Before)
	}
	return s
}
