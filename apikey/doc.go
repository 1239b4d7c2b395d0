// Package apikey tells which registered client sent a request. It finds the API key in the request, as Amazon API
// Gateway does for methods with apiKeyRequired, and keeps the keys.
//
//	keys, err := apikey.New(apikey.Config{Keys: []apikey.Entry{{
//		Key:   apikey.Key{ID: "fr92a5qpbj", Name: "julianwood", Enabled: true},
//		Value: "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT",
//	}}})
//	http.Handle("/", keys.Handler(next)) // in next: apikey.ID(r), apikey.FromContext(r.Context())
//
// # What it proves
//
// The request carries the value of a key that is registered, enabled and within its dates at this moment. A change of a
// key acts on the next request.
//
// # What it does not do
//
// An API key names a client program. The client sends it as it is with every request, so it must travel over TLS, and
// it does not prove who uses the program. AWS says "Don't use API keys for authentication or authorization": put sigv4
// or auth in front of it. How fast and how much a key may call is decided by usageplan, which takes [ID], or
// [CustomerID] if all keys of one customer share a quota.
//
// For a dry run, set [Config].AllowDespite: a request that is refused goes on without a proof. [Verifier.Verify] and
// [Verifier.Authenticate] still refuse it.
//
// # Values
//
// A value is a [Secret]. It is stored as its HMAC-SHA-256 under [Config].Pepper. With a [Sealer], it is also stored
// encrypted, and [Verifier.Reveal] shows it again; otherwise nothing does. With a journal, each reveal is in the
// history of the key before the value is shown. So a call that shows values costs one append, and none is shown while
// the journal does not answer.
//
// [Verifier.Generate] makes a new one, in API Gateway's form or with a prefix by which secret scanners find it
// ([Config].Prefix, [Verifier.Pattern]). [AppSync] makes AppSync's values with their expiry. A value from elsewhere is
// accepted too: 20 to 128 visible ASCII characters without a comma. [ReadCSV] reads API Gateway's key file.
//
// API Gateway's values never change. Here, [Verifier.Rotate] gives a key a new value, while the old one stays valid for
// a grace period. The key's id stays the same, and so does everything that is counted by it.
//
// # Errors
//
// What the client gets for each cause, and what the operator does about it:
//
//   - [ErrMissing]: 403 Forbidden. Nothing: the client has to send a key.
//   - [ErrUnknown]: 403 Forbidden. Nothing: the client has to send its key. The text says if the value cannot be that
//     of any key, for example because it is mistyped, or if the header X-API-Key came twice with different values.
//   - [ErrInactive]: 403 Forbidden. The key that [Error].KeyID names is disabled, has expired or is not valid yet, or
//     the value was replaced and its grace is over; the text says which. Nothing, or change the key with
//     [Verifier.Update].
//   - [ErrStale]: 503, with Retry-After. The keys are older than [Config].MaxStale, and the journal does not answer.
//     Look at its store, and at the network to it. [Config].AllowDespite may admit such requests.
//   - [ErrNotConfigured]: 500. Make the verifier with [New]. If the text is about the pepper, set [Config].Pepper to
//     that of the other nodes, and of earlier runs. If it is about a value, give its sealing key to [NewSealer].
//   - [ErrInvalid]: 400. Correct the key, the value or the file; [Error].Message says what is wrong.
//   - [ErrNotFound]: 404. Correct the id.
//   - [ErrExists]: 409. Choose another id or value; [Error].KeyID names the key that has it.
//   - [ErrUnavailable]: 503, with Retry-After. Look at the store of the journal, or at a context that has ended. It is
//     unknown whether the change was made; the next change or [Verifier.Refresh] tells.
//
// Every request that is refused because of its key gets the same answer, API Gateway's {"message":"Forbidden"}. The
// cause is for logs.
//
// # Watching it
//
// [Config].Observe is told each decision about a request, and why it was refused. [Verifier.Stats] has figures about the
// keys: an alarm is due when Age stays above a few seconds although the node follows. [journal.Observe] tells what the
// journal is used for, and why it fails.
//
// # Time and failure
//
// Verifying takes no lock and does not wait for changes. Values of an accepted length all cost the same steps, except
// that the checksum of a value with the prefix, which is not secret, is checked first: one hash, a search that depends
// on the pepper, comparisons in constant time, all checks. So the time of a refusal does not tell whether the value is
// known. Dates are compared with the wall clock.
//
// Changes are made one at a time. Each is appended to [Config].Journal before it is visible, and carries the name of
// API Gateway's operation. A process that opens the journal again has the same keys. Nodes that share a journal decide
// one after the other, so no value has two keys.
//
// What another node has changed acts here after [Verifier.Refresh], and when a change is made or refused here. With
// [Config].Follow it acts within a second, also where the store's notification is lost. A node that is cut off cannot
// know that it is behind. [Config].MaxStale decides what it does: refuse with [ErrStale], or go on. On Lambda, where a
// frozen goroutine follows nothing, set MaxStale alone: the first request after a thaw asks.
//
// A typical key takes less than 200 bytes of memory, and a sealed value 64 to 80 bytes more.
//
// # Files
//
// Start with verifier.go (the decision), handler.go and current.go (other nodes). What an operator is told: observe.go,
// stats.go. Changes: change.go, reveal.go, rows.go, import.go over csv.go; their way to and from the journal: codec.go,
// apply.go, seal.go, pepper.go. Reading: read.go. What a key is: key.go, value.go, prefix.go, secret.go. How it is
// found without a lock: digest.go, record.go, keys.go over table.go and order.go.
//
// Four exported names are for others than the caller. Packages fmt, encoding/json and encoding/gob find Format,
// MarshalText and MarshalBinary of a [Secret], and so never write its value. [Verifier.Pattern] is for the rules of a
// secret scanner.
//
// # Sources
//
// API Gateway Developer Guide: "Usage plans and API keys for REST APIs", "API Gateway API key file format", "Gateway
// response types", "Quotas"; API Gateway API Reference: CreateApiKey, UpdateApiKey, ImportApiKeys; AppSync API
// Reference: CreateApiKey; RFC 2104 (HMAC).
package apikey
