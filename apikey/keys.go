package apikey

import (
	"hash/maphash"
)

// keys are the records of a verifier. digests finds the record of any value, ids that of a key's current value. Readers
// take no lock. Writers must hold Verifier.writing.
type keys struct {
	seed    maphash.Seed
	digests *table
	ids     *table
}

// newKeys hashes ids under a random seed. Digests need none: without the pepper they are random already.
func newKeys() keys {
	seed := maphash.MakeSeed()
	return keys{
		seed:    seed,
		digests: newTable(func(r *record) uint64 { return r.digest.hash() }),
		ids:     newTable(func(r *record) uint64 { return maphash.String(seed, r.id()) }),
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

// put replaces the records of a key. The first of records is that of the current value.
//
// It adds what is new before it removes what is old, so that readers find the key at every moment. For example, a key
// has the value a and is rotated to b with a grace. Readers first find a alone, then b and a as it was, then b and a
// with the end of its grace. If the grace is 0, a is found as it was until put returns.
func (k *keys) put(records []*record) {
	for _, p := range records {
		k.digests.put(p, func(r *record) bool { return r.digest == p.digest })
	}
	current := records[0]
	old := k.byID(current.id())
	k.ids.put(current, func(r *record) bool { return r.id() == current.id() })
	k.forget(old, records)
}

// remove removes the key of the given id and all its values.
func (k *keys) remove(id string) {
	old := k.byID(id)
	k.ids.remove(maphash.String(k.seed, id), func(r *record) bool { return r.id() == id })
	k.forget(old, nil)
}

// forget removes the values of the key of old that are not in kept. old may be nil.
func (k *keys) forget(old *record, kept []*record) {
	if old == nil {
		return
	}
	for d := range old.digests() {
		if !holds(kept, d) {
			k.digests.remove(d.hash(), func(r *record) bool { return r.digest == d })
		}
	}
}

// holds reports whether one of records has the digest d.
func holds(records []*record, d digest) bool {
	for _, r := range records {
		if r.digest == d {
			return true
		}
	}
	return false
}
