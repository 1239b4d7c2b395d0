package apikey

import (
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode/utf8"
)

// Key is everything about an API key but its value. It holds no secret and may be logged, stored and sent.
//
// Keys are handed out as copies; the Tags map is shared by all copies and must not be modified.
type Key struct {
	// ID names the key and never changes: 10 characters of [a-z0-9]. [Verifier.Create] draws one when it is empty.
	ID string `json:"id"`

	// Name is at most 1024 characters and need not be unique.
	Name string `json:"name,omitempty"`

	// Description is at most 125 000 characters.
	Description string `json:"description,omitempty"`

	// CustomerID is the key holder's name in another system, at most 1024 characters.
	CustomerID string `json:"customerId,omitempty"`

	// Enabled keys are accepted. The zero value is a disabled key, as in API Gateway's CreateApiKey.
	Enabled bool `json:"enabled"`

	// Tags are at most 50 pairs: names of 1 to 128 characters outside "aws:", values of at most 256.
	Tags map[string]string `json:"tags,omitempty"`

	// Created and Updated are set by the verifier; a Created that is given to [Verifier.Create] is kept.
	Created time.Time `json:"createdDate,omitzero"`
	Updated time.Time `json:"lastUpdatedDate,omitzero"`

	// NotBefore and Expires bound the key's life: [NotBefore, Expires). A zero time is no bound.
	NotBefore time.Time `json:"notBefore,omitzero"`
	Expires   time.Time `json:"expires,omitzero"`

	// LastUsed is the second of the latest accepted use, zero if there was none. It is kept in memory and
	// travels in a [Change] as of that change; a use by itself makes no change.
	LastUsed time.Time `json:"lastUsed,omitzero"`
}

// Bounds of a key's fields, from API Gateway's CreateApiKey and its quotas page.
const (
	lengthID          = 10
	maxName           = 1024
	maxDescription    = 125_000
	maxTags           = 50
	maxTagName        = 128
	maxTagValue       = 256
	reservedTagPrefix = "aws:"
)

const (
	lower   = "abcdefghijklmnopqrstuvwxyz"
	digits  = "0123456789"
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + lower
)

// errID tells the log what the client's text, API Gateway's, does not: which form an id has.
var errID = fmt.Errorf("%w: Key.ID is not %d characters of [a-z0-9]", ErrInvalid, lengthID)

// validate reports the first rule that k breaks, in API Gateway's words where it has words.
func (k *Key) validate() error {
	switch {
	case len(k.ID) != lengthID || !within(k.ID, lower+digits):
		return &Error{Err: errID, Message: "Invalid API Key identifier specified"}
	case !text(k.Name, maxName):
		return invalid("Invalid API Key name, can be at most 1024 characters.")
	case !text(k.Description, maxDescription):
		return invalid("Invalid API Key description specified.")
	case !text(k.CustomerID, maxName):
		return invalid("Invalid API Key customer identifier, can be at most 1024 characters.")
	case !tags(k.Tags):
		return invalid("Invalid API Key tags specified.")
	}
	for _, t := range []time.Time{k.Created, k.Updated, k.NotBefore, k.Expires, k.LastUsed} {
		if !representable(t) {
			return invalid("Invalid API Key date, must be between 1678 and 2261.")
		}
	}
	if !k.NotBefore.IsZero() && !k.Expires.IsZero() && !k.NotBefore.Before(k.Expires) {
		return invalid("Invalid API Key dates, the key must start before it expires.")
	}
	return nil
}

// clone returns k with a Tags map of its own.
func (k *Key) clone() Key {
	c := *k
	c.Tags = maps.Clone(k.Tags)
	return c
}

// representable reports whether UnixNano holds t: 1678 to 2261 are the whole years of 64 bits.
func representable(t time.Time) bool {
	y := t.UTC().Year()
	return t.IsZero() || y >= 1678 && y <= 2261
}

func text(s string, most int) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= most
}

func tags(m map[string]string) bool {
	for name, value := range m {
		if name == "" || !text(name, maxTagName) || strings.HasPrefix(name, reservedTagPrefix) || !text(value, maxTagValue) {
			return false
		}
	}
	return len(m) <= maxTags
}

func within(s, alphabet string) bool {
	return strings.Trim(s, alphabet) == ""
}
