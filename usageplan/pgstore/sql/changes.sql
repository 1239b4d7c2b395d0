-- Returns the next changes, up to a size, but at least one: a page begins with what comes next, so a reader always gets
-- on. It reads little more than it returns, as the size of a change is known without its items.
--
-- The items of a change are those that no later change has changed, with their bytes. If @all is true, they are all of
-- them, without bytes. The order in the innermost query makes the server look up the items of one change after the
-- other, by an index, and gives the three arrays one order.
--
--   @after   the revision after which to read
--   @bytes   the size
select revision, time, operation, actor, source, request, names, gone, values
from (
	select *, sum(size) over (order by revision) - size as before
	from schema.changes where topic = @topic and revision > @after order by revision limit 1000
) as page cross join lateral (
	select array_agg(name) as names, array_agg(gone) as gone, array_agg(value) as values from (
		select name, gone, case when @all then null else value end as value from schema.items
		where topic = @topic and items.revision = page.revision and (latest or @all) order by name
	) as sorted
) as items
where before < @bytes order by revision
