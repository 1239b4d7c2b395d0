-- Appends a change and returns 1 if the head is where the writer of the change has seen it. Otherwise returns the head.
--
--   KEYS  head, log, at, value, gone
--   ARGV  the revision before the change, and that of the change; in milliseconds, the time of the oldest records to
--         keep, and that of the change; the record; for each item: its name, "put" or "gone", its bytes
--
-- Then it drops up to ten old records, but never the one that it has appended. It also forgets up to a thousand names
-- of items whose removal is not recorded any more. So no call has much to drop. Each call appends one record and may
-- drop ten, so a journal catches up.
--
-- It passes a thousand items with each command, because single items take the server about three times as long.
--
-- A script that fails is not undone, so it must fail before its first write. If the server has no memory left, the
-- first HSET fails. If a key has a value of another type, one of the reads before it fails.
local head, log, at, value, gone = unpack(KEYS)
local now = redis.call('GET', head) or '0'
if now ~= ARGV[1] then return now end
redis.call('HGET', value, '')
redis.call('XRANGE', log, '-', '-')
redis.call('ZRANGEBYSCORE', gone, 0, 0)
local revision, items = ARGV[2], {}
local function call(command, key, args) if #args > 0 then return redis.call(command, key, unpack(args)) end end
for from = 6, #ARGV, 3000 do
	local names, revisions, values, there, removed, removals = {}, {}, {}, {}, {}, {}
	for i = from, math.min(from + 2999, #ARGV), 3 do
		local name = ARGV[i]
		names[#names + 1] = name
		revisions[#revisions + 1] = name
		revisions[#revisions + 1] = revision
		if ARGV[i + 1] == 'put' then
			there[#there + 1] = name
			values[#values + 1] = name
			values[#values + 1] = ARGV[i + 2]
		else
			removed[#removed + 1] = name
			removals[#removals + 1] = revision
			removals[#removals + 1] = name
		end
	end
	for k, before in ipairs(call('HMGET', at, names)) do
		items[#items + 1] = names[k]
		items[#items + 1] = ARGV[from + 3 * k - 2]
		items[#items + 1] = before or '0'
	end
	call('HSET', at, revisions)
	call('HSET', value, values)
	call('HDEL', value, removed)
	call('ZREM', gone, there)
	call('ZADD', gone, removals)
end
redis.call('XADD', log, revision .. '-0', 'time', ARGV[4], 'record', ARGV[5], 'items', cmsgpack.pack(items))
redis.call('SET', head, revision)
local first
for i = 1, 10 do
	first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
	if first[1] == revision .. '-0' or tonumber(first[2][2]) >= tonumber(ARGV[3]) then break end
	redis.call('XDEL', log, first[1])
end
local oldest = string.match(first[1], '%d+')
for _, name in ipairs(redis.call('ZRANGEBYSCORE', gone, '-inf', '(' .. oldest, 'LIMIT', 0, 1000)) do
	redis.call('HDEL', at, name)
	redis.call('ZREM', gone, name)
end
return 1
