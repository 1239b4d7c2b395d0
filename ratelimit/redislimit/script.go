package redislimit

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/redis/go-redis/v9"
)

// source takes tokens from several buckets for several requests. It is the only code that decides on the server.
//
// A bucket is three numbers: the instant start at which it was last full, in microseconds of the server's clock; how
// many tokens n have been taken since; and its rate r in tokens per microsecond. So it holds burst + r×(now-start) - n
// tokens, and is full when n ≤ r×(now-start). Nothing is rounded from one call to the next, so nothing drifts, however
// often a bucket is asked. The start + n/r of these is the theoretical arrival time of the literature. It alone would
// not do: at a rate such as 7 a second it could not be kept exactly.
//
// For example, let the rate be 2 a second and the burst 5. At 10 s, three tokens are taken from a full bucket: start is
// 10 s, and n is 3. At 11 s two tokens have flowed back, and it holds 5 + 2 - 3 = 4. At 11.5 s it is full, and its key
// expires.
//
//   - If the clock steps back behind start, start follows and n stays: the bucket gains nothing.
//   - If the rate changes, the debt in tokens stays, and the new rate counts from now on.
//   - If n exceeds 10^12, what has flowed in is taken off and start is set to now, because a float64 counts large
//     numbers less exactly.
//   - A value that this package cannot have written is ignored: the bucket is full.
//   - Tokens that are given back (back, taken at the instant since) come back less what has flowed in since. Others may
//     have used that, if the bucket was full in between. See ratelimit.Receipt.
//
// The time until a key expires is at most 10^15 ms, since Lua writes larger numbers in a form that Redis does not read.
//
// ARGV[1] is a row of float64: the number of asks; for each key its rate, its burst, back and since; and for each ask
// how many requests it stands for, from how many buckets each takes a token, and the indexes of those buckets. The
// answer is a row of float64: now; for each ask how many requests were granted; for each key the tokens that are left.
const source = `
local get, pack = struct.unpack, struct.pack
local input, at = ARGV[1], 1
local function number()
  local v
  v, at = get('<d', input, at)
  return v
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local asks, out = number(), {pack('<d', now)}
local buckets = {}
for i, key in ipairs(KEYS) do
  local rate, burst, back, since
  rate, burst, back, since, at = get('<dddd', input, at)
  local start, n, r, dirty = now, 0, rate, false
  local v = redis.pcall('GET', key)
  if type(v) == 'string' and #v == 24 then
    local s, m, q = get('<ddd', v)
    if s >= 0 and m >= 0 and m < 1e19 and q >= 0 and q < 1e19 then
      start, n, r = math.min(s, now), m, q
      dirty = s > now
    end
  end
  local flowed = r * (now - start)
  if back > 0 then
    local comes = back - rate * math.max(now - since, 0)
    if comes > 0 then n, dirty = n - comes, true end
  end
  if n <= flowed or r ~= rate or n > 1e12 then
    start, n, flowed = now, math.max(n - flowed, 0), 0
  end
  buckets[i] = {
    key = key, rate = rate, start = start, n = n, flowed = flowed, free = burst + flowed - n, dirty = dirty or r ~= rate
  }
end
for i = 1, asks do
  local granted, count, mine
  granted, count, at = get('<dd', input, at)
  mine = {}
  for k = 1, count do
    local b = buckets[number() + 1]
    mine[k] = b
    if b.free < granted then granted = math.max(math.floor(b.free), 0) end
  end
  if granted > 0 then
    for _, b in ipairs(mine) do
      b.n, b.free, b.dirty = b.n + granted, b.free - granted, true
    end
  end
  out[i + 1] = pack('<d', granted)
end
for i, b in ipairs(buckets) do
  if b.dirty then
    local v = pack('<ddd', b.start, b.n, b.rate)
    if b.n <= b.flowed then redis.call('DEL', b.key)
    elseif b.rate > 0 then
      redis.call('SET', b.key, v, 'PX', math.min(math.ceil((b.n - b.flowed) / b.rate / 1000), 1e15))
    else redis.call('SET', b.key, v) end -- it never fills
  end
  out[asks + 1 + i] = pack('<d', b.free)
end
return table.concat(out)
`

// hash is the digest by which a server knows the script. It is computed here, so no server has to be asked for it.
var hash = redis.NewScript(source).Hash()

// A caller runs the script on the keys, which are strings. Tests have one without a server.
type caller func(ctx context.Context, keys []any, input []byte) (answer string, err error)

// once is a command that the client sends once, whatever its MaxRetries is: a second copy would take the tokens again.
type once struct{ *redis.Cmd }

// NoRetry implements [redis.Cmder].
func (once) NoRetry() bool { return true }

// callBy returns a caller that uses a client. It sends the digest of the script, and the whole script only to a server
// that does not know it, for example because it has just started. Such a server has not run anything before.
func callBy(client redis.UniversalClient) caller {
	run := func(ctx context.Context, name, script string, keys []any, input []byte) (string, error) {
		args := append(make([]any, 0, len(keys)+4), name, script, len(keys))
		cmd := once{redis.NewCmd(ctx, append(append(args, keys...), input)...)}
		_ = client.Process(ctx, cmd)
		return cmd.Text()
	}
	return func(ctx context.Context, keys []any, input []byte) (string, error) {
		answer, err := run(ctx, "evalsha", hash, keys, input)
		if redis.HasErrorPrefix(err, "NOSCRIPT") {
			return run(ctx, "eval", source, keys, input)
		}
		return answer, err
	}
}

// appendNumbers appends numbers as the script reads them: '<d' is a float64 with its lowest byte first. Text would be
// longer, and would round them.
func appendNumbers(row []byte, numbers ...float64) []byte {
	for _, f := range numbers {
		row = binary.LittleEndian.AppendUint64(row, math.Float64bits(f))
	}
	return row
}

// An answer is what the script returns.
type answer string

// check fails unless the answer has the right length and none of its numbers is NaN. A comparison with NaN is false, so
// a NaN could pass for a bucket that has tokens.
func (a answer) check(numbers int) error {
	if len(a) != 8*numbers {
		return fmt.Errorf("answer of %d bytes in place of %d", len(a), 8*numbers)
	}
	for i := range numbers {
		if f := a.at(i); math.IsNaN(f) {
			return fmt.Errorf("number %d of the answer is NaN", i)
		}
	}
	return nil
}

// at returns number i. It reads the string as it is: a conversion to bytes would copy it.
func (a answer) at(i int) (f float64) {
	var bits uint64
	for k := range 8 {
		bits |= uint64(a[8*i+k]) << (8 * k)
	}
	return math.Float64frombits(bits)
}
