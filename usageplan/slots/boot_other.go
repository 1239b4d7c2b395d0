//go:build !linux && !darwin

package slots

// systemBootID is unknown here, so what was spent of leases of earlier lives is unknown.
func systemBootID() string { return "" }
