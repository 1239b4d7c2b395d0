// Package usageplan limits how fast and how much each client of an HTTP API may call. It implements API Gateway's usage
// plans, with exact counting.
//
// A [Plan] opens stages of APIs to its members. It limits the rate of each member by a token bucket, and gives each
// member a quota per day, week or month. A [Meter] makes one decision per request from all limits that apply, in API
// Gateway's order: the plan's throttle of the method, the plan's throttle, the quotas, the stage's throttle of the
// method, the account's throttle. If one of them refuses the request, the others have counted nothing. Before all of
// these, a plan may bound how many requests run at once.
//
//	meter, err := usageplan.New(usageplan.Config{
//		Client:  apikey.ID,
//		API:     "airline-loyalty",
//		Stage:   "Prod",
//		Plans:   []usageplan.Plan{{ID: "jcfq33", Name: "RestrictUsage", …}},
//		Members: []usageplan.Member{{Plan: "jcfq33", Client: "fr92a5qpbj"}},
//		Ledger:  quotas, // of package ledger; over package boltstore it survives a crash
//	})
//	mux.Handle("GET /Prod/loyalty/{customerId}", keys.Handler(meter.Handler(loyalty)))
//
// # For clients and owners
//
// [Meter.StatusHandler] tells a client what its own plan allows and what is left of it: a program as JSON, a person as a
// page with a chart. [Meter.Balance], [Meter.Usage], [Meter.Extend], [Meter.SetRemaining], [Meter.Correct] and
// [Meter.Adjustments] are for the owner of the API. They do not check who asks, and neither do changes.
// [journal.NewContext] says who it was, for [Meter.History] and [Meter.Adjustments].
//
// # Plans without a quota
//
// The owner also wants to know what is used under a plan without a quota. With a Config.Ledger, each admitted request
// is counted there, as a quota per day with the limit [ledger.MaxUnits] would count it: by days of UTC, exactly once,
// at the price of a quota in time and memory. [Meter.Usage] yields it, and [Charge.Settle] corrects it. The client is
// told nothing of it: neither header fields nor [Status] have such a quota.
//
// If the plan gets a quota per day, the day's usage counts against it. For example, a client that has made 250 requests
// today under a plan without a quota is refused until midnight if the plan gets a quota of 200 a day. A quota per week
// or month starts from zero. [Meter.Usage] finds the days of before under [ledger.Daily].
//
// A request that cannot be counted is refused with [ledger.ErrUnavailable], as with a quota. It could be admitted,
// because no limit needs its count. But then the usage that an owner reads, and may bill, would be too low without a
// sign. An application that prefers to admit it sets Config.AllowDespite: [Error].Layer is empty if the plan has no
// quota.
//
// # What runs at once
//
// A rate does not bound streams and reports: at one request a second, streams of ten minutes each add up to 600. A
// [Plan].InFlight bounds how many requests of each member, and of all members together, run at once. A [Member] may have
// a bound of its own, and Config.InFlight is for all requests of the meter. Nothing waits in a queue: a request that
// finds no place is refused with [ErrInFlight]. The answer has no Retry-After, because nobody knows when a request ends.
//
// The place is the first that a request takes, so a request without one takes no token and no unit. [Meter.Handler]
// gives it back when the next handler has returned or panicked, and not when the client leaves: until then, the handler
// works and costs. Who calls [Meter.Check] or [Meter.Take] calls [Charge.Release]. A request that AllowDespite admits has
// no place.
//
// A bound acts on the next request after its change. What runs stays counted under the id of the plan and the client.
// For example, 5 requests of a client run, and the bound is lowered to 3: the next one is admitted when 3 of the 5 have
// ended. A request counts under the bounds that there were when it was admitted. So if a plan gets its first bound while
// 20 requests run, these 20 do not count.
//
// Each process counts for itself. With several, give each its part: 12 for all of 3 nodes is 4 for each. If their number
// changes, so does the bound. A count that nodes share would need a lease for each request, so that a node that crashes
// does not hold its places forever. A lease that expires frees the place of a request that still runs, because its node
// was only slow or cut off. Then more run than may. So there is none here.
//
// # Requests whose cost shows late
//
// A stream of tokens costs what it turns out to be. Reserve with [Meter.TakeUpTo], or with Config.MinCost: it takes what
// the quotas have left, at most the cost and at least the minimum. Take more with [Charge.More] while the stream runs. It
// refuses exactly at the limit, and then the handler cuts the stream. At the end [Charge.Settle] replaces what was taken
// by what was used. The whole program is examples/llm. Its heart is:
//
//	charge, err := meter.TakeUpTo(ctx, usageplan.Request{Client: id, Route: route, Cost: prompt + bound}, prompt+min(16, bound))
//	if err != nil {
//		err.(http.Handler).ServeHTTP(w, r) // an *Error knows its answer
//		return
//	}
//	charge.SetHeader(w.Header()) // before the first byte of the answer
//	defer charge.Release()
//	defer func() { _ = charge.Settle(ctx, used) }() // the end of ctx does not matter, and a ledger that is down settles later
//	for chunk := range chunks {
//		if used += chunk.Tokens; used > charge.Units() {
//			if err := charge.More(ctx, used-charge.Units()); err != nil {
//				used -= chunk.Tokens
//				return cut(err)
//			}
//		}
//		…
//	}
//
// What happens if a call is left out:
//
//   - Without Settle, what was taken stays counted, so the client pays for the whole reservation. With
//     [ledger.Config].SettleWithin, the ledger tells its Observe of each such request, and More and Settle are refused
//     from then on. That also bounds a handler that never settles because the upstream hangs.
//   - Without Release, the place under Plan.InFlight is lost until the process ends. SettleWithin does not free it.
//   - Without SetHeader, or without Config.Unit, the client is not told what is left.
//   - Without a ledger nothing is counted: Units is 0, and More and Settle do nothing.
//
// The route of a request may be in its body, such as the model of a completion or the tool of an MCP call. Then the
// handler reads the body first, and calls Take or TakeUpTo with that route.
//
// # Several processes
//
// Each process of a service has a meter. What the meters share is on a server. The whole program is examples/fleet; its
// meter is in essence this one:
//
//	limiter, err := redislimit.New(redislimit.Config{
//		Client: client, Namespace: "shop", Nodes: 4, // three, and one more while a new one replaces an old one
//	})
//	meter, err := usageplan.New(usageplan.Config{
//		…
//		Ledger:   quotas,                    // over redisstore, pgstore or dynamostore
//		Journal:  store.Journal("plans", 0), // of the same store
//		Follow:   true,                      // a change acts on every node within a second
//		MaxStale: 5 * time.Second,           // a node that is cut off for longer refuses
//		Throttle: limiter,
//	})
//
// A client of several processes has one balance in each quota if their ledgers have the same engine, and the same plan
// if their meters have the same Config.Journal. Its throttles are limits of each process, unless Config.Throttle keeps
// the buckets. Then the throttles of the plan, of the member and of the plan's methods limit the client over all
// processes together. A [Throttle] is asked once for each request, takes a token from each bucket or none from any, and
// gets the tokens back if a later limit refuses.
//
//   - A Throttle can keep all buckets of a client under a plan in one partition of its store, such as a slot of a Redis
//     Cluster.
//   - What runs at once is counted by each process for itself; see above.
//   - Stage and account throttles are kept by each process for itself. For example, three processes with an account
//     throttle of 100 a second admit 300 a second.
//   - Under the throttle "/*/*", a bucket is known by the pattern of its route. Serve the same patterns everywhere.
//   - A plan that is deleted and created again under its id finds its buckets as they are.
//   - The RateLimit fields tell what was left in the shared buckets. [Status] has the limits alone, so it does not ask
//     the Throttle.
//   - Asking takes two allocations, or three under "/*/*", apart from those of the Throttle.
//
// # What it does not do
//
// It does not authenticate. Config.Client must report only what an authenticator in front of the meter has verified.
//
// It meters only the routes that it wraps. It wraps the handlers that are given to the mux, not the mux, because the
// route is known only after the mux has matched. In front of a mux, Config.Route has to find the route itself. If one
// mux is mounted in another, the meter wraps the handlers of the inner one. Between the two it would see only the outer
// pattern, and a throttle of a method of the inner mux would never act. A pattern below [http.StripPrefix] does not
// contain the prefix that was stripped. If more than the stage was stripped, write the throttles' resources without it
// as well, or set Config.Route.
//
// It does not look at responses. An admitted request counts whatever its answer is, as in API Gateway, unless the
// handler settles its [Charge]. The handler gets the charge from [FromContext] if Config.ChargeInContext is set. A
// handler that calls [Meter.Check] itself gets the charge from there.
//
// A throttle of a method that no route can have is refused, because it would silently limit nothing. If Config.Routes
// has the patterns of the mux, a throttle that fits none of them is refused too. [Stage] lists the forms of a resource.
//
// Throttles count requests, quotas count [Config].Cost. If throttles counted the cost, a burst of 2 would refuse every
// request that costs 3, forever. To throttle by cost, put a limiter of package ratelimit in front. Config.Unit names
// what the cost counts. Without it, quotas with a cost are left out of the RateLimit fields, because clients read an
// item without a unit as requests.
//
// # Errors
//
// What the client gets for each cause, and what the operator does about it:
//
//   - [ErrNotConfigured]: 500. The text says what is wrong. Make the meter with [New]. Set Config.Client, which serving
//     HTTP needs. Wrap the handlers, not the mux, or let Config.Route know the request. Mend a Config.Cost that returns
//     less than 0 or more than [ledger.MaxUnits], and a minimum that is below 1 or above the cost.
//   - [ErrNoClient]: 403 Forbidden. Nothing, or put the authenticator in front of the meter.
//   - [ErrNoPlan]: 403 Forbidden. Make the client a member of a plan for the stage, or set Config.Default. As the error
//     of a change, it means that there is no plan of the id. A control plane answers that with 404.
//   - [ErrInFlight]: 429 Too Many Requests, without Retry-After. Nothing, or raise the bound that the text names. If
//     Stats.InFlight only grows, a caller of Check or Take does not call [Charge.Release].
//   - [ErrThrottled]: 429 Too Many Requests, with Retry-After. Nothing, or raise the throttle that [Error].Layer names.
//   - [ErrQuotaExceeded]: 429 Limit Exceeded, with Retry-After. Nothing, or [Meter.Extend].
//   - [ErrThrottleUnavailable]: 503, with Retry-After. Config.Throttle could not decide, or its answer contradicts
//     itself. Look at its server. The error wraps its error, if it has returned one.
//   - [ErrStale]: 503, with Retry-After. The plans are older than Config.MaxStale, and the journal does not answer.
//     Look at its store, and at the network to it. Config.AllowDespite may admit such requests.
//   - [ledger.ErrUnavailable]: 503, with Retry-After, also where the plan has no quota. Look at the ledger's engine.
//   - [ErrInvalid]: 400. Correct the change, the file or the configuration.
//   - [ErrConflict]: 409. Change what is in the way first; the text names it.
//   - [ErrExists]: 409. The plan or membership is there. Update it, or take another id.
//   - [ErrNotMember]: 404. Name a plan of which the client is a member.
//   - [journal.ErrUnavailable]: 503. It is unknown whether the change was made. [Meter.Refresh] and the next change
//     find out. Then look at the present plans and members, and repeat the change if it is not there. A context that
//     has ended while the change waited for others is 503 as well, and nothing has changed then.
//   - [ErrNoQuota]: an error of the methods that take a [QuotaKey], without an answer of its own. Correct the key; the
//     text says whether the plan, the quota or the membership is missing. [Meter.Balance] does not need the
//     membership. [Meter.Usage] and [Meter.Adjustments] need neither it nor a quota that the plan has now.
//
// The client never sees the cause. Config.ErrorHandler gets it. A ledger that cannot count refuses requests, and a
// Config.Throttle that cannot decide does too. To admit them anyway, or to observe without refusing, set
// Config.AllowDespite. Such a request takes nothing, so no quota counts it. To go on counting while the server of the
// Throttle is away, let the Throttle admit requests itself, if it can.
//
// Config.Observe is told each decision: an [Event] has the limit that refused, the reason, the client and the id of the
// request. The answer to a refusal has the same id in X-Amzn-RequestId, which Config.RequestID may choose.
// [Meter.Stats] returns how many plans and members there are, how many requests were throttled, how many run, and how
// old the plans may be: an alarm is due when Age stays above a few seconds although the meter follows.
//
// To be told that a client has used 80 % of its quota, or all of it, set OnThreshold of the Ledger's configuration. The
// plan of a [ledger.Crossing] is that of its key, "jcfq33/DAY", and its subject is the client.
//
// # Changes
//
// [Meter.CreatePlan], [Meter.UpdatePlan], [Meter.DeletePlan], [Meter.AddMembers], [Meter.UpdateMember],
// [Meter.RemoveMembers] and [Meter.Import] change plans and members. Each is one decision and one change, all or
// nothing. It is checked against the plans and members of that moment, appended to Config.Journal, and then visible. It
// acts on the next request and blocks none. Changes of one meter are made one after the other. If another process has
// changed something meanwhile, the meter reads on and decides again, so no change is lost.
//
// Every error of a change but one means that nothing has changed. The one is [journal.ErrUnavailable].
//
// What another process has changed acts here after [Meter.Refresh], and when a change is made or refused here. With
// Config.Follow it acts within a second, also where the store's notification is lost. A process that is cut off cannot
// know that it is behind. Config.MaxStale decides what it does: refuse with [ErrStale], or go on. On Lambda, where a
// frozen goroutine follows nothing, set MaxStale alone: the first request after a thaw asks.
//
// Balances belong to the plan's id, the period and the client. Buckets belong to what is throttled. Both survive a
// change of the plan; [Meter.UpdatePlan] has the details.
//
// Reading waits for no change: [Meter.Plans], [Meter.Plan], [Meter.Member], [Meter.Memberships], and [Meter.Members] by
// pages. [Meter.History] tells who has changed what. [Meter.Clients] finds whom the ledger has counted under a plan.
//
// What Config.Plans and Config.Members declare is not stored until a change touches it. From then on the journal has
// it, and the declaration does not count any more. If the code declares less later, what a change has touched stays.
//
// # Bounds
//
// Each throttle keeps apart a million clients whose buckets are not full. Beyond that, clients share buckets, and may
// be refused early, but never admitted late (see package ratelimit). Config.Throttle has bounds of its own. A plan's id
// has at most 128 bytes, a client's 512. A change has at most 10 000 plans and members, and a plan at most 1 MiB in its
// JSON form.
//
// Under a plan without a quota, a client's usage is counted up to [ledger.MaxUnits] a day, extensions of a quota that
// the plan had before on that day included. Beyond that, requests are refused with [ErrQuotaExceeded].
//
// # Differences from API Gateway
//
// A plan may have several quotas, and quotas in time zones. A throttle refuses before the quota is asked, and a refused
// request counts nowhere. A disabled key, a lowered limit and a removed member act on the next request, not after half
// a minute. API Gateway does not bound what runs at once.
//
// # Files
//
// Start with meter.go (what a meter is made of) and take.go (the decision), with draw.go (throttles), fleet.go
// (throttles of several processes), inflight.go (what runs at once), charge.go and grow.go (what was taken) and
// current.go (what other processes have changed).
// HTTP: handler.go, status.go, error.go. What an operator is told: observe.go, stats.go. Plans: plan.go, table.go (what
// requests read without locks), usage.go, read.go, roll.go (members by pages). Changes: verbs.go, draft.go (what can be
// wrong), item.go (what the journal has), change.go and apply.go (from there to the table). Methods: route.go,
// method.go, throttle.go, reach.go. JSON: load.go, wire.go, json.go.
//
// # Sources
//
// Semantics: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-usage-plans.html and
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html. Answers:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html. Where AWS says
// "best effort", this package is exact. It also sends Retry-After (RFC 9110 §10.2.3) and the RateLimit fields
// (draft-ietf-httpapi-ratelimit-headers-11), which API Gateway never does; Config.AWSStrict turns both off.
package usageplan
