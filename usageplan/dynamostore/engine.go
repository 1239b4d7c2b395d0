package dynamostore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// A row is an item. Its partition key is one of 16 by a digest of the key, and its sort key is the key. For the key "k"
// in the namespace "gateway":
//
//	p  "gateway:row:9"
//	s  "k"
//	t  token, 16 bytes; see swap
//	d  the row; a row that was deleted has none
//	k  the key, if it is a long one
//	x  if the row was deleted: an hour later
//
// One partition key takes 1 000 writes a second of up to 1 KB, and more only after some time under load
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html). So one for each plan
// would limit a large plan. 16 are a compromise, because Keys asks 16 times, however few keys there are.
const places = 16

// Names of a row's attributes.
const (
	attrRow     = "d"
	attrLongKey = "k"
)

// A sort key has at most 1 024 bytes, and a key 1 200. A key of 1 024 bytes or more is cut, and its digest fills the
// sort key. So a sort key of 1 024 bytes always has a digest, and no shorter key can be equal to it.
const (
	maxSort = 1024
	cutAt   = maxSort - sha256.Size
)

// place returns the partition key of one of the places.
func (s *Store) place(n byte) string {
	return s.name + ":row:" + strconv.FormatUint(uint64(n%places), 16)
}

// rowKey returns where a key's row is.
func (s *Store) rowKey(of string) item {
	digest := sha256.Sum256([]byte(of))
	if len(of) < maxSort {
		return key(s.place(digest[0]), []byte(of))
	}
	return key(s.place(digest[0]), append([]byte(of[:cutAt]), digest[:]...))
}

// newRow returns the item of a row, with a new token. For a row that is deleted, an item stays for an hour. A write may
// have read "no row" before another process made and deleted the row. When it arrives late, it finds the item, and does
// not bring the row back.
func (s *Store) newRow(of string, row []byte) item {
	it := s.rowKey(of)
	it[attrToken] = blob(newToken())
	if len(of) >= maxSort {
		it[attrLongKey] = blob([]byte(of))
	}
	if len(row) > 0 {
		it[attrRow] = blob(row)
	} else {
		it[attrExpires] = number(time.Now().Add(time.Hour).Unix())
	}
	return it
}

// batchSize is how many rows an update has in memory at once: 65 536 bytes each make 64 MiB.
const batchSize = 1000

// Update implements [ledger.Engine]. It reads 100 rows with each request, and writes each row with one. After an error
// it sends nothing again.
//
// A damaged row is an error that wraps [ErrFormat]. If nothing has been changed yet, the error has the method Row,
// which returns the key.
func (s *Store) Update(ctx context.Context, keys []string, f func(i int, row []byte) ([]byte, error)) error {
	u := update{store: s, f: f}
	for from := 0; from < len(keys); from += batchSize {
		batch := make([]*decision, min(batchSize, len(keys)-from))
		for k := range batch {
			batch[k] = &decision{i: from + k, key: keys[from+k]}
		}
		if err := u.run(ctx, batch); err != nil {
			return fmt.Errorf("dynamostore: update: %w", u.rowless(err))
		}
	}
	return nil
}

// update is a call of Update.
type update struct {
	store *Store
	f     func(int, []byte) ([]byte, error)
	wrote bool // a write has been sent
}

// decision is a key of an update.
type decision struct {
	i    int
	key  string
	now  item // the item on the server, or an empty one
	next item // the item that f wants, or nil
}

// run reads the rows of a batch, and decides and writes until all are written. Only the first round reads: a write that
// was too late brings the item that it has found. A round repeats only the rows for which
// another writer was faster. That writer has made progress then, so processes cannot block each other.
func (u *update) run(ctx context.Context, batch []*decision) error {
	err := u.store.read(ctx, batch)
	for err == nil && len(batch) > 0 {
		if batch, err = u.decide(batch); err == nil {
			batch, err = u.write(ctx, batch)
		}
	}
	return err
}

// decide calls f for each row, and returns the decisions that write. What f returns means, as [ledger.Engine] says: nil
// leaves the row as it is, bytes are the new row, and an empty slice deletes it. To delete a row that is not there is
// nothing to do. An error of f comes before any write of its round.
func (u *update) decide(batch []*decision) ([]*decision, error) {
	writes := batch[:0] // the batch is read faster than it is overwritten
	for _, d := range batch {
		if err := checkRow(d.now, d.key); err != nil {
			return nil, err
		}
		row := bytesOf(d.now, attrRow)
		next, err := u.f(d.i, row)
		if err != nil {
			return nil, err
		}
		if len(next) > 0 || next != nil && row != nil {
			d.next = u.store.newRow(d.key, next)
			writes = append(writes, d)
		}
	}
	return writes, nil
}

// write writes the decisions, and returns those that were too late, with the item that is there now. A decision is late
// as long as it has a next. After an error the others may have been written or not.
func (u *update) write(ctx context.Context, batch []*decision) (late []*decision, err error) {
	if err := u.store.usable(ctx); err != nil {
		return nil, err
	}
	u.wrote = u.wrote || len(batch) > 0
	err = parallel(ctx, len(batch), func(ctx context.Context, n int) error {
		d := batch[n]
		now, written, err := u.store.swap(ctx, d.next, bytesOf(d.now, attrToken))
		if d.now = now; written {
			d.next = nil
		}
		return err
	})
	late = batch[:0]
	for _, d := range batch {
		if d.next != nil {
			late = append(late, d)
		}
	}
	return late, err
}

// read reads the items of decisions. They come in any order, and are found by their sort keys, which are different for
// different keys of a ledger: see cutAt. A decision without an item keeps an empty one.
func (s *Store) read(ctx context.Context, batch []*decision) error {
	wanted := make(map[string]*decision, len(batch))
	keys := make([]item, len(batch))
	for n, d := range batch {
		keys[n] = s.rowKey(d.key)
		wanted[string(bytesOf(keys[n], attrSort))] = d
	}
	items, err := s.getEach(ctx, keys)
	for _, it := range items {
		if d := wanted[string(bytesOf(it, attrSort))]; d != nil {
			d.now = it
		}
	}
	return err
}

// checkRow returns an error unless an item is empty or one that newRow has made. Without a token nobody could write it
// safely, and an attribute of bytes is never empty.
func checkRow(it item, of string) error {
	if len(it) > 0 && (len(bytesOf(it, attrToken)) == 0 || it[attrRow] != nil && len(bytesOf(it, attrRow)) == 0) {
		return rowError{fmt.Errorf("%w: row of %q", ErrFormat, of), of}
	}
	return nil
}

// rowError is an error that concerns the row of one key, while nothing has been changed. See [ledger.Engine].
type rowError struct {
	error
	key string // of the ledger
}

// Row returns the key.
func (e rowError) Row() string { return e.key }

// Unwrap returns the error without the method Row.
func (e rowError) Unwrap() error { return e.error }

// rowless returns err without the method Row if the update has written other rows: a [rowError] promises that nothing
// was changed.
func (u *update) rowless(err error) error {
	if bad, ok := errors.AsType[rowError](err); ok && u.wrote {
		return bad.error
	}
	return err
}

// Load implements [ledger.Engine]. The read is consistent: it sees every write that was confirmed before.
func (s *Store) Load(ctx context.Context, key string) ([]byte, error) {
	err := s.usable(ctx)
	var it item
	if err == nil {
		it, err = s.get(ctx, s.rowKey(key))
	}
	if err == nil {
		err = checkRow(it, key)
	}
	if err != nil {
		return nil, fmt.Errorf("dynamostore: load: %w", err)
	}
	return bytesOf(it, attrRow), nil
}
