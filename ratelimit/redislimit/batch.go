package redislimit

import (
	"slices"
	"time"
)

// A batch is what one call asks the server for, and what the server answers. The leader of a lane owns it. The next
// call uses its slices again, so a call allocates little once they have grown.
//
// For example, three requests ride together: two for the bucket x, and one for x and y. Then buckets is x, y. There are
// two asks: one for two requests, with the index 0, and one for one request, with the indexes 0 and 1. If x has two
// tokens and y has many, the script grants 2 and 0, and says that x has none left. So verdict admits the first two
// requests, and refuses the third because of x.
type batch struct {
	slots   map[*bucket]int // the place of each bucket in buckets
	buckets []*bucket
	terms   []terms // of each bucket, as they were when it was added
	alike   []int   // for each bucket, the ask of requests for it alone, or -1
	last    int     // the last ask for several buckets, or -1
	asks    []ask
	indexes []int // of the buckets of all asks

	keys   []any         // of the buckets, in their order
	input  []byte        // of the script
	sent   time.Duration // just before the call
	answer answer        // "" if the server did not answer
}

// An ask stands for requests that all want one token from each of the same buckets. The script grants as many of them
// as it can: if one bucket has 5 tokens and another has 3, it grants 3 requests.
type ask struct {
	from, to int     // its buckets are indexes[from:to]
	requests int64   // or, with ahead, tokens
	ahead    *bucket // the tokens are for the stock of this bucket; nil if they are for requests
	left     int64   // granted, and not yet given to a request
}

// reset empties the batch. It also clears the pointers, so that no bucket stays in memory because of an earlier call.
func (b *batch) reset() {
	if b.slots == nil {
		b.slots = make(map[*bucket]int)
	}
	clear(b.slots)
	clear(b.buckets)
	clear(b.asks)
	b.buckets, b.terms, b.alike = b.buckets[:0], b.terms[:0], b.alike[:0]
	b.asks, b.indexes = b.asks[:0], b.indexes[:0]
	b.last, b.answer = -1, ""
}

// slot returns the place of a bucket in the batch. The caller holds the mutex of its group. The batch keeps the terms
// as they are now. Before the call is made, the bucket may get another limit, and even an infinite rate, with which the
// script cannot count.
func (b *batch) slot(k *bucket) int {
	i, found := b.slots[k]
	if !found {
		i = len(b.buckets)
		b.slots[k] = i
		b.buckets, b.terms, b.alike = append(b.buckets, k), append(b.terms, k.terms), append(b.alike, -1)
	}
	return i
}

// add adds a call, and what its leased buckets need in advance. The caller holds the mutex of its group.
//
// The indexes of an ask stand at the end of b.indexes while it is looked for. If it is there already, they are cut off
// again.
//
// If one bucket of a call is strict, nothing is asked for in advance for its other buckets either. Each such request
// needs a call anyway, and that takes the tokens of all its buckets at once.
func (b *batch) add(c *call, now time.Duration) {
	leased := true
	from := len(b.indexes)
	for _, k := range c.buckets {
		if !k.unlimited() {
			b.indexes = append(b.indexes, b.slot(k))
			leased = leased && k.hold > 0
		}
	}
	if c.fetch { // nobody waits for tokens, so only the asks in advance below are made
		b.indexes = b.indexes[:from]
	} else {
		c.ask = b.join(from)
	}
	for _, k := range c.buckets {
		if n := int64(0); leased && !k.unlimited() {
			if n = k.ahead(now); n > 0 {
				// As n requests for one token each: the script then grants what there is, and not all or nothing.
				b.indexes = append(b.indexes, b.slot(k))
				b.asks = append(b.asks, ask{len(b.indexes) - 1, len(b.indexes), n, k, 0})
			}
		}
	}
}

// join returns the ask for the buckets indexes[from:]: one that is there already, or a new one. A request for one
// bucket finds the ask by the bucket. A request for several buckets finds it only if it was the last such ask. That
// suffices where requests of one client follow each other, and needs no search.
func (b *batch) join(from int) int {
	mine := b.indexes[from:]
	if len(mine) == 1 {
		if i := b.alike[mine[0]]; i >= 0 {
			b.indexes = b.indexes[:from]
			b.asks[i].requests++
			return i
		}
		b.alike[mine[0]] = len(b.asks)
	} else {
		if i := b.last; i >= 0 && slices.Equal(b.indexes[b.asks[i].from:b.asks[i].to], mine) {
			b.indexes = b.indexes[:from]
			b.asks[i].requests++
			return i
		}
		b.last = len(b.asks)
	}
	b.asks = append(b.asks, ask{from, len(b.indexes), 1, nil, 0})
	return len(b.asks) - 1
}

// encode writes the input of the script. Tokens that were given back go with it, and are forgotten here. If the call
// fails, they are lost: to send them again might return them twice, which would exceed the bound.
func (b *batch) encode() {
	b.keys, b.input = b.keys[:0], appendNumbers(b.input[:0], float64(len(b.asks)))
	for i, k := range b.buckets {
		k.group.mu.Lock()
		b.keys = append(b.keys, k.key)
		b.input = appendNumbers(b.input, b.terms[i].rate, b.terms[i].burst, float64(k.back), k.since)
		k.back = 0
		k.group.mu.Unlock()
	}
	for _, a := range b.asks {
		b.input = appendNumbers(b.input, float64(a.requests), float64(a.to-a.from))
		for _, i := range b.indexes[a.from:a.to] {
			b.input = appendNumbers(b.input, float64(i))
		}
	}
}

// settle hands the answer to the buckets. If there is none, the buckets learn that nothing of what they asked for in
// advance has come.
func (b *batch) settle() {
	for i := range b.asks {
		a := &b.asks[i]
		if b.answer != "" { // a server must not grant more than was asked for
			a.left = min(max(int64(b.answer.at(1+i)), 0), a.requests)
		}
		if k := a.ahead; k != nil {
			k.group.mu.Lock()
			k.arrived(a.requests, a.left)
			k.group.mu.Unlock()
		}
	}
	if b.answer == "" {
		return
	}
	for i, k := range b.buckets {
		k.group.mu.Lock()
		if k.limit == b.terms[i].limit { // it has not been changed meanwhile
			k.saw(b.answer.at(1+len(b.asks)+i), b.sent)
		}
		k.granted = b.answer.at(0)
		k.group.mu.Unlock()
	}
}

// verdict gives a call one of the grants of its ask, and returns -1. If no grant is left, it returns the index of the
// first bucket that has no token. There is such a bucket: the script grants fewer than were asked for only if it leaves
// a bucket with less than a token. The 0 at the end is for a server that contradicts itself.
func (b *batch) verdict(c *call) int {
	a := &b.asks[c.ask]
	if a.left > 0 {
		a.left--
		return -1
	}
	for i, k := range c.buckets {
		if place, asked := b.slots[k]; asked && b.answer.at(1+len(b.asks)+place) < 1 {
			return i
		}
	}
	return 0
}
