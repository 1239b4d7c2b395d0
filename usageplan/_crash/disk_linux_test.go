package crash

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// disk is a folder of files as a machine has them: what programs see (the page cache) and what is on the platter. A power
// cut loses, keeps or tears what has not been synced.
type disk struct {
	mu    sync.Mutex
	rand  *rand.Rand
	names map[string]*file // as programs see them
	kept  map[string]*file // as synced
	cut   bool             // no power: nothing works
	stop  func(n int) bool // before the n-th change: does it not happen? nil if all do
	made  int              // changes
	syncs int              // of files

	faults
	failed int // syncs
	short  int // writes
}

// faults are what is wrong with a disk; nothing, by default.
type faults struct {
	// unsynced makes one in so many syncs fail. As on ext4, the pages count as clean afterwards: a later sync succeeds
	// without them.
	unsynced int

	// failing is the number of a sync that fails in the same way.
	failing int

	// writes makes one in so many writes short: some sectors come through, and the disk has no room for the next.
	writes int

	// full is a disk that takes no write.
	full bool

	// unmapped is a file system that does not map slot files.
	unmapped bool

	// unlinked is a file system without links.
	unlinked bool
}

// hits reports whether a fault that comes once in so many times comes now.
func (d *disk) hits(every int) bool { return every > 0 && d.rand.IntN(every) == 0 }

type file struct {
	fs.Inode
	disk *disk

	cache   []byte  // what programs read
	platter []byte  // what is synced
	dirty   []write // since
	stop    bool    // the next write fails
}

// write is a change of a file: bytes at an offset, or with nil bytes a new size.
type write struct {
	at    int64
	bytes []byte
}

func newDisk(seed uint64, f faults) *disk {
	return &disk{rand: rand.New(rand.NewPCG(seed, 0)), names: map[string]*file{}, kept: map[string]*file{}, faults: f}
}

func (w write) apply(to []byte) []byte {
	end := w.at + int64(len(w.bytes))
	if w.bytes == nil && end < int64(len(to)) {
		return to[:end]
	}
	if n := end - int64(len(to)); n > 0 {
		to = append(to, make([]byte, n)...)
	}
	copy(to[w.at:], w.bytes)
	return to
}

func (f *file) change(w write) {
	f.cache = w.apply(f.cache)
	f.dirty = append(f.dirty, w)
}

// sync makes a file durable, or fails and forgets that it was not.
func (f *file) sync() syscall.Errno {
	d := f.disk
	d.syncs++
	if d.hits(d.unsynced) || d.syncs == d.failing {
		d.failed++
		f.dirty = nil
		return syscall.EIO
	}
	for _, w := range f.dirty {
		f.platter = w.apply(f.platter)
	}
	f.dirty = nil
	return 0
}

const sector = 512

// torn is a write of which each sector came through or did not.
func (d *disk) torn(f []byte, w write) []byte {
	if w.bytes == nil {
		return w.apply(f)
	}
	for at := 0; at < len(w.bytes); at += sector {
		if d.rand.IntN(2) == 0 {
			f = write{w.at + int64(at), w.bytes[at:min(at+sector, len(w.bytes))]}.apply(f)
		}
	}
	return f
}

// powerCut stops the disk and returns what is on the platter of another one: what was synced, and by chance what was not.
func (d *disk) powerCut() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut = true
	next := newDisk(d.rand.Uint64(), d.faults)
	fate := d.rand.IntN(4)
	for name, f := range d.survivors() {
		image := slices.Clone(f.platter)
		for _, w := range f.dirty {
			switch lot := d.rand.IntN(3); {
			case fate == 0, fate == 3 && lot == 0: // lost
			case fate == 1, fate == 3 && lot == 1:
				image = w.apply(image)
			default:
				image = d.torn(image, w)
			}
		}
		next.names[name] = &file{disk: next, cache: image, platter: slices.Clone(image)}
	}
	next.kept = maps.Clone(next.names)
	return next
}

// survivors are the names after a power cut: the synced ones, and by chance what has become of them since.
func (d *disk) survivors() map[string]*file {
	names := maps.Clone(d.kept)
	for name, f := range d.names {
		if d.rand.IntN(2) == 0 {
			names[name] = f
		}
	}
	for name := range d.kept {
		if d.names[name] == nil && d.rand.IntN(2) == 0 {
			delete(names, name)
		}
	}
	return names
}

// contents are the files as programs see them.
func (d *disk) contents() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := make(map[string][]byte)
	for name, f := range d.names {
		c[name] = slices.Clone(f.cache)
	}
	return c
}

// folder is the root of the mounted disk.
type folder struct {
	fs.Inode
	disk *disk
}

// on locks the disk if it has power.
func (d *disk) on() bool {
	d.mu.Lock()
	if d.cut {
		d.mu.Unlock()
		return false
	}
	return true
}

// change is on for what changes the disk.
func (d *disk) change() bool {
	if !d.on() {
		return false
	}
	d.made++
	if d.stop != nil && d.stop(d.made) {
		d.mu.Unlock()
		return false
	}
	return true
}

func (r *folder) inode(ctx context.Context, f *file) *fs.Inode {
	if f.StableAttr().Ino == 0 {
		return r.NewInode(ctx, f, fs.StableAttr{Mode: fuse.S_IFREG})
	}
	return f.EmbeddedInode()
}

func (r *folder) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if !r.disk.on() {
		return nil, syscall.EIO
	}
	defer r.disk.mu.Unlock()
	f := r.disk.names[name]
	if f == nil {
		return nil, syscall.ENOENT
	}
	f.attr(&out.Attr)
	return r.inode(ctx, f), 0
}

