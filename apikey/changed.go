package apikey

import (
	"maps"
	"strconv"
	"strings"
	"time"
)

// changed says for people what an update has changed of a key, as [Verifier.History] tells it: "enabled: true → false;
// name: "a" → "b"". Of a description and of tags it says only that they have changed, because they may be long.
func changed(before, after *Key) string {
	var said []string
	say := func(field, from, to string) {
		if from != to {
			said = append(said, field+": "+from+" → "+to)
		}
	}
	say("enabled", strconv.FormatBool(before.Enabled), strconv.FormatBool(after.Enabled))
	say("name", strconv.Quote(clip(before.Name)), strconv.Quote(clip(after.Name)))
	say("customerId", strconv.Quote(clip(before.CustomerID)), strconv.Quote(clip(after.CustomerID)))
	say("notBefore", bound(before.NotBefore), bound(after.NotBefore))
	say("expires", bound(before.Expires), bound(after.Expires))
	if before.Description != after.Description {
		said = append(said, "description")
	}
	if !maps.Equal(before.Tags, after.Tags) {
		said = append(said, "tags")
	}
	return strings.Join(said, "; ")
}

// bound is a bound of a key's validity, "none" if it has none.
func bound(t time.Time) string {
	if t.IsZero() {
		return "none"
	}
	return t.UTC().Format(time.RFC3339)
}
