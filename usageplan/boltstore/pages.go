package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt trusts its pages. It reads them through a memory map, where one wrong offset is a fault, and at open it walks them
// in a goroutine of its own, where a fault ends the process. So the tree is first walked here, as a file: each page must be
// reachable once, hold exactly what its header says, and have its keys in order.
//
// The format is bbolt's version 2 (internal/common/page.go, meta.go, bucket.go), integers in the machine's byte order. A
// file from a machine of the other order has no meta page: the magic number is another.

const (
	pageHeader   = 16 // id uint64, flags uint16, count uint16, overflow uint32
	elementSize  = 16 // branch: pos, ksize uint32, page uint64; leaf: flags, pos, ksize, vsize uint32
	bucketHeader = 16 // root page, sequence uint64; with root 0 the bucket's page follows

	branchPage  = 0x01
	leafPage    = 0x02
	bucketLeaf  = 0x01
	boltMagic   = 0xED0CDAED
	boltVersion = 2
	metaSize    = pageHeader + metaSummed + 8
	metaSummed  = 56 // bytes of a meta before its checksum
)

var native = binary.NativeEndian

// pages walks the newest tree of a file. The file may be in use, if a transaction that reads keeps that tree.
type pages struct {
	f        io.ReaderAt
	pageSize int64
	root     uint64
	seen     []bool   // the pages in use, by the meta, and whether the walk has met them
	buffers  [][]byte // one for each level of the tree, as a page is needed while those below it are walked
	bucket   string   // the one that is walked, "" for the tree of buckets
	each     func(bucket string, key, value []byte) error
}

func newPages(f *os.File) (*pages, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	p := &pages{f: f, pageSize: int64(os.Getpagesize())}
	if info.Size() < 4*p.pageSize { // bbolt would initialise an empty file in place
		return nil, fmt.Errorf("%w: %d bytes", ErrFormat, info.Size())
	}
	return p, p.newestMeta(uint64(info.Size() / p.pageSize))
}

// walk checks the tree and calls each with all that its buckets have.
func (p *pages) walk(each func(bucket string, key, value []byte) error) error {
	p.each = each
	return p.page(p.root, 0, nil, nil)
}

// newestMeta finds the root, by the newer of the two metas that are whole. The other may be torn: that commit was never
// acknowledged.
func (p *pages) newestMeta(size uint64) error {
	newest, count := uint64(0), uint64(0)
	for i := range int64(2) {
		b := make([]byte, metaSize)
		if _, err := p.f.ReadAt(b, i*p.pageSize); err != nil {
			return err
		}
		m := b[pageHeader:]
		sum := fnv.New64a()
		_, _ = sum.Write(m[:metaSummed])
		if native.Uint32(m) != boltMagic || native.Uint32(m[4:]) != boltVersion || native.Uint64(m[metaSummed:]) != sum.Sum64() {
			continue
		}
		if n := int64(native.Uint32(m[8:])); n != p.pageSize {
			return fmt.Errorf("%w: written with pages of %d bytes, this system has %d", ErrFormat, n, p.pageSize)
		}
		if txid := native.Uint64(m[48:]); count == 0 || txid > newest {
			newest, p.root, count = txid, native.Uint64(m[16:]), native.Uint64(m[40:])
		}
	}
	if count == 0 || count > size {
		return fmt.Errorf("%w: %d of %d pages in use", ErrFormat, count, size)
	}
	p.seen = make([]bool, count)
	return nil
}

func (p *pages) bad(id uint64, what string) error {
	return fmt.Errorf("%w: page %d: %s", ErrFormat, id, what)
}

// page checks a page and all below it. Its keys lie within [least, most); nil is open. Only the root of a bucket has no
// least key, and only it may be empty.
func (p *pages) page(id uint64, level int, least, most []byte) error {
	b, err := p.read(id, level)
	if err != nil {
		return err
	}
	end, err := p.elements(id, b, level, least, most)
	if size := int(p.pageSize); err == nil && (end+size-1)/size*size != len(b) {
		return p.bad(id, "longer than its elements")
	}
	return err
}

