package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	bolt "go.etcd.io/bbolt"
)

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
	seen     []bool   // the pages in use, and whether the walk has met them
	buffers  [][]byte // one for each level of the tree, as a page is needed while those below it are walked
	bucket   string   // the one that is walked, "" for the tree of buckets
	each     func(bucket string, key, value []byte) error
}

// walk checks the tree that tx reads, in its file, and calls each with all that its buckets have. Key and value are
// valid during the call. tx only tells where the tree is, which it has in memory. As long as it lasts, the pages stay
// as they are.
func walk(f io.ReaderAt, tx *bolt.Tx, each func(bucket string, key, value []byte) error) error {
	size := int64(os.Getpagesize())
	p := &pages{f: f, pageSize: size, seen: make([]bool, tx.Size()/size), each: each}
	return p.page(uint64(tx.Cursor().Bucket().Root()), 0, nil, nil)
}

func (p *pages) bad(id uint64, what string) error {
	return fmt.Errorf("%w: page %d: %s", ErrFormat, id, what)
}

// page checks a page and all below it. Its keys lie within [least, most); nil is open.
func (p *pages) page(id uint64, level int, least, most []byte) error {
	b, err := p.read(id, level)
	if err != nil {
		return err
	}
	return p.elements(id, b, level, least, most)
}

// read reads a page with those that it overflows into.
func (p *pages) read(id uint64, level int) ([]byte, error) {
	count := uint64(len(p.seen))
	if id < 2 || id >= count {
		return nil, p.bad(id, "out of range")
	}
	if len(p.buffers) == level {
		p.buffers = append(p.buffers, make([]byte, p.pageSize))
	}
	b := p.buffers[level][:p.pageSize]
	if err := p.readAt(b, id); err != nil {
		return nil, err
	}
	overflow := uint64(native.Uint32(b[12:]))
	if native.Uint64(b) != id || id+overflow >= count {
		return nil, p.bad(id, "header")
	}
	for i := id; i <= id+overflow; i++ {
		if p.seen[i] {
			return nil, p.bad(i, "in two places")
		}
		p.seen[i] = true
	}
	more := int(overflow) * int(p.pageSize)
	b = slices.Grow(b, more)[:len(b)+more]
	p.buffers[level] = b
	return b, p.readAt(b[p.pageSize:], id+1)
}

func (p *pages) readAt(b []byte, id uint64) error {
	_, err := p.f.ReadAt(b, int64(id)*p.pageSize)
	if errors.Is(err, io.EOF) {
		return p.bad(id, "behind the end of the file")
	}
	return err
}

// elements checks the elements of the page b, which is that of id or inline in it, and all below them.
func (p *pages) elements(id uint64, b []byte, level int, least, most []byte) error {
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
		if !ok || bytes.Compare(e.key, least) < 0 || end != nil && bytes.Compare(e.key, end) >= 0 {
			return p.bad(id, "element")
		}
		var err error
		if kind == leafPage {
			err = p.leaf(id, level, &e)
		} else {
			err = p.page(e.page, level+1, e.key, end)
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
func (p *pages) leaf(id uint64, level int, e *pageElement) error {
	switch {
	case p.bucket != "" && e.flags == 0:
		return p.each(p.bucket, e.key, e.value)
	case p.bucket != "" || e.flags != bucketLeaf || len(e.key) == 0 || len(e.value) < bucketHeader:
		return p.bad(id, "element of another kind")
	}
	p.bucket = string(e.key)
	defer func() { p.bucket = "" }()
	if root := native.Uint64(e.value); root != 0 {
		return p.page(root, level+1, nil, nil)
	}
	inline := e.value[bucketHeader:]
	if len(inline) < pageHeader || native.Uint16(inline[8:]) != leafPage {
		return p.bad(id, "bucket")
	}
	return p.elements(id, inline, level, nil, nil)
}
