package apikey

import (
	"fmt"
	"io"
)

const redacted = "REDACTED"

// Secret is the value of an API key, which the client sends, or the pepper under which values are hashed. It prints as
// REDACTED in fmt, in log/slog, in encoding/gob, and as a value in JSON and XML.
//
// It is still a string, so that a literal can be one. Therefore these show it: a conversion to string, by which a new
// value is shown to its owner; the verbs %p and %w of fmt, which go vet reports; fmt if the Secret is in an unexported
// field of another type; JSON if it is the key of a map; and encodings that look at the kind of a type and not at its
// methods.
type Secret string

// Format prints REDACTED for all verbs but %p, %T and %w, which fmt handles itself.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns REDACTED, for JSON, log/slog and similar encodings.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary returns REDACTED, for encoding/gob and similar encodings. What they write cannot be read back.
func (Secret) MarshalBinary() ([]byte, error) { return []byte(redacted), nil }
