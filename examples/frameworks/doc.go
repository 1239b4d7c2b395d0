// Package frameworks shows, in its tests, that Tallygate works inside frameworks and adapters as it does inside net/http:
// Lambda function URLs, chi, and the Coraza web application firewall.
//
// # Coraza
//
// A rate rule counts requests, it does not read them. Rules about their content are Coraza's, with the OWASP core rule set.
// The order is API Gateway's with AWS WAF before it: the rate rule, the attack rules, authentication, plans, handler.
//
//	rule.Handler(coraza_http.WrapHandler(attacks, signature.Handler(keys.Handler(plans.Handler(next)))))
//
// The rate rule comes first because it is much cheaper than the attack rules. What to know of Coraza's middleware:
//
//   - It reads the body before anybody is authenticated, and puts it back whole, so the signature of the body is verified as
//     ever. SecRequestBodyLimit bounds what a stranger can make it keep: set it to the verifier's MaxBody, and
//     SecRequestBodyLimitAction to Reject, or the rest of a longer body is not inspected.
//   - If the body cannot be read, it runs no handler and writes nothing, so that net/http answers an empty 200.
//   - Its refusal is a status without a body, 403 for an attack.
//   - It wraps the ResponseWriter. Tallygate's refusals pass unchanged; with SecResponseBodyAccess On the handler's answers
//     are buffered.
//   - It takes the client's address from RemoteAddr where that has a port. In a Lambda function it has none, and rules about
//     addresses see nothing.
package frameworks
