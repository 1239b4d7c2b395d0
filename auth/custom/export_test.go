package custom

// The causes that have an answer of their own although they are not exported.
var (
	ErrExplicitDeny = errExplicitDeny
	ErrURITooLong   = errURITooLong
)

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
