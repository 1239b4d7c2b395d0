-- Returns the next records of an item, newest first, up to a size, but at least one. They have the form of page.lua,
-- with this item alone.
--
--   KEYS  log, at
--   ARGV  the item; the revision of the record that was returned last, or nothing to begin; the size
local log, at = unpack(KEYS)
local item, revision, size = ARGV[1], ARGV[2], 0

-- find returns a record; what it did to the item; and the revision of the item's change before.
local function find(revision)
	local entry = redis.call('XRANGE', log, revision .. '-0', revision .. '-0')[1]
	if not entry then return nil end
	local sound, items = pcall(cmsgpack.unpack, entry[2][6])
	if not sound or type(items) ~= 'table' then items = {} end
	size = size + 100 + 100 * #items
	for i = 1, #items, 3 do
		if items[i] == item then return entry[2][4], items[i + 1], items[i + 2] end
	end
	return '', '', '0'
end

local page, record, done = {}, nil, nil
if revision == '' then
	revision = redis.call('HGET', at, item) or '0'
else
	record, done, revision = find(revision)
end
size = 0
while revision and revision ~= '0' and size < tonumber(ARGV[3]) do
	record, done, revision = find(revision)
	if record then page[#page + 1] = {record, item, done, ''} end
end
return page
