-- The rows of the ledger. An Update makes a row without a value only to have something to lock, and it counts as none.
--
-- Half of each page stays free. So a new version of a row finds room on the page of the old one, and the index need not
-- change (https://www.postgresql.org/docs/current/storage-hot.html).
create table schema.rows (
	key   bytea primary key,
	value bytea
) with (fillfactor = 50);

-- The topics of journals. The record of head is the newest, and that of first the oldest one that is kept.
create table schema.topics (
	topic bytea primary key,
	first bigint not null,
	head  bigint not null
);

-- The records of changes. Texts are bytes, as a client may choose them: PostgreSQL's text takes neither a zero byte nor
-- what is not UTF-8. convert_from(actor, 'UTF8') shows one to people.
create table schema.changes (
	topic     bytea,
	revision  bigint,
	time      timestamptz not null,
	operation bytea not null,
	actor     bytea not null,
	source    bytea not null,
	request   bytea not null,
	size      bigint not null, -- of all items when they were written, in bytes
	primary key (topic, revision)
);

-- The items of changes. The latest one of each name has the bytes, unless the change has removed the item.
create table schema.items (
	topic    bytea,
	name     bytea,
	revision bigint,
	latest   boolean not null,
	gone     boolean not null,
	value    bytea,
	primary key (topic, name, revision)
);
create unique index latest on schema.items (topic, name) where latest;
create index revisions on schema.items (topic, revision);
