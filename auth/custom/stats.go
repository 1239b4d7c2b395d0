package custom

// Stats says how much an [Authorizer] keeps.
type Stats struct {
	// Results is how many results are kept. It includes those that the function is still asked for, and those that have
	// expired and whose place nobody has needed yet.
	Results int
	// Refusals is how many refusals are kept, expired ones included.
	Refusals int
}

// Stats returns how much is kept at the moment. It reads two lengths, so that it may be called as often as one likes. To
// publish it:
//
//	expvar.Publish("authorizer", expvar.Func(func() any { return authorizer.Stats() }))
func (a *Authorizer) Stats() Stats {
	if a == nil {
		return Stats{}
	}
	a.cache.mu.Lock()
	defer a.cache.mu.Unlock()
	return Stats{Results: len(a.cache.kept), Refusals: len(a.cache.refused)}
}
