package journal

import (
	"encoding/binary"
	"errors"
	"time"
)

// codecVersion is the first byte of each encoded change. A later version of this package may have others.
const codecVersion = 1

// AppendBinary implements [encoding.BinaryAppender], for stores that keep a change as bytes. The error is always nil.
//
// After the version come the revision, the time in milliseconds since 1970, the operation, the three texts of the
// origin, and for each item its name and its bytes. Numbers are varints, and only that of the time has a sign. A text
// stands after its length. Before the bytes of an item stands their length plus one, because 0 says that the item is
// gone. Example: change 7, at 1 ms, has the operation "Put" and no origin, puts "bytes" into the item a, and removes
// the item b:
//
//	01  07  02  03 'Put'  00  00  00  01 'a' 06 'bytes'  01 'b' 00
func (c Change) AppendBinary(b []byte) ([]byte, error) {
	b = binary.AppendUvarint(append(b, codecVersion), c.Revision)
	b = binary.AppendVarint(b, c.Time.UnixMilli())
	for _, text := range []string{c.Operation, c.Actor, c.Source, c.Request} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	for _, it := range c.Items {
		b = append(binary.AppendUvarint(b, uint64(len(it.Name))), it.Name...)
		if it.Gone {
			b = append(b, 0)
		} else {
			b = append(binary.AppendUvarint(b, uint64(1+len(it.Value))), it.Value...)
		}
	}
	return b, nil
}

var errCodec = errors.New("journal: not an encoded change")

// UnmarshalBinary implements [encoding.BinaryUnmarshaler]: it reads what AppendBinary has written. It keeps nothing of
// b. An error says that b is damaged, or of another version. Then do not use c, which may have a part of it.
func (c *Change) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0] != codecVersion {
		return errCodec
	}
	d := decoder{b: b[1:]}
	*c = Change{Revision: d.number(), Time: d.time()}
	for _, text := range []*string{&c.Operation, &c.Actor, &c.Source, &c.Request} {
		*text = string(d.take(d.number()))
	}
	for len(d.b) > 0 && !d.bad {
		it := Item{Name: string(d.take(d.number()))}
		if n := d.number(); n == 0 {
			it.Gone = true
		} else {
			it.Value = append([]byte{}, d.take(n-1)...)
		}
		c.Items = append(c.Items, it)
	}
	if d.bad {
		return errCodec
	}
	return nil
}

// decoder reads from b. At the first mistake it becomes bad, and then returns only zeros. So its user checks once, at
// the end. Lengths are compared with what is left, so damaged bytes allocate no more than they have.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.b)
	if d.bad = d.bad || size <= 0; d.bad {
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) time() time.Time {
	ms, size := binary.Varint(d.b)
	if d.bad = d.bad || size <= 0; d.bad {
		return time.Time{}
	}
	d.b = d.b[size:]
	return time.UnixMilli(ms).UTC()
}

func (d *decoder) take(n uint64) []byte {
	if d.bad = d.bad || n > uint64(len(d.b)); d.bad {
		return nil
	}
	taken := d.b[:n]
	d.b = d.b[n:]
	return taken
}
