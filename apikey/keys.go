package apikey

import (
	"encoding/binary"
	"hash/maphash"
)

// keys are the records of a verifier: those of all values by their digests, and those of the current values by the
// ids of their keys.
type keys struct {
	seed    maphash.Seed
	digests *table
	ids     *table
}

func newKeys() keys {
	seed := maphash.MakeSeed()
	return keys{
		seed:    seed,
		digests: newTable(func(r *record) uint64 { return r.digest.hash() }),
		ids:     newTable(func(r *record) uint64 { return maphash.String(seed, r.id()) }),
	}
}

// hash returns some bits of d. They are as good as random to whoever does not know the pepper.
func (d *Digest) hash() uint64 { return binary.LittleEndian.Uint64(d[:]) }

// equal compares in constant time, by words: crypto/subtle goes byte by byte, a tenth of the whole verification.
func (d *Digest) equal(other *Digest) bool {
	var diff uint64
	for i := 0; i < len(d); i += 8 {
		diff |= binary.LittleEndian.Uint64(d[i:]) ^ binary.LittleEndian.Uint64(other[i:])
	}
	return diff == 0
}

// byDigest returns the record of a value. Which records it meets on its way depends on the pepper alone, and it
// compares each in constant time.
func (k *keys) byDigest(d *Digest) *record {
	for _, r := range (*k.digests.slots.Load()).chain(d.hash()) {
		if r == nil || r.digest.equal(d) {
			return r
		}
	}
	return nil
}

// byID returns the record of a key's current value.
func (k *keys) byID(id string) *record {
	return k.ids.find(maphash.String(k.seed, id), func(r *record) bool { return r.id() == id })
}

// put makes records, of which the first is that of the current value, all that is known of a key. Until it returns,
// values of the key that are not among them are still found.
func (k *keys) put(records []*record) {
	for _, p := range records {
		k.digests.put(p, func(r *record) bool { return r.digest == p.digest })
	}
	current := records[0]
	old := k.byID(current.id())
	k.ids.put(current, func(r *record) bool { return r.id() == current.id() })
	k.forget(old, records)
}

// remove forgets the key of the given id.
func (k *keys) remove(id string) {
	old := k.byID(id)
	k.ids.remove(maphash.String(k.seed, id), func(r *record) bool { return r.id() == id })
	k.forget(old, nil)
}

// forget removes the values of old, which may be nil, that are not among those of kept.
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

func holds(records []*record, d Digest) bool {
	for _, r := range records {
		if r.digest == d {
			return true
		}
	}
	return false
}
