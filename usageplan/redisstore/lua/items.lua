-- Returns the id of the server's process, or "" if the user may not call INFO; the next cursor of HSCAN; and items of a
-- snapshot.
--
--   KEYS  value
--   ARGV  the cursor; about how many items to look at
local info, process = redis.pcall('INFO', 'server'), ''
if type(info) == 'string' then process = string.match(info, 'run_id:(%w+)') or '' end
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
return {process, page[1], page[2]}
