package boltstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt trusts its pages: it reads them through a memory map, one wrong offset faults, and at open it walks them in a
// goroutine of its own, where that ends the process. So the tree is checked by reading it as a file first: each page
// reachable, once, well-formed, its keys in order.
//
// The format is bbolt's version 2 (internal/common/page.go, meta.go, bucket.go), integers in the machine's byte order.
// A file from a machine of the other order has no meta page: the magic number is another.

const (
	pageHeader   = 16 // id uint64, flags uint16, count uint16, overflow uint32
	elementSize  = 16 // branch: pos, ksize uint32, page uint64; leaf: flags, pos, ksize, vsize uint32
	bucketHeader = 16 // root page, sequence uint64; with root 0 the bucket's page follows

	branchPage  = 0x01
	leafPage    = 0x02
	bucketLeaf  = 0x01
	boltMagic   = 0xED0CDAED
	boltVersion = 2
	metaSummed  = 56 // bytes of a meta before its checksum
)

var native = binary.NativeEndian

// pages walks the tree of a file.
type pages struct {
	f        io.ReaderAt
	pageSize int64
	count    uint64 // pages in use, by the meta
	seen     []bool
}

// checkPages checks the tree that bbolt will read.
func checkPages(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	p := pages{f: f, pageSize: int64(os.Getpagesize())}
	root, err := p.newestMeta(info.Size())
	if err != nil {
		return err
	}
	if p.count > uint64(info.Size()/p.pageSize) {
		return fmt.Errorf("%w: %d bytes, %d pages of %d", ErrFormat, info.Size(), p.count, p.pageSize)
	}
	p.seen = make([]bool, p.count)
	return p.page(root, nil, nil)
}

// newestMeta returns the root of the newer of the two metas that are whole. The other may be torn: that commit was
// never acknowledged.
func (p *pages) newestMeta(size int64) (root uint64, err error) {
	newest, found := uint64(0), false
	for i := range int64(2) {
		b := make([]byte, pageHeader+metaSummed+8)
		if _, err := p.f.ReadAt(b, i*p.pageSize); err != nil && err != io.EOF {
			return 0, err
		}
		m := b[pageHeader:]
		sum := fnv.New64a()
		_, _ = sum.Write(m[:metaSummed])
		if native.Uint32(m) != boltMagic || native.Uint32(m[4:]) != boltVersion || native.Uint64(m[metaSummed:]) != sum.Sum64() {
			continue
		}
		if n := int64(native.Uint32(m[8:])); n != p.pageSize {
			return 0, fmt.Errorf("%w: written with pages of %d bytes, this system has %d", ErrFormat, n, p.pageSize)
		}
		if txid := native.Uint64(m[48:]); !found || txid > newest {
			newest, found = txid, true
			root, p.count = native.Uint64(m[16:]), native.Uint64(m[40:])
		}
	}
	if !found {
		return 0, fmt.Errorf("%w: no meta page in %d bytes", ErrFormat, size)
	}
	return root, nil
}

func (p *pages) bad(id uint64, what string) error {
	return fmt.Errorf("%w: page %d: %s", ErrFormat, id, what)
}

// page checks a page and all below it. Its keys lie within [least, most); nil is open.
func (p *pages) page(id uint64, least, most []byte) error {
	if id < 2 || id >= p.count || p.seen[id] {
		return p.bad(id, "out of range, or in two places")
	}
	b := make([]byte, p.pageSize)
	if _, err := p.f.ReadAt(b, int64(id)*p.pageSize); err != nil {
		return err
	}
	overflow := uint64(native.Uint32(b[12:]))
	if native.Uint64(b) != id || id+overflow >= p.count {
		return p.bad(id, "header")
	}
	for i := range overflow + 1 {
		if p.seen[id+i] {
			return p.bad(id, "in two places")
		}
		p.seen[id+i] = true
	}
	if overflow > 0 {
		b = append(b, make([]byte, int64(overflow)*p.pageSize)...)
		if _, err := p.f.ReadAt(b[p.pageSize:], (int64(id)+1)*p.pageSize); err != nil {
			return err
		}
	}
	return p.elements(id, b, least, most)
}

// elements checks the elements of the page b, which is that of id or inline in it, and all below them.
func (p *pages) elements(id uint64, b, least, most []byte) error {
	if len(b) < pageHeader {
		return p.bad(id, "short")
	}
	kind, n := native.Uint16(b[8:]), int(native.Uint16(b[10:]))
	if kind != leafPage && (kind != branchPage || n == 0) {
		return p.bad(id, "kind")
	}
	keys := make([][]byte, n, n+1)
	values := make([][]byte, n) // of a branch, nil
	for i := range n {
		var err error
		if keys[i], values[i], err = p.element(id, b, kind, i, n); err != nil {
			return err
		}
		if i == 0 && least != nil && bytes.Compare(keys[0], least) < 0 || i > 0 && bytes.Compare(keys[i-1], keys[i]) >= 0 {
			return p.bad(id, "order of keys")
		}
	}
	if n > 0 && most != nil && bytes.Compare(keys[n-1], most) >= 0 {
		return p.bad(id, "order of keys")
	}
	return p.below(id, b, append(keys, most), values)
}

// below checks what the elements of the page b refer to: pages, the keys of each within its own and the next, or
// buckets.
func (p *pages) below(id uint64, b []byte, keys, values [][]byte) error {
	branch := native.Uint16(b[8:]) == branchPage
	for i, value := range values {
		e := b[pageHeader+i*elementSize:]
		var err error
		switch {
		case branch:
			err = p.page(native.Uint64(e[8:]), keys[i], keys[i+1])
		case native.Uint32(e) == bucketLeaf:
			err = p.bucket(id, value)
		case native.Uint32(e) != 0:
			err = p.bad(id, "flags of element")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// element returns key and value of the i-th of n elements.
func (p *pages) element(id uint64, b []byte, kind uint16, i, n int) (key, value []byte, err error) {
	at := pageHeader + i*elementSize
	if at+elementSize > len(b) {
		return nil, nil, p.bad(id, "count of elements")
	}
	e := b[at:]
	var pos, ksize, vsize uint64
	if kind == branchPage {
		pos, ksize = uint64(native.Uint32(e)), uint64(native.Uint32(e[4:]))
	} else {
		pos, ksize, vsize = uint64(native.Uint32(e[4:])), uint64(native.Uint32(e[8:])), uint64(native.Uint32(e[12:]))
	}
	if pos < uint64((n-i)*elementSize) || uint64(at)+pos+ksize+vsize > uint64(len(b)) {
		return nil, nil, p.bad(id, "element")
	}
	return e[pos : pos+ksize], e[pos+ksize : pos+ksize+vsize], nil
}

func (p *pages) bucket(id uint64, value []byte) error {
	if len(value) < bucketHeader {
		return p.bad(id, "bucket")
	}
	if root := native.Uint64(value); root != 0 {
		return p.page(root, nil, nil)
	}
	return p.elements(id, value[bucketHeader:], nil, nil)
}
