// Package usageplan decides how fast and how much each client of an HTTP API may call: API Gateway's usage plans, with
// exact counting.
//
// A [Plan] opens stages of APIs to its members, throttles each of them by a token bucket and gives each a quota per
// day, week or month. A [Meter] makes one decision per request out of all that applies, in API Gateway's order: the
// plan's throttle of the method, the plan's throttle, the quota, then the stage's throttle of the method and the
// account's throttle. A request that is refused by one of them has consumed nothing of the others.
//
//	meter, err := usageplan.New(usageplan.Config{
//		Client:  apikey.ID,
//		API:     "airline-loyalty",
//		Stage:   "Prod",
//		Plans:   []usageplan.Plan{{ID: "jcfq33", Name: "RestrictUsage", …}},
//		Members: []usageplan.Member{{Plan: "jcfq33", Client: "fr92a5qpbj"}},
//		Ledger:  book,
//	})
//	mux.Handle("GET /Prod/loyalty/{customerId}", keys.Handler(meter.Handler(loyalty)))
//
// # What it does not do
//
// It does not authenticate: Config.Client must report only what an authenticator in front of the meter has verified.
// Only the routes that a meter wraps are metered. It wraps the handlers of a mux, since the route is known only after
// the mux has matched; in front of a mux, Config.Route has to look the route up itself. Where one mux stands below
// another, it wraps the handlers of the inner one: between the two it would see the outer pattern alone, and no
// throttle of a method below it would act. A pattern below [http.StripPrefix] lacks what was stripped. If that was more
// than the stage, name the resources in the throttles so, too, or set Config.Route. It does not look at responses: an
// admitted request counts whatever its answer is, as in API Gateway, unless the handler settles its [Charge].
// [FromContext] returns the charge where Config.ChargeInContext is set; [Meter.Check] returns it to a handler that
// makes the decision itself.
//
// A method throttle names a resource, and the resource decides, not its spelling: [Stage] has the forms. A throttle that no
// route can have is refused, and with Config.Routes, the mux's patterns, any that none of the routes has: it would be a limit
// that silently does not limit.
//
// Throttles count requests, one token each; quotas count [Config].Cost. A burst of 2 would otherwise refuse every
// request that costs 3, for ever. For throttles by weight put a limiter of package ratelimit in front. Config.Unit names what
// the cost counts; without it the RateLimit fields leave the quotas out, because a client would read them as requests.
//
// # Failure
//
// The zero [Meter] refuses everything. A ledger that cannot count refuses with 503, not 429. Failing open, and observing
// without refusing, are Config.AllowDespite. A meter around a mux, where no pattern has matched yet, answers 500
// ([ErrNoRoute]); like every cause it is told to Config.ErrorHandler, never to the client.
//
// # Changes
//
// [Meter.Apply] is the only way to change plans and members at run time; it acts on the next request and never blocks
// one. Balances belong to the plan's id, the period and the client, buckets to what is throttled: both survive a change
// of the plan, as [Change] says in full. A change may be repeated. Its error is [ErrInvalid] for a mistake, and
// [ErrConflict] for what the present plans and members do not allow. Config.Commit makes changes durable; the next process
// gives all that Commit has kept, in its order, to Config.Restore.
//
// # Bounds
//
// Each throttle tells a million clients apart that are not at rest; more share buckets, and so may be refused early,
// never admitted late (see package ratelimit). Ids are bounded: a plan's has at most 128 bytes, a client's 512.
//
// # Differences from API Gateway
//
// A plan may have several quotas, in time zones. A plan without a quota records no usage. A throttle refuses before
// quota is touched, and what is refused counts nowhere. A disabled key, a lowered limit and a removed member act on the
// next request, not after half a minute.
//
// # Sources
//
// Semantics: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-usage-plans.html and
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html. Answers:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html. Where AWS says
// "best effort", this package is exact; it also sends Retry-After (RFC 9110 §10.2.3) and the RateLimit fields
// (draft-ietf-httpapi-ratelimit-headers-11), which API Gateway never does; Config.AWSStrict leaves them out.
package usageplan
