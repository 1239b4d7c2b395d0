// Package sigv4 signs HTTP requests with AWS Signature Version 4 and verifies them.
//
// A verified request was made by someone who holds the secret of the access key that it names, for this host, path, query
// and method, with these headers and this body, within the last five minutes. It may be a repetition: the date has a
// resolution of one second, so that two honest requests for the same thing can carry the same signature.
//
//	verifier, err := sigv4.NewVerifier(sigv4.VerifierConfig{
//		Keys:    sigv4.Keyring{"AKIDEXAMPLE": {Secret: secret}}.Key,
//		Regions: []string{"eu-west-1"},
//	})
//	…
//	http.Handle("/", verifier.Handler(mux))
//
// Nobody but AWS can verify keys that AWS has issued, for nobody else knows the secrets. The operator issues the keys, or
// has a key server that derives signing keys with [DeriveKey], so that no secret reaches the verifier.
//
// # Strictness
//
// Everything that could be read in two ways is refused, each with a cause of its own (see [Error]): two mechanisms at once,
// parameters twice, lists out of order, a "+", ";" or bad escape in the query, dot segments in the path, headers beginning
// with X-Amz- that are not signed or whose keys an adapter has left out of canonical form. Where AWS has a text for a
// refusal it is sent, byte for byte; for what AWS is not known to refuse by name, the answer is that the signature does not
// match.
//
// The verifier reads the request as it was sent: the path and query of [http.Request].RequestURI. So it may stand inside
// [http.StripPrefix], and outside whatever else rewrites r.URL. Where RequestURI is empty, as in requests that an adapter
// made of Lambda events, it reads r.URL. The absolute form of a target is refused; a test that makes a request by
// httptest.NewRequest gives the path alone.
//
// # Clients
//
// aws-cli, boto3, aws-sdk-go-v2, @smithy/signature-v4 (the JavaScript SDK), curl --aws-sigv4, Postman and Lambda function
// URLs are tested. Two of them sign some requests otherwise than AWS reads them, which fail here as they fail there: curl
// 7.88 neither sorts the query nor escapes the path twice, so give it sorted queries and plain paths; Postman takes a
// "+" in a query for a space, so write "%20".
//
// # The body
//
// The body is part of the signature. If the request declares its hash (X-Amz-Content-Sha256), the signature is verified
// before a byte of the body is read. Otherwise the body is read first, which is what aws-cli, boto3 and curl need. Either
// way all of it, at most [VerifierConfig].MaxBody, is in memory before the handler runs, and the handler reads it from
// there. A refusal that needed no byte of the body leaves it as it was; after any other there is nothing of it left to read.
//
// UNSIGNED-PAYLOAD must be allowed by name. Such a body is not read by the verifier: the handler reads it as it comes in and
// meets an error after MaxBody bytes. aws-chunked uploads (STREAMING-…) are refused.
//
// Trailers are never signed. Those that begin with X-Amz- are refused, announced or not; any other is hearsay.
//
// # What it does not do
//
// It does not say what the caller may do, only who the caller is. It does not verify SigV4A (ECDSA), event streams or
// browser-based POST uploads. It does not guess what a proxy has changed: set ExternalHost and PathPrefix where one has.
//
// # Failure
//
// [Verifier.Authenticate] returns a nil request with its error, so that a caller who goes on without looking at the error
// panics and serves nothing. [VerifierConfig].AllowDespite makes [Verifier.Handler] pass refused requests on, for a dry run
// or while the key source is down; what it passes on has no identity.
//
// Refusals are 403 as API Gateway's are, except a body that is too large, 413, and one that breaks off, 400. If the key
// source fails, the answer is 503: the request may be good. A zero Verifier answers 500. [S3XML] answers as S3 does.
//
// # Sources
//
// AWS IAM User Guide, "AWS Signature Version 4 for API requests"; Amazon S3 API Reference, "Authenticating Requests (AWS
// Signature Version 4)"; AWS re:Post, "API Gateway IAM SigV4 mismatch"; FIPS 180-4 and RFC 2104; RFC 9110 and RFC 9112.
package sigv4