func (r *folder) Create(ctx context.Context, name string, flags, _ uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if !r.disk.change() {
		return nil, nil, 0, syscall.EIO
	}
	defer r.disk.mu.Unlock()
	f := r.disk.names[name]
	switch {
	case f != nil && flags&syscall.O_EXCL != 0:
		return nil, nil, 0, syscall.EEXIST
	case f == nil:
		f = &file{disk: r.disk}
		r.disk.names[name] = f
	}
	f.attr(&out.Attr)
	var how uint32
	if r.disk.unmapped && strings.HasPrefix(name, "spent-") {
		how = fuse.FOPEN_DIRECT_IO
	}
	return r.inode(ctx, f), nil, how, 0
}

func (r *folder) Unlink(_ context.Context, name string) syscall.Errno {
	if !r.disk.change() {
		return syscall.EIO
	}
	defer r.disk.mu.Unlock()
	delete(r.disk.names, name)
	return 0
}

func (r *folder) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if !r.disk.change() {
		return nil, syscall.EIO
	}
	defer r.disk.mu.Unlock()
	if r.disk.unlinked {
		return nil, syscall.EPERM
	}
	if r.disk.names[name] != nil {
		return nil, syscall.EEXIST
	}
	f := target.(*file)
	r.disk.names[name] = f
	f.attr(&out.Attr)
	return f.EmbeddedInode(), 0
}

func (r *folder) Rename(_ context.Context, name string, _ fs.InodeEmbedder, newName string, _ uint32) syscall.Errno {
	if !r.disk.change() {
		return syscall.EIO
	}
	defer r.disk.mu.Unlock()
	f := r.disk.names[name]
	if f == nil {
		return syscall.ENOENT
	}
	delete(r.disk.names, name)
	r.disk.names[newName] = f
	return 0
}

func (r *folder) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	if !r.disk.on() {
		return nil, syscall.EIO
	}
	defer r.disk.mu.Unlock()
	var list []fuse.DirEntry
	for name := range r.disk.names {
		list = append(list, fuse.DirEntry{Name: name, Mode: fuse.S_IFREG})
	}
	return fs.NewListDirStream(list), 0
}

// Fsync of the folder makes its names durable.
func (r *folder) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	if !r.disk.change() {
		return syscall.EIO
	}
	defer r.disk.mu.Unlock()
	r.disk.kept = maps.Clone(r.disk.names)
	return 0
}

func (f *file) attr(a *fuse.Attr) {
	a.Mode, a.Size, a.Nlink = fuse.S_IFREG|0o600, uint64(len(f.cache)), 1
	a.Blocks, a.Blksize = (a.Size+511)/512, 4096
}

func (f *file) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if !f.disk.on() {
		return syscall.EIO
	}
	defer f.disk.mu.Unlock()
	f.attr(&out.Attr)
	return 0
}

func (f *file) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if !f.disk.change() {
		return syscall.EIO
	}
	defer f.disk.mu.Unlock()
	if size, ok := in.GetSize(); ok {
		f.change(write{at: int64(size)})
	}
	f.attr(&out.Attr)
	return 0
}

func (f *file) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if !f.disk.on() {
		return nil, 0, syscall.EIO
	}
	defer f.disk.mu.Unlock()
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (f *file) Read(_ context.Context, _ fs.FileHandle, dest []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	if !f.disk.on() {
		return nil, syscall.EIO
	}
	defer f.disk.mu.Unlock()
	if at >= int64(len(f.cache)) {
		return fuse.ReadResultData(nil), 0
	}
	return fuse.ReadResultData(dest[:copy(dest, f.cache[at:])]), 0
}

func (f *file) Write(_ context.Context, _ fs.FileHandle, data []byte, at int64) (uint32, syscall.Errno) {
	if !f.disk.change() {
		return 0, syscall.EIO
	}
	defer f.disk.mu.Unlock()
	if f.stop || f.disk.full {
		f.stop = false
		f.disk.short++
		return 0, syscall.ENOSPC
	}
	if f.disk.hits(f.disk.faults.writes) {
		data = data[:sector*f.disk.rand.IntN((len(data)+sector-1)/sector)]
		if len(data) == 0 {
			f.disk.short++
			return 0, syscall.ENOSPC
		}
		f.stop = true
	}
	f.change(write{at, slices.Clone(data)})
	return uint32(len(data)), 0
}

func (f *file) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	if !f.disk.change() {
		return syscall.EIO
	}
	defer f.disk.mu.Unlock()
	return f.sync()
}

func (f *file) Flush(context.Context, fs.FileHandle) syscall.Errno { return 0 }

var (
	_ fs.NodeLookuper  = (*folder)(nil)
	_ fs.NodeCreater   = (*folder)(nil)
	_ fs.NodeUnlinker  = (*folder)(nil)
	_ fs.NodeLinker    = (*folder)(nil)
	_ fs.NodeRenamer   = (*folder)(nil)
	_ fs.NodeReaddirer = (*folder)(nil)
	_ fs.NodeFsyncer   = (*folder)(nil)
	_ fs.NodeGetattrer = (*file)(nil)
	_ fs.NodeSetattrer = (*file)(nil)
	_ fs.NodeOpener    = (*file)(nil)
	_ fs.NodeReader    = (*file)(nil)
	_ fs.NodeWriter    = (*file)(nil)
	_ fs.NodeFsyncer   = (*file)(nil)
	_ fs.NodeFlusher   = (*file)(nil)
)
