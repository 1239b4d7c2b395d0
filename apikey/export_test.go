package apikey

// The causes that wrap ErrUnknown and ErrInactive with a text of their own.
var (
	ErrAmbiguous   = errAmbiguous
	ErrMalformed   = errMalformed
	ErrDisabled    = errDisabled
	ErrExpired     = errExpired
	ErrNotYetValid = errNotYetValid
)
