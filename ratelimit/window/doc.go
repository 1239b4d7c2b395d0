// Package window limits how many: never more than a number of calls within any span of a given length, by key. AWS
// WAF's rate-based rule runs on the same engine.
//
//	logins, err := window.New(window.Config[string]{
//		AtMost: window.AtMost{Limit: 5, Window: 15 * time.Minute},
//		Key:    apikey.ID,
//	})
//	mux.Handle("POST /login", logins.Handler(login))
//
//	rule, err := window.NewRateRule(window.RuleConfig{
//		Limit:     2000, // in any five minutes
//		Aggregate: []window.Component{window.IP()},
//	})
//	http.ListenAndServe(":80", rule.Handler(mux)) // before all else, WAF's place
//
// # What it proves
//
// No window holds more than Limit that were granted to a key, wherever it begins and from however many goroutines the
// calls came. A token bucket grants its burst and its rate × Window within a window; a fixed window, or two of them
// weighted, grants up to nearly twice the limit. Choose a bucket (package ratelimit) to smooth a load, and a window
// where a count was promised.
//
// A call that is granted takes a place in the window. The place comes free when Window has passed, or at most Window/15
// later. So a key that asks steadily gets 15/16 of Limit or more. Above a Limit of 65 535, one part in 65 535 of it may
// be refused too early. These are the only errors, and both refuse; neither ever admits more.
//
// # How
//
// For each key there are 16 counters, of the last 16 fifteenths of the window, in 48 bytes together with the key's
// hash. All of them count in full. The arithmetic is in ring.go. A key for which nothing counts any more loses its slot
// to the next key that needs one; there is no sweep and no expiry.
//
// Memory is bounded by MaxKeys. When more keys than that ask within one window, the late ones are counted in cells that
// they share with others. Each has two cells, and the cell that holds less decides, so such a key gets less, never
// more. There is a pair of cells for every 24 keys of MaxKeys. For example, with room for a million keys, a flood of
// ten million addresses that send one request each takes some 200 places from every newcomer until the window has
// passed. With a Limit of 2000 a newcomer does not notice; with a Limit of 100 it waits. A key that was known before
// the flood is not affected. A newcomer that happens to share both of its cells with offenders is blocked with them.
// Raise MaxKeys where Limit is small.
//
// # The rate rule, compared with AWS WAF's
//
// The terms and their domains are those of RateBasedStatement: Limit 10 to 2·10^9 per 60, 120, 300 or 600 s,
// aggregation by address, forwarded address, one to five custom keys, or constant with a scope-down; a request that
// lacks a component is neither counted nor blocked; all other requests count, those blocked as well; 403,
// {"message":"Forbidden"}. Each kind of key has a function, such as [IP] and [QueryArgument], because a rule that is
// moved from AWS may aggregate by any of them. What differs:
//
//   - The request that is one too many is blocked. AWS estimates about every ten seconds
//     and acts within about half a minute.
//   - A change of limit or window keeps the counts. AWS begins anew.
//   - The forwarded address is the one that a trusted proxy reports, see package clientip, not the first of the list.
//     If no address can be read in the header, requests are counted together, by peer. (AWS can block all of them, or
//     none.) Without the header the rule does not apply, as in AWS. So behind proxies that clientip's Hops counts, the
//     server MUST NOT be reachable except through them.
//   - IPv6 clients are networks of 64 bits, or as many as clientip.Config says.
//   - All offenders are blocked; 10 000 are listed. AWS blocks 10 000. Keys of any aggregation are listed, not only
//     addresses.
//   - There are no text transformations, labels, fingerprints, CAPTCHA and Challenge.
//
// The action Count is AllowDespite. Rules about the content of requests are another tool's, such as Coraza with the
// OWASP core rule set: put it behind this one, so that a flood does not reach the costlier rules, and before
// authentication.
//
//	rule.Handler(coraza_http.WrapHandler(attacks, signature.Handler(mux)))
//
// The module examples/frameworks runs this and says what to set.
//
// # What it does not do
//
// It counts in one process, and what is counted does not survive a restart; for quotas that do, see the usageplan
// package. Places that were taken are not given back.
//
// # Failure
//
// A [RateRule] is not an authenticator: it lets a request pass that it is not about. Every error is a
// [ratelimit.Error]. Its cause, which errors.Is finds however it is wrapped, decides the answer:
//
//	cause                       the client sees                          the operator
//	ratelimit.ErrLimited        429 {"message":"Too Many Requests"}      raises the limit, if the client may have more
//	ratelimit.ErrBlocked        403 {"message":"Forbidden"}              reads RateRule.Limited: what is blocked
//	ratelimit.ErrNoKey          403 {"message":"Forbidden"}              checks that an authenticator precedes it
//	ratelimit.ErrNotConfigured  500 {"message":"Internal server error"}  uses New, and sets Config.Key
//
// A [Limiter] returns ErrLimited, and a RateRule ErrBlocked. The zero values refuse.
//
// Config.Observe and RuleConfig.Observe are told each decision of Check and Handler, as a [ratelimit.Event]. A rule
// tells nothing of a request that it is not about.
//
// # Files
//
// limiter.go and rule.go are the two limits, and observe.go tells what they decide; stats.go counts keys; atmost.go,
// component.go with parse.go, and listing.go are what the limits are made of. Below them, ring.go is the count of one
// key, shard.go the hash table, and engine.go the lock and the clock.
//
// # Sources
//
// AWS WAF developer guide, "Using rate-based rule statements" with its pages on aggregation and caveats; AWS WAF API
// reference, RateBasedStatement and GetRateBasedStatementManagedKeys; API Gateway developer guide, gateway response
// WAF_FILTERED. RFC 9110 section 10.2.3 (Retry-After), draft-ietf-httpapi-ratelimit-headers-11. The cells are the
// count-min sketch of Cormode and Muthukrishnan (2005), of windows instead of counts.
package window
