package ledger

import (
	"context"
	"math"
	"time"
)

// Change is an adjustment that was made.
type Change struct {
	// Adjustment is what was asked for. Of SetRemaining, Delta is what it added.
	Adjustment

	// Account is the period that it changed, Time when, in whole seconds.
	Account Account
	Time    time.Time

	// Correction says that it changed what counts as used. Otherwise it changed the adjustments of the limit.
	Correction bool

	// Before is what it changed from. It is Before + Delta since.
	Before int64
}

// Of an account's changes, the newest few stand in the head and the others on pages. The last rememberedChanges are
// recognised by their ids. A change has at least minChange bytes: its kind, the lengths of three texts, and four
// numbers. So a damaged count cannot make a reader allocate more than the row's size allows.
const (
	pageSize          = 16
	rememberedChanges = 256
	minChange         = 8 // bytes
)

// change is an adjustment as rows keep it.
type change struct {
	kind                       kind
	id, reason, actor          string
	time, asked, delta, before int64
}

// export returns c as the ledger shows it.
func (c *change) export(a Account) Change {
	return Change{
		Adjustment: Adjustment{ID: c.id, Delta: c.delta, Reason: c.reason, Actor: c.actor},
		Account:    a, Time: time.Unix(c.time, 0), Correction: c.kind == correct, Before: c.before,
	}
}

// remember keeps an adjustment that has been made. It stands encoded at the end of texts, which most operations carry
// along without taking it apart. It never writes into the row that s was decoded from: texts has no room behind its
// end.
func (s *state) remember(o *op, granted, before int64) {
	s.made++
	s.kept++
	ch := change{o.kind, o.id, o.reason, o.actor, o.time, o.want, granted, before}
	c := coder{b: s.texts[:len(s.texts):len(s.texts)], writing: true}
	ch.code(&c)
	s.texts = c.b
}

// code writes or reads ch. It keeps what was asked for as well as what was granted. By that, a repeated SetRemaining is
// recognised, whose change depends on the state that it found.
func (ch *change) code(c *coder) {
	c.byte((*byte)(&ch.kind))
	for _, text := range [...]*string{&ch.id, &ch.reason, &ch.actor} {
		c.text(text)
	}
	for _, n := range [...]*int64{&ch.time, &ch.asked, &ch.delta, &ch.before} {
		c.int(n, 0)
	}
}

// changes returns those that s keeps, oldest first.
func (s *state) changes() (cs []change, err error) {
	c := coder{b: s.texts}
	cs = make([]change, s.kept)
	for i := range cs {
		cs[i].code(&c)
	}
	return cs, c.end("adjustments")
}

// cutChanges takes the oldest n changes away and returns them as a state of their own. Their lengths differ, so it
// reads through n of them to find where the others begin.
func (s *state) cutChanges(n int) state {
	c := coder{b: s.texts}
	for range n {
		new(change).code(&c)
	}
	cut := state{totals: totals{start: s.start}, kept: n, texts: s.texts[:len(s.texts)-len(c.b)]}
	s.texts = c.b
	s.kept -= n
	return cut
}

// repeated returns what o is answered if its id is that of c: what was granted then; or, if c is another adjustment,
// that it is refused.
//
// Example: "Extend by 100" under the id "june" is granted. The answer is lost, and the caller asks again: it is told
// 100, and nothing changes. "Extend by 200" under "june" is refused.
func (c *change) repeated(o *op) outcome {
	if c.kind == o.kind && c.asked == o.want {
		return outcome{granted: c.delta, replayed: true}
	}
	return outcome{refused: true}
}

// pages are the changes, by id, that the newest two accounts of a head have on pages. They are loaded outside of f,
// which must not use the engine. When f is called with the head again, another process may have moved more changes to
// pages. Then of is not the head's stage, and they are loaded once more.
type pages struct {
	byID map[string]change
	of   stage // of the head for which they are complete, with what it has not moved yet
	err  error
}

