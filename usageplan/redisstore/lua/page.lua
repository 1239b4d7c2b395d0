-- Returns the head and the next records, up to a size, but at least one. Each is a list: the record; then for each item
-- its name, "gone", "put" or "value", and for "value" its bytes. A record that cannot be read is an empty list.
--
--   KEYS  head, log, at, value
--   ARGV  the ID after which to read; the size; 0 for the items that no later change has changed, with the bytes
--         of those that are there, or 1 for all items without bytes
local head, log, at, value = unpack(KEYS)
local page, from, size = {redis.call('GET', head) or '0'}, ARGV[1], 0
while size < tonumber(ARGV[2]) do
	local entry = redis.call('XRANGE', log, '(' .. from, '+', 'COUNT', 1)[1]
	if not entry then break end
	from = entry[1]
	local change, revision = {entry[2][4]}, string.match(from, '%d+')
	local sound, items = pcall(cmsgpack.unpack, entry[2][6])
	if not sound or type(items) ~= 'table' then change, items = {}, {} end
	size = size + 100 + #(entry[2][4] or '')
	for i = 1, #items, 3 do
		local name, bytes = items[i], ''
		if ARGV[3] == '1' or redis.call('HGET', at, name) == revision then
			local done = items[i + 1]
			if done == 'put' and ARGV[3] == '0' then
				done, bytes = 'value', redis.call('HGET', value, name)
				if not bytes then change = {} break end
			end
			change[#change + 1] = name
			change[#change + 1] = done
			change[#change + 1] = bytes
		end
		size = size + 100 + #bytes
	end
	page[#page + 1] = change
end
return page
