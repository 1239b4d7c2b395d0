package dynamostore

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// Names of the attributes of a journal's items.
const (
	attrRevision  = "r" // N
	attrTime      = "m" // N, of the change, in milliseconds
	attrContent   = "c" // B, the encoded change, or its beginning
	attrParts     = "n" // N, how many items have the rest; 0 or absent if there is none
	attrFirst     = "f" // N, of the head: the first record that counts
	attrFirstTime = "o" // N, of the head: the time of that record
	attrSettled   = "z" // BOOL, of the head: the change is settled
)

// inlineSize is how many bytes of a change are in the head, which every reader reads. The head then has less than 4 KB,
// which is one read unit. partSize is how many bytes one further item has: DynamoDB takes up to 400 KB.
const (
	inlineSize = 2 << 10
	partSize   = 300 << 10
)

// record is a change as it is stored: in the head, and once it is settled also in the log.
type record struct {
	revision uint64
	token    []byte // also names its parts, so those of two writers of one revision do not meet
	time     int64  // Unix milliseconds
	inline   []byte // the encoded change, or its beginning
	parts    int    // how many items have the rest
}

// head is the last change, and what the journal knows of the others. The zero head is that of a journal without
// changes.
type head struct {
	record
	first     uint64 // the first record that counts; those before it may be deleted at any time
	firstTime int64  // of the first record, so that Append need not read the log to know whether it is too old
	settled   bool   // the log and the versions have the change
}

// newRecord returns the record of a change, and the rest of it, which does not fit into the record. For example, a
// change of 700 000 bytes has 2 048 of them in the record, and parts of 307 200, 307 200 and 83 552 bytes.
func newRecord(c journal.Change) (r record, rest [][]byte) {
	encoded, _ := c.AppendBinary(nil) // it never fails
	n := min(len(encoded), inlineSize)
	rest = split(encoded[n:])
	return record{c.Revision, newToken(), c.Time.UnixMilli(), encoded[:n], len(rest)}, rest
}

// split returns parts of b that fit into an item each.
func split(b []byte) (list [][]byte) {
	for len(b) > 0 {
		n := min(len(b), partSize)
		list, b = append(list, b[:n]), b[n:]
	}
	return list
}

// item returns the record as an item with a key.
func (r record) item(of item) item {
	of[attrRevision], of[attrToken], of[attrTime] = number(int64(r.revision)), blob(r.token), number(r.time)
	of[attrContent], of[attrParts] = blob(r.inline), number(int64(r.parts))
	return of
}

// item returns the head as an item with a key.
func (h head) item(of item) item {
	of = h.record.item(of)
	of[attrFirst], of[attrFirstTime] = number(int64(h.first)), number(h.firstTime)
	of[attrSettled] = &types.AttributeValueMemberBOOL{Value: h.settled}
	return of
}

// parseRecord reads a record. An item that no newRecord can have made wraps [ErrFormat]: revisions begin at 1, and an
// encoded change is never empty.
func parseRecord(it item) (record, error) {
	r := record{
		revision: uint64(numberOf(it, attrRevision)), token: bytesOf(it, attrToken), time: numberOf(it, attrTime),
		inline: bytesOf(it, attrContent), parts: int(numberOf(it, attrParts)),
	}
	if r.revision == 0 || len(r.token) == 0 || len(r.inline) == 0 || r.parts < 0 {
		return record{}, fmt.Errorf("%w: record %d", ErrFormat, r.revision)
	}
	return r, nil
}

// parseHead reads a head. An empty item is the zero head.
func parseHead(it item) (h head, err error) {
	if len(it) == 0 {
		return head{}, nil
	}
	settled, _ := it[attrSettled].(*types.AttributeValueMemberBOOL)
	h = head{first: uint64(numberOf(it, attrFirst)), firstTime: numberOf(it, attrFirstTime)}
	h.settled = settled != nil && settled.Value
	h.record, err = parseRecord(it)
	if err == nil && (h.first == 0 || h.first > h.revision) {
		err = fmt.Errorf("%w: first record %d", ErrFormat, h.first)
	}
	return h, err
}

// decode reads an encoded change.
func decode(b []byte) (c journal.Change, err error) {
	if err := c.UnmarshalBinary(b); err != nil {
		return c, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return c, nil
}
