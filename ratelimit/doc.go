// Package ratelimit limits how fast requests come: token buckets, a single one or one for each key, and the middleware
// around them.
//
//	limiter, err := ratelimit.New(ratelimit.Config[string]{
//		Limit: ratelimit.Limit{Rate: 10, Burst: 20}, // tokens per second, and at once
//		Key:   apikey.ID,                            // whom to charge
//	})
//	mux.Handle("/", limiter.Handler(next))
//
// # What it proves
//
// A bucket admits at most Burst + Rate×Δ tokens over any window of length Δ, from any number of goroutines. For a rate
// that is exact (see [Limit]) this holds to the nanosecond. For any other rate it holds to the part of a token that
// flows in within 1 to 2 ns. A clock that steps back, a clock reading that is old when it reaches the bucket, an
// overflow: each can only admit less.
//
// Below HTTP there are [Bucket] for one limit and [Limiter] for a limit by key, both with Allow, Take, Peek and
// SetLimit. They read the clock. A [Ref] names one bucket and is told the time: [TakeAll] is one decision over several
// of them, a [Receipt] undoes a take, and a simulation may name any instant. None of these calls waits for tokens, and
// none allocates, except for the table of a Limiter that grows with its keys and for changes of a limit.
//
// [Bucket.Wait] is for a client that prefers to wait: first come, first served, and never beyond the context's
// deadline. [Bucket.Reserve] is the same without the sleep. A Limiter has neither.
//
// An [InFlight] bounds how many requests run at once, for each key and in all. It is for streams and other work that
// takes long, which a rate does not bound. It counts in one process, and its doc says why.
//
// # How
//
// The state of a bucket is one number, its theoretical arrival time (TAT): the reading of a virtual clock at which the
// bucket will be full. All buckets of a limit share the clock. The clock does not count time but what each bucket
// gains. So a change of the limit only gives them another clock.
//
// A Limiter keeps its buckets in an open-addressed hash table, at 22 to 24 bytes a key. A full bucket holds no
// information, so its slot goes to the next key that needs one, and there is no sweep and no expiry. [Config].MaxKeys
// bounds the memory. If more keys than that are in debt at the same time, the others share overflow buckets. A client
// that changes its address all the time slows down itself and others that do the same, and gains nothing.
//
// The files: limit.go has the limit and the decision, bucket.go and reserve.go one bucket, limiter.go a bucket for each
// key, ref.go and receipt.go Ref, TakeAll and Undo; handler.go, observe.go, error.go and field.go are HTTP; stats.go
// counts keys; inflight.go, inflighthandler.go and running.go bound what runs at once. Below these, segment.go is the
// clock, tat.go the arithmetic on it, and keyed.go, shard.go and table.go are the hash table.
//
// # What it does not do
//
// It counts in one process; package redislimit counts for several. Its middleware does not delay requests: a queue in a
// server is memory that anybody can fill. A token bucket is not a counter: within a window W it admits Burst + Rate×W, not Rate×W; package window counts.
// Handlers of two limiters, one around the other, decide one after the other: what the inner one refuses, the outer one
// has charged for. [TakeAll] decides by several limits at once. The counts do not survive a restart; for quotas that
// do, see the usageplan package. A limit by the leftmost X-Forwarded-For entry is none, because the client writes that
// entry; see ratelimit/clientip.
//
// # Failure
//
// Nothing fails open except by Config.AllowDespite. The cause of an [Error], which errors.Is finds however it is
// wrapped, decides the answer:
//
//	cause             the client sees                          the operator
//	ErrLimited        429 {"message":"Too Many Requests"}      raises the limit if the client may call faster
//	ErrInFlight       429 {"message":"Too Many Requests"}      raises the bound if more may run at once
//	ErrBlocked        403 {"message":"Forbidden"}              reads RateRule.Limited of package window
//	ErrNoKey          403 {"message":"Forbidden"}              checks that an authenticator precedes the limiter
//	ErrUnavailable    503 {"message":"Service Unavailable"}    reads the error: only package redislimit returns it
//	ErrNotConfigured  500 {"message":"Internal server error"}  reads the error: New was not used, Config.Key is nil, or
//	                                                           Config.Cost returned a negative cost
//
// The zero value of every type refuses.
//
// Config.Observe is told each decision of Check and Handler with its reason, for metrics and logs. The other packages
// of this module tell theirs in the same form, so one function can observe all of them.
//
// # Sources
//
// The answer is that of Amazon API Gateway to a throttled request: 429, TooManyRequestsException, {"message":"Too Many
// Requests"}; it adds Retry-After (RFC 9110 section 10.2.3). The RateLimit header fields are those of
// draft-ietf-httpapi-ratelimit-headers-11, in the syntax of RFC 9651; a policy that does not count requests names its
// unit (parameter qu), and one whose unit has no name is left out. The bucket is the one of API Gateway's developer
// guide, "Throttle requests to your REST APIs": Rate is the steady-state rate, Burst the bucket's capacity. There they
// are "targets rather than guaranteed request ceilings"; here they are ceilings. The generic cell rate algorithm is
// that of ITU-T I.371, in the form of a virtual scheduling algorithm.
package ratelimit
