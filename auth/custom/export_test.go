package custom

// Kept returns how many results a keeps, those that are awaited included.
func Kept(a *Authorizer) int {
	a.cache.mu.Lock()
	defer a.cache.mu.Unlock()
	return len(a.cache.kept)
}

// KeptRefusals returns how many refusals a keeps.
func KeptRefusals(a *Authorizer) int {
	a.cache.mu.Lock()
	defer a.cache.mu.Unlock()
	return len(a.cache.refused)
}
