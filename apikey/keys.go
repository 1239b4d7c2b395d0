package apikey

import (
	"hash/maphash"
)

// keys are the records of a verifier. digests finds the record of any value, ids that of a key's current value, and
// order has the latter by creation. Readers take no lock. Only one goroutine at a time may write.
type keys struct {
	seed    maphash.Seed
	digests *table
	ids     *table
	order   *order
}

// newKeys hashes ids under a random seed. Digests need none: without the pepper they are random already.
func newKeys() keys {
	seed := maphash.MakeSeed()
	return keys{
		seed:    seed,
		digests: newTable(func(r *record) uint64 { return r.digest.hash() }),
		ids:     newTable(func(r *record) uint64 { return maphash.String(seed, r.id()) }),
		order:   newOrder(),
	}
}

// byDigest returns the record of a value, or nil. It takes the same time for a value that is known as for one that is
// not, as far as a client can tell: how many records it compares depends on the pepper, and each comparison takes
// constant time.
func (k *keys) byDigest(d *digest) *record {
	for _, r := range (*k.digests.slots.Load()).chain(d.hash()) {
		if r == nil || r.digest.equal(d) {
			return r
		}
	}
	return nil
}

// byID returns the record of a key's current value, or nil.
func (k *keys) byID(id string) *record {
	return k.ids.find(maphash.String(k.seed, id), func(r *record) bool { return r.id() == id })
}

// reserve makes room for n more keys.
func (k *keys) reserve(n int) {
	k.digests.reserve(n)
	k.ids.reserve(n)
}

// put adds a key, or replaces the one with its creation number, or with its id. r must be the record of its current
// value. What order has of it is visible after order.merge.
//
// It adds what is new before it removes what is old, so that readers find the key at every moment. For example, a key
// has the value a and is rotated to b with a grace. Readers first find a alone, then b and a as it was, and after
// putEarlier b and a with the end of its grace. If the grace is 0, a is found as it was until put returns.
func (k *keys) put(r *record) {
	old, holder := k.order.find(r.lasting.number), k.byID(r.id())
	if old != nil {
		r.succeed(old)
	}
	k.digests.put(r, func(other *record) bool { return other.digest == r.digest })
	k.ids.put(r, func(other *record) bool { return other.id() == r.id() })
	k.order.put(r)
	if old != nil {
		k.forget(old, r)
	}
	if holder != nil && holder.lasting != r.lasting {
		k.order.remove(holder)
		k.forget(holder, nil)
	}
}

// putEarlier adds the earlier values of the key of r, after all current values of a change were put. A value that
// another key has got since is left to that key. This is so if the grace has ended by the clock of the node that gave
// it away, and not yet by ours.
func (k *keys) putEarlier(r *record) {
	for e := range r.earlier() {
		if holder := k.byDigest(&e.digest); holder == nil || holder.lasting == r.lasting {
			k.digests.put(e, func(other *record) bool { return other.digest == e.digest })
		}
	}
}

// remove removes the key of old, the record of its current value, and all its values.
func (k *keys) remove(old *record) {
	k.ids.remove(maphash.String(k.seed, old.id()), func(r *record) bool { return r.lasting == old.lasting })
	k.order.remove(old)
	k.forget(old, nil)
}

// forget removes the values of the key of old that the record now, which may be nil, no longer has. A value that
// another key has got in the meantime stays.
func (k *keys) forget(old, now *record) {
	for d := range old.digests() {
		if now == nil || !now.has(d) {
			k.digests.remove(d.hash(), func(r *record) bool { return r.digest == d && r.lasting == old.lasting })
		}
	}
}
