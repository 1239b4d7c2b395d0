package custom

// The causes that have an answer of their own although they are not exported.
var (
	ErrExplicitDeny = errExplicitDeny
	ErrURITooLong   = errURITooLong
)
