package auth

import (
	"maps"
	"slices"
	"time"
)

// Fetch is one attempt to get an issuer's keys: the discovery document, if there is one, and the key set; or one key of
// a load balancer. It also tells what is in use afterwards. If a fetch has failed, these are the keys of an earlier one.
// Of a load balancer, it tells of this key alone, which a forged token may have named although there is no such key.
type Fetch struct {
	// Issuer is [Issuer].URL as it is configured, never what a token says.
	Issuer string
	// Duration is how long the fetch took.
	Duration time.Duration
	// Err is why the fetch failed, or nil. Its text is for logs: the key server has written parts of it.
	Err error
	// Age is how long ago the keys were fetched that are in use after this fetch. It is zero if this fetch got them, or if
	// there are none.
	Age time.Duration
	// Keys is the number of keys that are in use after this fetch. If it is zero, the issuer's tokens are answered 503; of
	// a load balancer, those that name the key.
	Keys int
	// Until is when these keys are no longer used, if no fetch succeeds before: [Config].MaxStale after they were due. It
	// is the zero time if there are none.
	Until time.Time
}

// Stats is the state of a verifier at one moment. It is as long as the configuration, whatever clients send.
type Stats struct {
	// Issuers are in the order of [Config].Issuers. All tenants of an issuer have the same keys.
	Issuers []IssuerStats
	// Tokens is the number of remembered tokens.
	Tokens int
	// TokenBytes is their memory, as [Config].CacheBytes limits it.
	TokenBytes int
}

// IssuerStats is the state of an issuer's keys. Those of a load balancer are fetched one by one; then Age is that of the
// oldest one, Until is that of the first to end, and Error is that of any.
type IssuerStats struct {
	// Issuer is [Issuer].URL as it is configured.
	Issuer string
	// Keys is the number of keys in use. It is zero before the first fetch, and if the keys have become stale.
	Keys int
	// Age is how long ago the keys in use were fetched. It is zero if there are none, or if they are those of
	// [Issuer].Keys.
	Age time.Duration
	// Until is when the keys are no longer used, if no fetch succeeds before. It is the zero time if
	// there are none, or if they are those of [Issuer].Keys.
	Until time.Time
	// Error is why the last fetch failed. It is empty if it succeeded, or if there was none. Of a load balancer, it may be
	// about a key that only a forged token has named: see whether Keys is zero.
	Error string
}

// Stats returns the state of the keys and of the cache. Requests do not wait for it, so it can be called every second:
//
//	expvar.Publish("auth", expvar.Func(func() any { return v.Stats() }))
//
// Verifiers that [Verifier.With] has made share the state. That of a verifier that [New] did not make is the zero Stats.
func (v *Verifier) Stats() (s Stats) {
	if v == nil || v.core == nil {
		return s
	}
	now := time.Now()
	for _, issuer := range v.core.issuers {
		s.Issuers = append(s.Issuers, issuer.stats(now))
	}
	if v.core.cache != nil {
		s.Tokens, s.TokenBytes = v.core.cache.usage()
	}
	return s
}

// usage returns the number of entries and their bytes. It takes the lock of each shard for two reads, which does not
// delay the readers of the cache.
func (c *cache) usage() (entries, bytes int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		entries += len(s.entries)
		bytes += s.size
		s.mu.RUnlock()
	}
	return entries, bytes
}

// stats returns the state of the issuer's keys.
func (s *issuerState) stats(now time.Time) IssuerStats {
	if s.balancer == nil {
		return s.keys.stats(now)
	}
	all := IssuerStats{Issuer: s.URL}
	for _, set := range s.balancer.all() {
		one := set.stats(now)
		all.Keys += one.Keys
		all.Age = max(all.Age, one.Age)
		if all.Until.IsZero() || one.Keys > 0 && one.Until.Before(all.Until) {
			all.Until = one.Until
		}
		if one.Error != "" {
			all.Error = one.Error
		}
	}
	return all
}

// all returns the sets at this moment.
func (b *balancerKeys) all() []*keySet {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Values(b.sets))
}

// stats returns the state of one key set. The lock guards only the error, which is read in an instant.
func (s *keySet) stats(now time.Time) IssuerStats {
	is := IssuerStats{Issuer: s.issuer}
	is.Keys, is.Age, is.Until = s.inUse(now)
	s.mu.Lock()
	failed := s.failed
	s.mu.Unlock()
	if failed != nil {
		is.Error = clip(failed.Error())
	}
	return is
}

// inUse returns the number of keys that are used at a time, and their age and end. Fixed keys have no age and no end.
func (s *keySet) inUse(now time.Time) (keys int, age time.Duration, until time.Time) {
	snap := s.current.Load()
	switch {
	case snap == nil || !isAhead(snap.stale, now):
		return 0, 0, time.Time{}
	case s.fetch == nil:
		return len(snap.keys), 0, time.Time{}
	}
	return len(snap.keys), now.Sub(snap.since), snap.stale
}

// report returns what ObserveFetch is told.
func (s *keySet) report(err error, began, ended time.Time) Fetch {
	f := Fetch{Issuer: s.issuer, Duration: ended.Sub(began), Err: err}
	f.Keys, f.Age, f.Until = s.inUse(ended)
	return f
}
