-- Returns the next items that are there, up to a size, but at least one.
--
--   @from    the name after which to read
--   @bytes   the size
select name, value from (
	select name, value, sum(octet_length(value)) over (order by name) - octet_length(value) as before from (
		select name, value from schema.items
		where topic = @topic and latest and not gone and name > @from order by name limit 1000
	) as next
) as page where before < @bytes order by name
