// Package ratelimit limits how fast: token buckets, one or one for each key, and the middleware around them.
//
//	limiter, err := ratelimit.New(ratelimit.Config[string]{
//		Limit: ratelimit.Limit{Rate: 10, Burst: 20}, // tokens per second, and at once
//		Key:   apikey.ID,                            // whom to charge
//	})
//	mux.Handle("/", limiter.Handler(next))
//
// # What it proves
//
// A bucket admits, over any window of length Δ, at most Burst + Rate×Δ tokens, from any number of goroutines. For a rate
// that is exact (see [Limit]) this holds to the nanosecond; for any other to one part of a token that is worth 1 to 2 ns of
// its rate. Time that steps back, a clock reading gone stale on its way to the bucket, an overflow: each can only admit
// less.
//
// Below HTTP there are [Bucket] for one limit and [Limiter] for a limit by key, both with Allow, Take, Peek and SetLimit.
// [TakeAll] is one decision over several buckets, and a [Receipt] undoes a take. These calls do not wait and do not allocate.
//
// [Bucket.Wait] is for a client that prefers to wait: first come, first served, and never beyond the context's deadline.
// [Bucket.Reserve] is the same without the sleep.
//
// # How
//
// The state of a bucket is one word: the reading of a virtual clock at which the bucket will be full. The clock is shared by
// all buckets of a limit and counts what they gain, not time, so a change of the limit is a change of the clock. Its
// arithmetic is in clock.go, the word's in word.go, and the table's in table.go and shard.go.
//
// A Limiter's buckets stand in an open-addressed table of 22 to 24 bytes a key. A bucket that is full is as good as none, so a slot
// is taken over as soon as its bucket is full, and nothing needs to sweep or expire. Memory is bounded by
// [Config].MaxKeys. When more keys than that are in debt at a time, the rest share overflow buckets: a client that
// rotates its addresses slows down itself and those that do the same, and gains nothing.
//
// # What it does not do
//
// It counts in one process. Its middleware does not delay requests: a queue in a server is memory that anybody can fill. A token bucket is not a counter: within a window W it
// admits Burst + Rate×W, not Rate×W. What is counted does not survive a restart; for quotas that do, see the usageplan
// package. Limits by the leftmost X-Forwarded-For entry are no limits; see ratelimit/clientip.
//
// # Failure
//
// Nothing fails open but by Config.AllowDespite. The causes of an [Error], which errors.Is finds however they are wrapped:
//
//   - [ErrLimited]: 429.
//   - [ErrBlocked]: 403, by a rate rule of package window.
//   - [ErrNoKey]: 403. Config.Key found no key for the request.
//   - [ErrCost]: 500. Config.Cost is negative.
//   - [ErrNotConfigured]: 500. The zero value of every type refuses; so does a [Limiter] without Config.Key that is asked
//     about a request. The text tells which.
//
// # Sources
//
// The answer is that of Amazon API Gateway to a throttled request: 429, TooManyRequestsException, {"message":"Too Many
// Requests"}; it adds Retry-After (RFC 9110 section 10.2.3). The RateLimit header fields are those of
// draft-ietf-httpapi-ratelimit-headers-11, in the syntax of RFC 9651; a policy that does not count requests names its unit
// (parameter qu), and one whose unit has no name is left out. The bucket is the one of API Gateway's developer
// guide, "Throttle requests to your REST APIs": Rate is the steady-state rate, Burst the bucket's capacity. There they are
// "targets rather than guaranteed request ceilings"; here they are ceilings. The generic cell rate algorithm is that of
// ITU-T I.371, in the form of a virtual scheduling algorithm.
package ratelimit
