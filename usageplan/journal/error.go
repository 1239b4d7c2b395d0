package journal

import "errors"

// Causes, for [errors.Is].
var (
	// ErrBehind: the writer has not seen the head of the journal. Nothing was stored.
	ErrBehind = errors.New("journal: the writer is behind the head")

	// ErrTooLarge: a change is outside the bounds of [Journal].Append. Nothing was stored.
	ErrTooLarge = errors.New("journal: not a change of 1 to 10 000 items and 64 MiB")

	// ErrUnavailable: the store has not answered, or what it answered cannot be used. A change may have been made or
	// not. From [Topic.Renew]: the state is too old to decide by.
	ErrUnavailable = errors.New("journal: no usable answer from the store")

	// ErrDiffers: the target of a [Copy] is not a part of a copy of the source, or one of the two was changed
	// meanwhile. No item of the target was replaced. If the text says that the source has changed, copy again;
	// otherwise copy to an empty journal.
	ErrDiffers = errors.New("journal: the target of the copy differs from the source")
)
