// Package frameworks has only tests. They show that Tallygate works with frameworks and adapters as it does with
// net/http: with Lambda function URLs, chi, and the Coraza web application firewall. In the folder function the loyalty
// API is a Lambda function.
//
// # Coraza
//
// A rate rule counts requests. It does not read them. Coraza, with the OWASP core rule set, checks their content. The
// order is that of API Gateway behind AWS WAF: the rate rule, the attack rules, authentication, plans, handler.
//
//	rule.Handler(coraza_http.WrapHandler(attacks, signature.Handler(keys.Handler(plans.Handler(next)))))
//
// The rate rule comes first because it is much cheaper than the attack rules. What to know about Coraza's middleware:
//
//   - It reads the body before the request is authenticated, and puts it back whole, so the signature of the body can
//     be verified. SecRequestBodyLimit limits the memory that an unknown sender can fill: set it to the verifier's
//     MaxBody, and SecRequestBodyLimitAction to Reject, or the rest of a longer body is not inspected.
//   - If the body cannot be read, it runs no handler and writes nothing, so that net/http answers an empty 200.
//   - Its refusal is a status without a body, 403 for an attack.
//   - It wraps the ResponseWriter. Tallygate's refusals pass unchanged; with SecResponseBodyAccess On the handler's
//     answers are buffered.
//   - It takes the client's address from RemoteAddr only if that has a port. In a Lambda function it has none, and
//     rules about addresses do not work.
package frameworks
