package custom

// Kept returns how many results a keeps.
func Kept(a *Authorizer) int {
	a.results.mu.Lock()
	defer a.results.mu.Unlock()
	return len(a.results.kept)
}

// KeptRefusals returns how many refusals a keeps.
func KeptRefusals(a *Authorizer) int {
	a.results.mu.Lock()
	defer a.results.mu.Unlock()
	return len(a.results.refused)
}
