package apikey

// Client is the proof that a request carried a registered key. It has the key as it was when the request was verified.
// It is as small as a pointer. The zero Client proves nothing; it has an empty ID and a zero [Key].
type Client struct{ r *record }

// NewClient returns the client of the key k, as a verifier would. It is for tests, and for code that verifies by other
// means. If no verifier would store k, for example because it has no ID, the error is [ErrInvalid].
func NewClient(k Key) (Client, error) {
	if err := k.validate(); err != nil {
		return Client{}, err
	}
	s := state{key: k.clone()}
	return Client{pack(&s)}, nil
}

// ID returns the id of the key.
func (c Client) ID() string {
	if c.r == nil {
		return ""
	}
	return c.r.id()
}

// Key returns the key. Its LastUsed is the present one, not that of the verification.
func (c Client) Key() Key {
	if c.r == nil {
		return Key{}
	}
	return c.r.key()
}
