// Package session issues temporary credentials for package sigv4, and verifies requests that are signed with them,
// without a database. It is what AWS STS does behind AssumeRole.
//
//	keys, err := session.New(session.Config{
//		SealingKeys: []sigv4.Secret{key}, // 32 random bytes
//		Base:        sigv4.Keyring{"AKIDEXAMPLE": {Secret: secret}}.Key,
//	})
//	…
//	verifier, err := sigv4.NewVerifier(sigv4.VerifierConfig{Keys: keys.Key, Regions: []string{"eu-west-1"}})
//	…
//	credentials, err := keys.Issue(session.Session{
//		Principal: "arn:aws:sts::123456789012:assumed-role/Points/julianwood",
//		Role:      "arn:aws:iam::123456789012:role/Points",
//		Expires:   time.Now().Add(time.Hour),
//	})
//
// The client signs with the credentials as with any others, and each request carries their session token. Handlers get
// the session by [FromContext].
//
// # How it works
//
// The session token is a sealed capsule: the secret access key and the session, encrypted with AES-256-GCM and a random
// nonce (NIST SP 800-38D). The access key id is associated data, so a token fits no other id. A token names its sealing
// key by a digest. Every process with the same sealing keys knows every session, and none stores anything.
//
// The token is opened before the signature is verified, since it has the secret. What it says counts only if the
// signature is valid, the session has not expired and the token is the one that was issued: package sigv4 checks these.
// A token has at most 4 096 bytes, and a longer one is refused before it is decoded.
//
// Opened tokens are remembered, see [Config].CacheSize. A forged token costs about half of a verification and leaves
// nothing in memory.
//
// # What it does not do
//
// It decides who calls, not what the caller may do: package policy evaluates the role's policies and the session
// policy, once the application hands it both, as in examples/session_test.go. It has no wire protocol: package sts
// speaks AWS's.
//
// A session cannot be taken back by itself, because nothing is stored. Revoke it by [Config].Revoked, by a policy that
// denies sessions issued before an instant, or all sessions at once by removing the sealing key. Such a policy reads
// aws:TokenIssueTime. It denies nothing if the gate's Facts do not bring that key.
//
// Issued and Expires are compared with the clock of the node that verifies. Nodes whose clocks differ by a minute end a
// session a minute apart.
//
// # Errors
//
//   - [ErrNotConfigured]: correct the [Config], and make Keys with [New].
//   - [ErrInvalid]: Issue refuses the session; the error names each mistake. Shorten the policy or the tags if the
//     token would be too long.
//   - [sigv4.ErrUnknownKey]: the token is malformed, too long, changed, of another access key or of an unknown sealing
//     key, or the session was revoked. The client gets 403 UnrecognizedClientException and needs new credentials. If
//     many do, compare the sealing keys of the nodes.
//   - [sigv4.ErrSessionToken]: the session has expired. The client gets 403 ExpiredTokenException.
//   - [sigv4.ErrUnavailable]: Config.Revoked has failed, or a capsule that one of our keys has sealed cannot be
//     read. The client gets 503. A capsule of a later version is read by a later release.
//
// # Files
//
// keys.go (issue and look-up), session.go (what a session is), capsule.go (its bytes), seal.go (the token), cache.go,
// config.go.
//
// # Sources
//
// AWS Security Token Service API Reference; IAM User Guide: "Temporary security credentials in IAM", "IAM identifiers".
package session
