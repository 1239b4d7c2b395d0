-- Returns the next changes of an item, newest first, with this item alone. It goes by the primary key of the items, so
-- it reads no change of another item. A record that was dropped has no row to join with, and ends the history.
--
--   @name     the item
--   @before   the revision before which to read
select revision, time, operation, actor, source, request, array[name], array[gone], array[null::bytea]
from schema.items join schema.changes using (topic, revision)
where topic = @topic and name = @name and revision < @before
order by revision desc limit 1000
