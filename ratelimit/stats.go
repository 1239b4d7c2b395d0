package ratelimit

// Stats is what a [Limiter], or a limiter or rule of package window, holds at the moment.
type Stats struct {
	// Keys is how many keys have a place of their own because something counts for them: they are in debt or, in
	// package window, have asked within the window. Of a large table only a part is looked at, and Keys is an estimate:
	// within about one in a hundred if the table is full, and less exact if few of its places are in use.
	Keys int
	// MaxKeys is how many keys there is room for, as configured. If Keys comes near it, some keys share a place, and
	// get less than their limit.
	MaxKeys int
}

// Stats reads what l holds. It takes no mutex, so no request waits for it. It may be called once a second: with
// up to 16 million for MaxKeys it takes a few milliseconds at most. After SetLimit, keys may be counted under the former
// limit until they are asked about. Keys with a limit of their own need no room and are not counted.
//
//	expvar.Publish("limiter", expvar.Func(func() any { return limiter.Stats() }))
func (l *Limiter[K]) Stats() Stats {
	if !l.configured() {
		return Stats{}
	}
	return Stats{Keys: l.keyed.inDebt(l.keyed.now()), MaxKeys: l.config.MaxKeys}
}

// sample is how many slots Stats looks at before it estimates: 1 MB. A hash spreads the keys evenly over the shards, so
// the first shards stand for all. If they hold n keys, the standard error is one part in √n. For example, a full table
// has some 46 000 keys in so many slots, and the error is 0.5 %.
const sample = 1 << 16

// inDebt counts the keys that have a slot and are in debt, or estimates them by the first shards. A key whose slot is
// being moved counts.
func (k *keyed) inDebt(now int64) int {
	keys, slots := 0, 0
	for i := range k.shards {
		if t := k.shards[i].table.Load(); t != nil {
			keys += t.inDebt(now)
			slots += len(t.groups) * ways
		}
		if slots >= sample {
			return int(int64(keys) * int64(len(k.shards)) / int64(i+1))
		}
	}
	return keys
}

func (t *table) inDebt(now int64) (n int) {
	clock := t.seg.at(now)
	for slot := range len(t.groups) * ways {
		if t.tag(slot).Load() != 0 && t.tat(slot).Load() > clock {
			n++
		}
	}
	return n
}