// read reads a page with those that it overflows into.
func (p *pages) read(id uint64, level int) ([]byte, error) {
	if len(p.buffers) == level {
		p.buffers = append(p.buffers, make([]byte, p.pageSize))
	}
	b := p.buffers[level][:p.pageSize]
	if id < 2 || id >= uint64(len(p.seen)) {
		return nil, p.bad(id, "out of range")
	}
	if err := p.readAt(b, id); err != nil {
		return nil, err
	}
	overflow := uint64(native.Uint32(b[12:]))
	if native.Uint64(b) != id || id+overflow >= uint64(len(p.seen)) {
		return nil, p.bad(id, "header")
	}
	for i := range overflow + 1 {
		if p.seen[id+i] {
			return nil, p.bad(id, "in two places")
		}
		p.seen[id+i] = true
	}
	if overflow > 0 {
		b = append(b, make([]byte, int64(overflow)*p.pageSize)...)
		if err := p.readAt(b[p.pageSize:], id+1); err != nil {
			return nil, err
		}
		p.buffers[level] = b
	}
	return b, nil
}

func (p *pages) readAt(b []byte, id uint64) error {
	_, err := p.f.ReadAt(b, int64(id)*p.pageSize)
	if errors.Is(err, io.EOF) {
		return p.bad(id, "behind the end of the file")
	}
	return err
}

// elements checks the elements of the page b, which is that of id or inline in it, and all below them. bbolt writes keys
// and values without a gap behind the elements, so a count or a size that is wrong shows. It returns where they end.
func (p *pages) elements(id uint64, b []byte, level int, least, most []byte) (end int, err error) {
	if len(b) < pageHeader {
		return 0, p.bad(id, "short")
	}
	kind, n := native.Uint16(b[8:]), int(native.Uint16(b[10:]))
	end = pageHeader + n*elementSize
	switch {
	case kind != leafPage && kind != branchPage:
		return 0, p.bad(id, "kind")
	case end > len(b):
		return 0, p.bad(id, "count of elements")
	case n == 0 && (kind == branchPage || least != nil || len(bytes.Trim(b[pageHeader:], "\x00")) > 0):
		return 0, p.bad(id, "no elements")
	}
	for i := range n {
		e, ok := element(b, kind, i, end)
		switch {
		case !ok:
			return 0, p.bad(id, "element")
		case bytes.Compare(e.key, least) < 0 || i > 0 && bytes.Equal(e.key, least):
			return 0, p.bad(id, "order of keys")
		case most != nil && bytes.Compare(e.key, most) >= 0:
			return 0, p.bad(id, "order of keys")
		}
		end += len(e.key) + len(e.value)
		least = e.key
		if kind == leafPage {
			err = p.leaf(id, level, &e)
		} else {
			next := most
			if i+1 < n {
				following, _ := element(b, kind, i+1, end)
				next = following.key // which is checked in its turn
			}
			err = p.page(e.page, level+1, e.key, next)
		}
		if err != nil {
			return 0, err
		}
	}
	return end, nil
}

// pageElement is an element of a branch, which has a page, or of a leaf, which has flags and a value.
type pageElement struct {
	flags      uint32
	page       uint64
	key, value []byte
}

// element returns the i-th element of the page b, whose key has to begin at start.
func element(b []byte, kind uint16, i, start int) (e pageElement, ok bool) {
	at := pageHeader + i*elementSize
	h := b[at:]
	var pos, ksize, vsize uint64
	if kind == branchPage {
		pos, ksize, e.page = uint64(native.Uint32(h)), uint64(native.Uint32(h[4:])), native.Uint64(h[8:])
	} else {
		e.flags = native.Uint32(h)
		pos, ksize, vsize = uint64(native.Uint32(h[4:])), uint64(native.Uint32(h[8:])), uint64(native.Uint32(h[12:]))
	}
	if uint64(at)+pos != uint64(start) || uint64(start)+ksize+vsize > uint64(len(b)) {
		return e, false
	}
	e.key, e.value = b[start:][:ksize], b[start+int(ksize):][:vsize]
	return e, true
}

// leaf checks an element of a leaf: a bucket in the tree of buckets, a value in any other.
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
	end, err := p.elements(id, inline, level, nil, nil)
	if err == nil && end != len(inline) {
		return p.bad(id, "longer than its elements")
	}
	return err
}
