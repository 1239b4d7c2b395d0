// Package apikey tells which registered client calls: it finds the API key in a request, as Amazon API Gateway's
// methods with apiKeyRequired do, and keeps the keys.
//
//	keys, err := apikey.New(apikey.Config{Keys: []apikey.Entry{{
//		Key:   apikey.Key{ID: "fr92a5qpbj", Name: "julianwood", Enabled: true},
//		Value: "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT",
//	}}})
//	http.Handle("/", keys.Handler(next)) // in next: apikey.ID(r), apikey.FromContext(r.Context())
//
// # What it proves
//
// That the request carries the value of a key which is registered, enabled and within its dates at this moment. A
// change of a key acts on the next request. A request without such a value gets API Gateway's answer, 403
// {"message":"Forbidden"}, whatever the reason; the reason is in the [Error], for logs.
//
// # What it does not do
//
// An API key names a client program; it is sent as it is with every request, so it must travel over TLS, and it is no
// proof of who uses the program. AWS says "Don't use API keys for authentication or authorization": put sigv4 or auth
// before it. How fast and how much a key may call is decided by usageplan, which takes [ID], or [CustomerID] where all keys
// of one customer share a quota.
//
// A dry run is [Config].AllowDespite: a request that is refused goes on without a proof, and [Verifier.Verify] and
// [Verifier.Authenticate] still refuse it.
//
// # Values
//
// A value is stored as its HMAC-SHA-256 under a [Pepper]; nothing gives it back. [Generate] draws values of API
// Gateway's form, [Prefix] those that secret scanners find and that are refused without a lookup when mistyped,
// [AppSync] those of AppSync with their expiry. Values from elsewhere, 20 to 128 characters, are taken as they are, and
// [Verifier.Import] reads API Gateway's key file. Unlike API Gateway's keys, whose values never change,
// [Verifier.Rotate] gives a key a new one while the old one stays valid for a grace period; the key's id, and so what
// is counted by it, stays the same.
//
// # Time and failure
//
// Lookups take no lock and do not wait for changes. The lookup of every value of the right length takes the same
// steps: the same hash, a search whose course depends on the pepper, comparisons in constant time, all checks; so the
// time of a refusal does not tell whether a value is known. Form and checksum, which are no secret, are checked before.
// Dates are held against the wall clock; one that is set by hand is noticed within a second.
//
// Changes go one at a time through [Config.Commit], before they are visible; a change that cannot be committed is not
// made and answers 503. A process that restores the changes through [Config.Restore] has the same keys again. Processes
// that share a store see each other's changes only by restoring them anew.
//
// A key of the usual kind takes less than 200 bytes of memory.
//
// # Sources
//
// API Gateway Developer Guide: "Usage plans and API keys for REST APIs", "API Gateway API key file format", "Gateway
// response types", "Quotas"; API Gateway API Reference: CreateApiKey, UpdateApiKey, ImportApiKeys; AppSync API
// Reference: CreateApiKey; RFC 2104 (HMAC).
package apikey
