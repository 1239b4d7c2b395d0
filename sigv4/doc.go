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
// parameters twice, lists out of order, a ";" or bad escape in the query, dot segments in the path, headers beginning with
// X-Amz- that are not signed or whose keys an adapter has left out of canonical form, in HTTP/2 a Host that differs from
// :authority, and a Connection option that names a signed header, for the next proxy would take that header away (RFC 9110
// 7.6.1). Where AWS has a text for a refusal it is sent, byte for byte; for what AWS is not known to refuse by name, the
// answer is that the signature does not match. No answer repeats more than some 256 bytes of a field that the client sent.
//
// What has one meaning to every reader is accepted. A "+" in the query, not in the path, is a space, as it is to
// net/url, and is signed as "%20". X-Amz-Date overrides Date, which may then hold anything. A presigned URL without
// X-Amz-Expires is good for the shorter of MaxAge and MaxExpires, except to S3, which wants it.
//
// A signed header that is sent in two lines is one value to SigV4, the two joined by a comma, whereas [http.Header.Get]
// returns the first of them. One line "a,b" and two lines "a" and "b" have the same signature: a handler that decides by a
// header reads all of [http.Header.Values].
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
// 7.88 neither sorts the query nor escapes the path twice, so give it sorted queries and plain paths; clients that sign a
// "+" in a query as the plus sign that they mean must send "%2B". A request that is signed with Signature Version 2 is
// refused with [ErrVersion2] among its causes.
//
// # Size
//
// Requests are counted before they are parsed: the request line, the Authorization header and the signed headers may have
// 10 240 bytes, which is API Gateway's limit, and the signed headers 256 values. The query may have 256 parameters, of which
// 64 with names that begin with X-Amz-, and 15 360 bytes in canonical form. See [VerifierConfig].MaxHeaderBytes. Beyond that
// a request is refused with [ErrHeaderTooLarge], 431, at a cost below that of reading it from the connection.
// [Verifier.Present] has no limit and reads the query once.
//
// # The body
//
// The body is part of the signature. If the request declares its hash (X-Amz-Content-Sha256), the signature is verified
// before a byte of the body is read. Otherwise the body is read first, which is what aws-cli, boto3 and curl need. Either
// way all of it, at most [VerifierConfig].MaxBody, is in memory before the handler runs, and the handler reads it from
// there. An access key that is unknown is refused before the body is read, unless there is to be [VerifierConfig].OneAnswer.
// After a refusal too, r.Body holds the whole body: what was read of it, followed by the rest.
//
// Memory is taken for what has arrived of a body and at most 32 KiB more, whatever length is claimed. How long a client may
// take to send it is for the server to say, and net/http has no limit of its own. Set [http.Server].ReadHeaderTimeout, for
// the header, and ReadTimeout, for the header and the body together; the Example does. A handler that takes large bodies
// from clients it knows can extend it by [http.ResponseController.SetReadDeadline].
//
// UNSIGNED-PAYLOAD must be allowed by name. Such a body is not read by the verifier: the handler reads it as it comes in and
// meets an error after MaxBody bytes. aws-chunked uploads (STREAMING-…) are refused.
//
// Trailers are never signed. One that begins with X-Amz-, or is named Authorization, is refused, announced or not, and does
// not reach the handler: where the handler itself reads the body, the read fails and the trailer is not in r.Trailer. No
// other trailer may be trusted.
//
// # Signing
//
// [Signer.Sign] signs what net/http sends, so it comes last: after it nothing of the request may change but the headers
// that are not signed. In an [http.Client] use [Signer.Transport], which signs after the client has added its cookies. Sign
// sets a few things to the form in which they arrive (spaces in the query, several cookies), and refuses what would arrive
// otherwise or be refused, by the causes that a verifier has: [ErrMalformedTarget], [ErrAmbiguousQuery],
// [ErrAmbiguousHeader], [ErrUnsignedHeader]. Headers that proxies and tracers change are not signed unless
// [SignerConfig].SignHeader says so. [Signer.Presign] refuses a request whose Host is not that of its URL.
//
// A reverse proxy that signs needs [SignerConfig].MaxSpool, since the body that it passes on can be read only once and its
// hash stands before it. Without it such a request fails with [ErrBody], and a body beyond it with [ErrBodyTooLarge].
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
// Refusals are 403 as API Gateway's are, except a header that is too large, 431, a body that is too large, 413, and one that
// breaks off, 400. An [Error] names the access key that was claimed and the part of the scope that is wrong. If the key
// source fails, the answer is 503: the request may be good. A zero Verifier answers 500. [S3XML] answers as S3 does.
//
// # Sources
//
// AWS IAM User Guide, "AWS Signature Version 4 for API requests"; Amazon S3 API Reference, "Authenticating Requests (AWS
// Signature Version 4)"; AWS re:Post, "API Gateway IAM SigV4 mismatch"; API Gateway Developer Guide, "Quotas"; FIPS 180-4 and
// RFC 2104; RFC 6585, RFC 9110, RFC 9112 and RFC 9113.
package sigv4
