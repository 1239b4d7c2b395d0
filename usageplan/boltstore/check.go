package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	bolt "go.etcd.io/bbolt"
)

// Check reads the whole file, as it is when Check begins. It checks each page, the checksum of each row, item
// and record, and that none is missing.
//
// Other calls go on meanwhile. But a call that needs a larger map of the file in memory, or has to open the file again
// after an error, waits until Check has ended, and so do all calls after it. So check at a quiet time, or check a copy
// by opening it. Pages that Check still reads are not used again, so the file may grow.
//
// The error wraps [ErrFormat] if the file is damaged, [ErrReplaced], [ErrClosed], that of ctx, or what the system
// reports.
func (s *Store) Check(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	db, want := s.db, s.state
	tx, err := db.begin(false) // keeps the pages of the present tree as they are
	err = s.failed(err)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	defer db.end(tx)
	sum, records := uint64(0), uint64(0)
	err = walk(db.file, tx, func(bucket string, key, value []byte) error {
		switch _, ok := unseal(key, value); {
		case bucket == string(metaBucket):
		case !ok:
			return fmt.Errorf("%w: checksum of %q in bucket %q", ErrFormat, key, bucket)
		case isSummed(bucket):
			sum += uint64(storedSum(value))
		default:
			records++
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	if sum != want.Sum || records != want.Last+1-want.First {
		return errMissing
	}
	return errors.Join(guard(func() error { return checkJournals(tx) }), s.isInPlace())
}

// verify checks the pages of a file before bbolt opens it to write. It returns what the state calls Sum.
func verify(path string) (sum uint64, err error) {
	if info, err := os.Stat(path); err == nil && info.Size() == 0 {
		return 0, fmt.Errorf("%w: 0 bytes", ErrFormat) // bbolt would take it for a new file
	}
	db, err := openFile(path, bolt.Options{ReadOnly: true}) // does not look at pages
	if err != nil {
		return 0, err
	}
	defer db.close()
	if n := db.bolt.Info().PageSize; n != os.Getpagesize() {
		return 0, fmt.Errorf("%w: written with pages of %d bytes, this system has others", ErrFormat, n)
	}
	err = db.view(func(tx *bolt.Tx) error {
		return walk(db.file, tx, func(bucket string, _, value []byte) error {
			if isSummed(bucket) {
				sum += uint64(storedSum(value))
			}
			return nil
		})
	})
	return sum, err
}

// bbolt checks its meta pages and trusts all others. It reads them through a memory map, where one wrong offset is a
// fault, and when it opens a file to write, it walks them in a goroutine of its own, where a fault ends the process. A
// page that refers to one above it would never let it end. So the tree is first walked here, as a file. The walk checks
// what bbolt relies on, and no more:
//
//   - A page is one of the file's, is met once, and lies within the file.
//   - Its elements lie within the page.
//   - Keys ascend, and those below an element of a branch lie from its key up to the next one's. So a search finds what
//     is there.
//   - There are buckets in the tree's root, and none in another.
//
// It does not check that nothing is missing. If a flipped bit makes a leaf of ten rows one of two, eight rows are gone
// and the tree is sound. The state of the file tells that: see format.go.
//
// The format is bbolt's version 2 (internal/common/page.go, bucket.go), integers in the machine's byte order.

const (
	pageHeader   = 16 // id uint64, flags uint16, count uint16, overflow uint32
	elementSize  = 16 // branch: pos, ksize uint32, page uint64; leaf: flags, pos, ksize, vsize uint32
	bucketHeader = 16 // root page, sequence uint64; with root 0 the bucket's page follows

	branchPage = 0x01
	leafPage   = 0x02
	bucketLeaf = 0x01
)

var native = binary.NativeEndian

// pages is a walk.
type pages struct {
	f        io.ReaderAt
	pageSize int64
	seen     []bool // the pages in use, and whether the walk has met them
	spare    []byte // memory of the page that was checked last
	bucket   string // the one that is walked, "" for the tree of buckets
	each     func(bucket string, key, value []byte) error
}

// walk checks the tree that tx reads, in its file, and calls each with all that its buckets have. Key and value are
// valid during the call. tx only tells where the tree is, which it has in memory. As long as it lasts, the pages stay
// as they are.
func walk(f io.ReaderAt, tx *bolt.Tx, each func(bucket string, key, value []byte) error) error {
	size := int64(os.Getpagesize())
	p := &pages{f: f, pageSize: size, seen: make([]bool, tx.Size()/size), each: each}
	return p.page(uint64(tx.Cursor().Bucket().Root()), nil, nil)
}

func (p *pages) bad(id uint64, what string) error {
	return fmt.Errorf("%w: page %d: %s", ErrFormat, id, what)
}

// page checks a page, with those that it overflows into, and all below it. Its keys lie within [least, most); nil is
// open.
func (p *pages) page(id uint64, least, most []byte) error {
	count := uint64(len(p.seen))
	if id < 2 || id >= count {
		return p.bad(id, "out of range")
	}
	b := append(p.spare[:0], make([]byte, p.pageSize)...)
	p.spare = nil // it is needed until those below have been checked
	if err := p.readAt(b, id); err != nil {
		return err
	}
	overflow := uint64(native.Uint32(b[12:]))
	if native.Uint64(b) != id || id+overflow >= count {
		return p.bad(id, "header")
	}
	for i := id; i <= id+overflow; i++ {
		if p.seen[i] {
			return p.bad(i, "in two places")
		}
		p.seen[i] = true
	}
	b = append(b, make([]byte, int64(overflow)*p.pageSize)...)
	if err := p.readAt(b[p.pageSize:], id+1); err != nil {
		return err
	}
	defer func() { p.spare = b }()
	return p.elements(id, b, least, most)
}

func (p *pages) readAt(b []byte, id uint64) error {
	_, err := p.f.ReadAt(b, int64(id)*p.pageSize)
	if errors.Is(err, io.EOF) {
		return p.bad(id, "behind the end of the file")
	}
	return err
}

// elements checks the elements of the page b, which is that of id or inline in it, and all below them.
func (p *pages) elements(id uint64, b, least, most []byte) error {
	kind, n := native.Uint16(b[8:]), int(native.Uint16(b[10:]))
	if kind != leafPage && (kind != branchPage || n == 0) || pageHeader+n*elementSize > len(b) {
		return p.bad(id, "header")
	}
	for i := range n {
		e, ok := element(b, kind, i)
		end := most
		if i+1 < n {
			following, _ := element(b, kind, i+1) // which is checked in its turn
			end = following.key
		}
		var err error
		switch {
		case !ok || bytes.Compare(e.key, least) < 0 || end != nil && bytes.Compare(e.key, end) >= 0:
			err = p.bad(id, "element")
		case kind == leafPage:
			err = p.leaf(id, &e)
		default:
			err = p.page(e.page, e.key, end)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pageElement is an element of a branch, which has a page, or of a leaf, which has flags and a value.
type pageElement struct {
	flags      uint32
	page       uint64
	key, value []byte
}

// element returns the i-th element of the page b if it lies within the page.
func element(b []byte, kind uint16, i int) (e pageElement, ok bool) {
	b = b[pageHeader+i*elementSize:] // positions count from the element
	var pos, ksize, vsize uint64
	if kind == branchPage {
		pos, ksize, e.page = uint64(native.Uint32(b)), uint64(native.Uint32(b[4:])), native.Uint64(b[8:])
	} else {
		e.flags = native.Uint32(b)
		pos, ksize, vsize = uint64(native.Uint32(b[4:])), uint64(native.Uint32(b[8:])), uint64(native.Uint32(b[12:]))
	}
	if pos+ksize+vsize > uint64(len(b)) {
		return e, false
	}
	e.key, e.value = b[pos:][:ksize], b[pos+ksize:][:vsize]
	return e, true
}

// leaf checks an element of a leaf: a bucket in the tree of buckets, a value in any other. The page of a small bucket
// is in the value itself. It is a leaf: bbolt panics where such a page refers to others.
func (p *pages) leaf(id uint64, e *pageElement) error {
	switch {
	case p.bucket != "" && e.flags == 0:
		return p.each(p.bucket, e.key, e.value)
	case p.bucket != "" || e.flags != bucketLeaf || len(e.key) == 0 || len(e.value) < bucketHeader:
		return p.bad(id, "element of another kind")
	}
	p.bucket = string(e.key)
	defer func() { p.bucket = "" }()
	if root := native.Uint64(e.value); root != 0 {
		return p.page(root, nil, nil)
	}
	inline := e.value[bucketHeader:]
	if len(inline) < pageHeader || native.Uint16(inline[8:]) != leafPage {
		return p.bad(id, "bucket")
	}
	return p.elements(id, inline, nil, nil)
}
