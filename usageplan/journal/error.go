package journal

import "errors"

// Causes, for [errors.Is].
var (
	// ErrBehind: the writer has not seen the head of the journal. Nothing was stored.
	ErrBehind = errors.New("journal: the writer is behind the head")

	// ErrTooLarge: a change is outside the bounds of [Journal].Append. Nothing was stored.
	ErrTooLarge = errors.New("journal: not a change of 1 to 10 000 items and 64 MiB")

	// ErrUnavailable: the store has not answered, or what it answered cannot be used. A change may have been made or
	// not.
	ErrUnavailable = errors.New("journal: the store has not answered")
)
