package apikey

import "time"

// Stats are figures for an operator; see [Verifier.Stats].
type Stats struct {
	// Keys is how many keys there are, also those that are disabled or have expired.
	Keys int

	// Values is how many values the keys have: one each, and those that [Verifier.Rotate] has replaced. A replaced value
	// counts until its key is changed after the grace has ended, or until another key gets it.
	Values int

	// Revision is the revision of the journal up to which its changes act here. Verifiers of one journal that have the
	// same Revision have the same keys. Without a journal, it counts the changes.
	Revision uint64

	// Behind says that the journal may have a change that does not act here. This is so while a change is made or the
	// journal is read. If it stays so, the last attempt has failed; the next one that succeeds ends it. What other
	// verifiers have appended since the last attempt is not known: see Age.
	Behind bool

	// Age is how old the keys may be. What any verifier had changed that long ago acts here, and what was changed later
	// perhaps does not. With [Config].Follow it stays below a second while the journal answers. Without a journal it
	// is 0.
	Age time.Duration
}

// Stats returns the present figures. It waits for nothing and walks over nothing, so it may be called often:
//
//	expvar.Publish("apikey", expvar.Func(func() any { return v.Stats() }))
func (v *Verifier) Stats() Stats {
	if v == nil || v.hashers == nil {
		return Stats{}
	}
	s := Stats{Keys: v.keys.ids.size(), Values: v.keys.digests.size()}
	s.Revision, s.Behind = v.topic.Position()
	s.Age = v.topic.Age()
	return s
}
