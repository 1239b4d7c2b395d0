-- Writes a change and its items, and drops old records. The row of the topic is locked, and its head has moved already.
-- Each statement is sent on its own: a semicolon ends a statement, and stands nowhere else.
--
--   @topic, @revision, @time, @operation, @actor, @source, @request, @size   the change
--   @names, @gone, @values                                                   its items: an array for each column
--   @first    the revision of the oldest record
--   @oldest   the time that records may not be older than
--   @channel, @schema   what listeners hear of
insert into schema.changes
values (@topic, @revision, @time, @operation, @actor, @source, @request, @size);

-- What an item was goes, if the record of that was dropped before: nothing leads to it any more.
delete from schema.items
where topic = @topic and name = any(@names::bytea[]) and revision < @first;

update schema.items set latest = false, value = null
where topic = @topic and latest and name = any(@names::bytea[]);

insert into schema.items (topic, revision, latest, name, gone, value)
select @topic, @revision, true, name, gone, value
from unnest(@names::bytea[], @gone::boolean[], @values::bytea[]) as n (name, gone, value);

-- Old records go: those before the first one that is young or the last one of all, up to a hundred, and up to 1 MiB of
-- items after the first. So no call has much to drop, and a journal catches up.
update schema.topics set first = coalesce((
	select max(revision) + 1 from (
		select revision, bool_and(time < @oldest) over before as old, sum(size) over before - size as size
		from schema.changes where topic = @topic and revision < @revision
		window before as (order by revision) order by revision limit 100
	) as oldest where old and size < 1 << 20
), first) where topic = @topic;

delete from schema.changes
where topic = @topic and revision < (select first from schema.topics where topic = @topic);

-- With a record go its items, unless they are still there. Those are deleted when they are replaced, see above. So this
-- reads no items before @first.
delete from schema.items
where topic = @topic and revision >= @first and (gone or not latest)
	and revision < (select first from schema.topics where topic = @topic);

select pg_notify(@channel, @schema)
