// Package sts hands out temporary credentials of a role, as AWS STS does. AWS's SDKs and aws-cli use it by its URL. The
// credentials sign requests for a [sigv4.Verifier] with the same [session.Keys].
//
//	server, err := sts.New(sts.Config{
//		Verifier: verifier, // a *sigv4.Verifier for the service "sts"
//		Sessions: sessions, // a *session.Keys
//		Roles: []sts.Role{{
//			ARN: "arn:aws:iam::123456789012:role/Points",
//			Trust: `{"Version": "2012-10-17", "Statement": [{
//				"Effect": "Allow",
//				"Principal": {"AWS": "arn:aws:iam::123456789012:user/julianwood"},
//				"Action": "sts:AssumeRole"
//			}]}`,
//		}},
//	})
//	…
//	http.Handle("/sts", server)
//	http.Handle("/sts/", server)
//
// It proves that the trust policy of the role allows the caller, whose signature or token is verified. It stores
// nothing.
//
// A service in a container needs no code of its own for this. With the four variables AWS_ENDPOINT_URL_STS,
// AWS_ROLE_ARN, AWS_ROLE_SESSION_NAME and AWS_WEB_IDENTITY_TOKEN_FILE, the default credential chain of AWS's SDKs
// exchanges the token in the file.
//
// # Actions
//
//	AssumeRole                   signed by a permanent key or by temporary credentials
//	AssumeRoleWithWebIdentity    not signed; the caller brings a token that [Config].Tokens accepts
//	GetCallerIdentity            signed, also as a presigned URL; needs no permission
//
// The query protocol of AWS has parameters in a form and answers in XML. A signature must cover the body. A signed
// request can be sent again within the verifier's MaxAge, as at AWS. Answers hold secrets. So serve this by TLS.
//
// # Trust policies
//
// A trust policy is an IAM document about the role, evaluated by package policy. So it has no Resource. Statements that
// allow have Principal and list their actions: sts:AssumeRole, sts:AssumeRoleWithWebIdentity; sts:TagSession for
// session tags; sts:SetSourceIdentity for a source identity, which a session keeps through a chain of roles.
//
// Principal is of kind AWS for callers with keys, and of kind Federated for those with tokens: the issuer's URL without
// https://, or the ARN of an oidc-provider of the role's account. A caller with a permanent key is named by the
// Principal of its [sigv4.Key], which must be an ARN. A statement that allows a Federated principal must say for whom
// the token is (PROVIDER:aud) or about whom (PROVIDER:sub), by StringEquals, StringEqualsIgnoreCase or StringLike.
// Without that, every token of the issuer would do.
//
// Conditions may ask for the keys of package policy and for these:
//
//	sts:ExternalId, sts:RoleSessionName, sts:SourceIdentity, sts:DurationSeconds, aws:RequestTag/…, aws:TagKeys
//	PROVIDER:aud, PROVIDER:sub, PROVIDER:amr
//
// PROVIDER:aud is the claim azp if there is one, as at AWS, else the audience. A token with several audiences has no
// such key. A key with one value may stand for a value, as in "${aws:RequestTag/team}".
//
// The callers of a third party that acts for many customers must bring sts:ExternalId; otherwise one customer could have
// it act on another's role (the confused deputy).
//
// For callers with keys, IAM's rules about policies decide, see [policy.Set]. A trust policy that names the caller is
// enough in the role's account. One that names an account, and any other account's caller, needs [Config].Policies to
// allow as well. The session policy of the caller counts too, and so does its permissions boundary.
//
// # Sessions
//
// The principal of a session is arn:aws:sts::ACCOUNT:assumed-role/ROLE/NAME, and the caller chooses the name, as at
// AWS. Where limits count by principal, pin it: a condition such as {"StringEquals": {"sts:RoleSessionName":
// "${aws:username}"}} lets each caller have its own name only, and "${login.example:sub}" does the same for tokens.
//
// A session lasts one hour unless the request says otherwise, between 15 minutes and [Role].MaxDuration. A session that
// was assumed with temporary credentials lasts one hour at most.
//
// # What it does not do
//
// It does not decide what the role may do: the gate of package policy does. The gate narrows that by the session policy
// only if the application hands it over, as an example shows. It has no managed policies, transitive tags or MFA: the
// parameters PolicyArns, TransitiveTagKeys, ProvidedContexts, SerialNumber and TokenCode are refused, since to ignore
// them would give a caller more than it asked for. It has no SAML. It does not list or change roles.
//
// # Errors
//
// Every refusal is an [*Error] with AWS's code and text. Answers have AWS's status, except that a dependency that is
// down is always 503, so that clients try again.
//
//   - [ErrNotConfigured]: 500 InternalFailure. Make the server with [New], and handle its error.
//   - [ErrInvalid]: 400 ValidationError, InvalidParameterValue, InvalidAction, MalformedInput (a parameter that occurs
//     twice, parameters in body and query), MalformedPolicyDocument (the session policy), PackedPolicyTooLarge; 413
//     RequestEntityTooLarge. Correct the client.
//   - [ErrRefused]: 403 AccessDenied if a policy does not allow, and also if there is no such role; the codes of a bad
//     signature (SignatureDoesNotMatch, InvalidClientTokenId, ExpiredToken, MissingAuthenticationToken, 400
//     IncompleteSignature); those of a bad token (400 InvalidIdentityToken, 400 ExpiredTokenException, 403
//     IDPRejectedClaim). The wrapped error of package sigv4 or auth says more.
//   - [ErrUnavailable]: 503 ServiceUnavailable if the key source or Config.Policies has failed, IDPCommunicationError
//     if the keys of an issuer cannot be fetched. Repair what the text names.
//
// # Files
//
// server.go (the handler), form.go (parameters), assume.go (AssumeRole), token.go (AssumeRoleWithWebIdentity),
// answer.go (answers, GetCallerIdentity), trust.go (trust policies), error.go, config.go.
//
// # Sources
//
// AWS Security Token Service API Reference, with "Common Error Types"; IAM User Guide: "Roles terms and concepts",
// "Available keys for AWS OIDC federation", "Pass session tags in AWS STS", "Monitor and control actions taken with
// assumed roles", "The confused deputy problem"; Service Authorization Reference: "AWS Security Token Service".
package sts
