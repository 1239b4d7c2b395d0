// Package sigv4 signs HTTP requests with AWS Signature Version 4 and verifies them.
//
// A verified request was made by someone who has the secret of the access key that the request names. It was made for
// this host, path, query and method, with these signed headers and this body, within the last five minutes. It may be a
// repetition: the date has a resolution of one second, so that two honest requests for the same thing can have the same
// signature.
//
//	verifier, err := sigv4.NewVerifier(sigv4.VerifierConfig{
//		Keys:    sigv4.Keyring{"AKIDEXAMPLE": {Secret: secret}}.Key,
//		Regions: []string{"eu-west-1"},
//	})
//	…
//	http.Handle("/", verifier.Handler(mux))
//
// Only AWS can verify keys that AWS has issued, because only AWS knows their secrets. Here the operator issues the
// keys. Or the operator has a key server that derives signing keys with [DeriveKey], so that no secret reaches the
// verifier.
//
// # Services
//
// Without further settings requests are read as API Gateway reads them. For another service set Services to its name.
// If its presigned URLs are to be valid for as long as X-Amz-Expires says, as at most services of AWS, set MaxExpires
// too. For an object store set S3, which changes how paths are read, and ErrorHandler to [S3XML].
//
// # Strictness
//
// What could be read in two ways is refused, each with its cause:
//
//   - two mechanisms at once, a parameter twice, or a list out of order;
//   - a ";" or a bad escape in the query, or dot segments in the path;
//   - a header that begins with X-Amz- and is not signed, or whose key is not in canonical form;
//   - in HTTP/2, a Host that differs from :authority;
//   - a Connection option that names a signed header, because the next proxy would remove that header (RFC 9110 7.6.1).
//
// If AWS has a text for a refusal, the answer has it byte for byte. If AWS is not known to have one, the answer is that
// the signature does not match. No answer repeats more than about 256 bytes of a field that the client sent.
//
// What every reader reads in the same way is accepted. A "+" in the query, but not in the path, is a space, as it is to
// net/url, and is signed as "%20". X-Amz-Date overrides Date, which may then have any value. A presigned URL without
// X-Amz-Expires is valid for the shorter of MaxAge and MaxExpires, except under [VerifierConfig].S3, which requires it.
//
// A signed header that is sent in two lines is one value to SigV4, the two lines joined by a comma, but
// [http.Header.Get] returns only the first. One line "a,b" and two lines "a" and "b" have the same signature. So a
// handler that decides by a header must read all of [http.Header.Values].
//
// The verifier reads the path and the query as they were sent, from [http.Request].RequestURI. So it may be inside
// [http.StripPrefix], and it must be outside anything else that changes them. If RequestURI is empty, as in requests
// that an adapter makes of Lambda events, the verifier reads r.URL. The absolute form of a target is refused; a test
// that calls httptest.NewRequest gives only the path.
//
// # Clients
//
// Tested with aws-cli, boto3, aws-sdk-go-v2, @smithy/signature-v4 (the JavaScript SDK), curl --aws-sigv4, Postman and
// Lambda function URLs. Some requests that these sign in another way than AWS reads them fail here as they fail at AWS.
// curl 7.88 neither sorts the query nor escapes the path twice: give it sorted queries and plain paths. A client that
// signs a "+" in a query as a plus sign must send "%2B".
//
// # Size
//
// A request is counted before it is parsed. The request line, the Authorization header and the signed headers may have
// 10 240 bytes together, which is API Gateway's limit, and the signed headers 256 values. The query may have 256
// parameters, 64 of them with names that begin with X-Amz-, and 15 360 bytes in canonical form.
// [VerifierConfig].MaxHeaderBytes changes the limits. A request beyond them is refused with [ErrTooLarge], which
// costs less than it costs to read the request from the connection. [Verifier.Present] has no limit and reads the query
// once.
//
// # The body
//
// The signature covers the body. If the request declares the hash of its body in X-Amz-Content-Sha256, the signature is
// verified before the body is read. Otherwise the body is read first, which aws-cli, boto3 and curl need. In both cases
// the whole body, at most [VerifierConfig].MaxBody, is in memory before the handler runs, and the handler reads it from
// there. If the access key is unknown, the body is not read, except under [VerifierConfig].OneAnswer. After a refusal,
// too, r.Body holds the whole body: what was read of it, followed by the rest.
//
// Memory grows with what has arrived of a body, and is at most 32 KiB more, whatever length the client declares. How
// long a client may take is for the server to limit, and by default net/http does not: set
// [http.Server].ReadHeaderTimeout for the header, and ReadTimeout for the header and the body together, as the Example
// does. A handler that accepts large bodies from known clients can extend the time with
// [http.ResponseController.SetReadDeadline].
//
// UNSIGNED-PAYLOAD must be allowed by [VerifierConfig].AllowUnsignedPayload. The verifier does not read such a body:
// the handler reads it as it arrives, and gets an error after MaxBody bytes. Uploads in aws-chunked form (STREAMING-…)
// are refused.
//
// Trailers are never signed. A trailer named Authorization or X-Amz-… is refused, announced or not, and never reaches
// the handler: if the handler itself reads the body, the read fails and the trailer is not in r.Trailer. A handler must
// not trust any other trailer either.
//
// # Signing
//
// [Signer.Sign] signs what net/http sends. So it comes last: after it, only headers that are not signed may change.
// In an [http.Client] use [Signer.Transport], which signs after the client has added its cookies. Sign changes some
// things to the form in which they arrive: spaces in the query, and several cookies. It refuses what would arrive in
// another form, and what a verifier would refuse, with the same causes: [ErrAmbiguous] and [ErrUnsigned].
// Headers that proxies and tracers change are not signed unless [SignerConfig].SignHeader selects them.
// [Signer.Presign] refuses a request whose Host is not the host of its URL.
//
// A reverse proxy that signs needs [SignerConfig].MaxSpool: the body that it passes on can be read only once, and the
// hash is sent before the body. Without MaxSpool such a request fails with [ErrBody], and a longer body fails with
// [ErrTooLarge].
//
// # What it does not do
//
// It says who the caller is, not what the caller may do. It does not verify SigV4A (ECDSA), event streams or
// browser-based POST uploads. It does not guess what a proxy has changed: set ExternalHost and PathPrefix if one has.
//
// # Failure
//
// A zero Verifier refuses every request, and a zero Signer signs none. [Verifier.Authenticate] returns a nil request
// with its error, so that a caller who goes on without looking at the error panics and serves nothing.
// [VerifierConfig].AllowDespite makes [Verifier.Handler] pass on refused requests, for a dry run or while the key
// source is down; such a request has no identity.
//
// # Observation
//
// [VerifierConfig].Observe is told each decision: an [Event] has the reason, the caller and the id of the request. The
// answer to a refusal has the same id in X-Amzn-RequestId, which [VerifierConfig].RequestID may choose.
//
// # Errors
//
// Every refusal is an [Error]. It names the access key that the request names. [Error].Detail is the part of the
// request that is at fault, and the text of the error says what is wrong with it. The client sees the status and AWS's
// text; [S3XML] answers as S3 does instead. "Mismatch" stands for AWS's text that the signature does not match. There
// is one cause for each thing that can be done. The causes of the service, about which the client can do nothing:
//
//   - [ErrNotConfigured]: 500. Use NewVerifier or NewSigner; each [Key] needs either Secret or SigningKey.
//   - [ErrUnavailable]: 503 with Retry-After; the request may be valid. Repair the key source; its own error is
//     wrapped.
//   - [ErrRedirect]: 500. [Signer.Transport] returns it. If the other server is trusted, send it a request of its own.
//
// The form of the request, for which the client's program must change. If a usual client sends it, a proxy has changed
// it:
//
//   - [ErrMissing]: 403, Missing Authentication Token. The client must sign, with version 4 and not version 2.
//   - [ErrMalformed]: 403. AWS's text names the Authorization header, a missing parameter, the date, X-Amz-Expires, the
//     algorithm (SigV4A is not supported) or the credential. Often the header is a bearer token: see
//     [Verifier.Present]. A bad signature, list of signed headers or payload hash is answered with mismatch.
//   - [ErrAmbiguous]: 403, mismatch, or AWS's text for an Authorization header sent with a presigned URL. The client
//     must send each header and parameter once, escape it, and send a plain and clean path. AllowUncleanPath accepts
//     others.
//   - [ErrUnsigned]: 403, AWS's text for a header, mismatch for the body. The client must sign the header in Detail; if
//     a proxy adds it, see AllowUnsignedHeaders. It must sign the body as a whole, without aws-chunked, or set
//     AllowUnsignedPayload.
//   - [ErrTooLarge]: 413 for the body, 431 for the header. MaxBody and MaxHeaderBytes allow more; if the signer returns
//     it, MaxSpool does.
//   - [ErrBody]: 400. The client has stopped in the middle of the body; the signer returns it for a body that it cannot
//     read.
//
// What the signature says, for which the client's settings must change:
//
//   - [ErrNotCurrent]: 403, with the times. Check the client's clock and the server's; MaxAge, MaxAhead and MaxExpires
//     allow more. Make a new presigned URL.
//   - [ErrScope]: 403, with each wrong part. Correct the client's region and service, or Regions and Services. The
//     client must take the day from the date, in UTC, and end the credential in aws4_request.
//   - [ErrUnknownKey]: 403, security token invalid; under OneAnswer, mismatch. Issue the key, or inform the client.
//   - [ErrSignatureMismatch]: 403, mismatch. Compare the secret, then [Error].Trace with what the client has signed. If
//     the body does not have the declared hash, or a signed header is absent, something on the way has changed them.
//   - [ErrSessionToken]: 403, security token invalid or expired. The client must get new temporary credentials, and
//     send the token that belongs to its key, or none.
//
// # Files
//
// verifier.go is the verification from beginning to end, and signer.go the signing; both build a signature in
// canonical.go. The other files have one concept each and are named after it; answers.go has the answer to each cause.
//
// # Sources
//
// AWS IAM User Guide, "AWS Signature Version 4 for API requests"; Amazon S3 API Reference, "Authenticating Requests
// (AWS Signature Version 4)"; AWS re:Post, "API Gateway IAM SigV4 mismatch"; API Gateway Developer Guide, "Quotas";
// FIPS 180-4 and RFC 2104; RFC 6585, RFC 9110, RFC 9112 and RFC 9113.
package sigv4
