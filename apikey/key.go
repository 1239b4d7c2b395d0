package apikey

import (
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode/utf8"
)

// Key is all that is stored of an API key, apart from its value. It holds no secret: it may be logged, stored and sent.
//
// The verifier returns keys as copies. All copies share one Tags map, which must not be modified.
type Key struct {
	// ID identifies the key and never changes: 10 characters of [a-z0-9]. If it is empty, [Verifier.Create] draws one.
	ID string `json:"id"`

	// Name is at most 1024 characters and need not be unique.
	Name string `json:"name,omitempty"`

	// Description is at most 125 000 characters.
	Description string `json:"description,omitempty"`

	// CustomerID is the id of the key's owner in another system, at most 1024 characters.
	CustomerID string `json:"customerId,omitempty"`

	// Enabled makes the verifier accept the key. A key is disabled by default, as in API Gateway's CreateApiKey.
	Enabled bool `json:"enabled"`

	// Tags are at most 50 pairs. A name has 1 to 128 characters and does not begin with "aws:". A value has at most
	// 256.
	Tags map[string]string `json:"tags,omitempty"`

	// Created and Updated are set by the verifier. [Verifier.Create] keeps a Created that is not zero.
	Created time.Time `json:"createdDate,omitzero"`
	Updated time.Time `json:"lastUpdatedDate,omitzero"`

	// NotBefore and Expires are when the key starts and ends to be valid: [NotBefore, Expires). A zero time is no
	// bound.
	NotBefore time.Time `json:"notBefore,omitzero"`
	Expires   time.Time `json:"expires,omitzero"`

	// LastUsed is when the key was last accepted, in whole seconds; zero if it never was. It is kept in memory. A use
	// changes nothing in the journal; a change that is made for another reason stores the LastUsed of that time.
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

// errID says what the form of an id is. It is for logs: the client gets API Gateway's text, which does not say it.
var errID = fmt.Errorf("%w: Key.ID is not %d characters of [a-z0-9]", ErrInvalid, lengthID)

// validate returns an error for the first rule that k breaks, in API Gateway's words where there are such, or nil.
func (k *Key) validate() error {
	switch {
	case !validID(k.ID):
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

func validID(id string) bool { return len(id) == lengthID && within(id, lower+digits) }

// clone returns k with a Tags map of its own.
func (k *Key) clone() Key {
	c := *k
	c.Tags = maps.Clone(k.Tags)
	return c
}

// representable reports whether t is zero or UnixNano can represent it, which is so in the years 1678 to 2261.
func representable(t time.Time) bool {
	y := t.UTC().Year()
	return t.IsZero() || y >= 1678 && y <= 2261
}

// text reports whether s is UTF-8 of at most most characters.
func text(s string, most int) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= most
}

// tags reports whether m may be the tags of a key.
func tags(m map[string]string) bool {
	for name, value := range m {
		if name == "" || !text(name, maxTagName) || strings.HasPrefix(name, reservedTagPrefix) || !text(value, maxTagValue) {
			return false
		}
	}
	return len(m) <= maxTags
}

// within reports whether s has only characters of alphabet.
func within(s, alphabet string) bool {
	return strings.Trim(s, alphabet) == ""
}