// recent is the start of the older one of the newest two accounts. An adjustment of an older account is stale, even if
// its id is known: it is answered when its ledger asks again for the newest account.
func (r *record) recent() int64 {
	if len(r.states) == 0 {
		return math.MinInt64
	}
	return r.states[max(0, len(r.states)-2)].start
}

// findChange returns the change of the newest two accounts with an id, nil if there is none. It may need their pages
// first. It looks where a change stands in the order in which it moves: the states of the head, its move, and the
// pages. Most accounts have few changes, so most adjustments need no page.
func (p *pass) findChange(t *turn, r *record, id string) (c *change, _ need) {
	if c, t.err = r.heldChange(id); t.err != nil {
		t.err = t.named(t.err)
		return nil, hopeless
	}
	if c != nil || len(r.newestPages()) == 0 {
		return c, 0
	}
	if t.pages.byID == nil || t.pages.of != t.found {
		t.pages = pages{of: t.found}
		t.toLoad = r.newestPages()
		return nil, needPages
	}
	if t.err = t.pages.err; t.err != nil {
		return nil, hopeless
	}
	if c, ok := t.pages.byID[id]; ok {
		return &c, 0
	}
	return nil, 0
}

// heldChange finds a change of the newest two accounts that a head still has.
func (r *record) heldChange(id string) (*change, error) {
	var moving record
	if r.moving.to.letter == pageRow {
		if err := moving.readContents(r.moving.items); err != nil {
			return nil, err
		}
	}
	for i := max(0, len(r.states)-2); i < len(r.states); i++ {
		for _, part := range [...]*state{&r.states[i], moving.find(r.states[i].start)} {
			if c, err := part.changeNamed(id); c != nil || err != nil {
				return c, err
			}
		}
	}
	return nil, nil
}

// changeNamed returns the change with an id, nil if s has none or is nil. It finds one even where a later part of the
// texts is damaged.
func (s *state) changeNamed(id string) (*change, error) {
	if s == nil || s.kept == 0 {
		return nil, nil
	}
	cs, err := s.changes()
	for i := range cs {
		if cs[i].id == id {
			return &cs[i], nil
		}
	}
	return nil, err
}

// newestPages are the pages of the newest two accounts, on which a known id may stand.
func (r *record) newestPages() (all []place) {
	for i := max(0, len(r.states)-2); i < len(r.states); i++ {
		all = append(all, r.states[i].pages()...)
	}
	return all
}

// loadPages loads the pages on which t may find its adjustments. A page that cannot be read concerns this key alone.
// Its adjustments then fail, rather than being made a second time. The error that is returned concerns the engine.
func (p *pass) loadPages(ctx context.Context, t *turn) error {
	t.pages.byID = make(map[string]change)
	for _, page := range t.toLoad {
		var cs []change
		data, err := p.engine.Load(ctx, page.row(t.key))
		if err == nil {
			cs, err = pageChanges(data, page)
		}
		if err != nil && !isOfOneRow(err) {
			return err
		}
		if err != nil {
			t.pages.err = t.named(err)
		}
		for _, c := range cs {
			t.pages.byID[c.id] = c
		}
	}
	return nil
}

// pageChanges returns the changes on a page, oldest first.
func pageChanges(row []byte, at place) ([]change, error) {
	var r record
	if err := r.decode(row); err != nil {
		return nil, err
	}
	if s := r.find(at.at); s != nil {
		return s.changes()
	}
	return nil, nil
}

// pages returns the pages that may have changes of s, oldest first. For example, of 300 changes the last 256 are kept,
// which begin with number 44 from 0, on page 2 of 16 changes each. Two stand in the head, so the pages are 2 to 18.
func (s *state) pages() (all []place) {
	for i := s.firstOnPage(); i < s.made-s.kept; i += pageSize {
		all = append(all, pageOf(s.start, i))
	}
	return all
}

// firstOnPage is which change the oldest page that is kept begins with.
func (s *state) firstOnPage() int { return max(0, s.made-rememberedChanges) / pageSize * pageSize }
