package sigv4

import (
	"errors"
	"io"
	"slices"
)

// body is a body that was read to its end, in the pieces in which [readAll] keeps it.
type body struct {
	pieces [][]byte // none is empty
	at     int      // the piece that is read next
	from   int      // where in it
	one    [1][]byte
}

func newBody(text []byte) *body {
	b := new(body)
	b.keep(text)
	return b
}

func (b *body) keep(piece []byte) {
	if b.pieces == nil {
		b.pieces = b.one[:0]
	}
	if len(piece) > 0 {
		b.pieces = append(b.pieces, piece)
	}
}

// Read reads from one piece.
func (b *body) Read(p []byte) (n int, err error) {
	if b.at == len(b.pieces) {
		return 0, io.EOF
	}
	n = copy(p, b.pieces[b.at][b.from:])
	b.skip(n)
	return n, nil
}

func (b *body) skip(n int) {
	if b.from += n; b.from == len(b.pieces[b.at]) {
		b.at, b.from = b.at+1, 0
	}
}

// WriteTo writes what has not been read, which spares [io.Copy] a buffer.
func (b *body) WriteTo(w io.Writer) (written int64, err error) {
	for err == nil && b.at < len(b.pieces) {
		var n int
		piece := b.pieces[b.at][b.from:]
		n, err = w.Write(piece)
		written += int64(n)
		if b.skip(n); err == nil && n < len(piece) {
			err = io.ErrShortWrite
		}
	}
	return written, err
}

// Seek lets a [Signer] hash the body, as of a request that is signed once more, and go back.
func (b *body) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.size(b.at) + int64(b.from)
	case io.SeekEnd:
		offset += b.size(len(b.pieces))
	}
	if offset < 0 || uint(whence) > io.SeekEnd {
		return 0, errSeek
	}
	rest := offset
	for b.at, b.from = 0, 0; b.at < len(b.pieces) && rest > 0; {
		n := min(rest, int64(len(b.pieces[b.at])))
		rest -= n
		b.skip(int(n))
	}
	return offset, nil
}

var errSeek = errors.New("sigv4: no such place in the body")

// size returns the size of the first pieces.
func (b *body) size(pieces int) (size int64) {
	for _, piece := range b.pieces[:pieces] {
		size += int64(len(piece))
	}
	return size
}

// Close does nothing.
func (*body) Close() error { return nil }

// maxPiece is the most memory that is taken before it is filled.
const maxPiece = 32 << 10

// readAll reads to the end, or returns ErrBodyTooLarge after limit bytes, with what it has read. length is a hint, as an
// adapter may not know it.
//
// It takes memory for what has arrived and not for what is claimed, since a claim costs the sender nothing: the first bytes
// go into memory that is there anyway, and what follows into pieces, each as large as all before it but not above maxPiece.
// Pieces stay as they are. In one piece, a large body would have to be copied again and again as it grows.
func readAll(r io.Reader, length, limit int64, first []byte) (*body, error) {
	b := new(body)
	piece, total := first[:0], int64(0)
	for {
		if len(piece) == cap(piece) {
			b.keepOwn(piece)
			piece = make([]byte, 0, grow(total, length, limit))
		}
		n, err := r.Read(piece[len(piece):cap(piece)])
		piece, total = piece[:len(piece)+n], total+int64(n)
		if err == nil && total <= limit {
			continue
		}
		b.keepOwn(piece)
		switch {
		case total > limit:
			return b, ErrBodyTooLarge
		case err == io.EOF:
			return b, nil
		}
		return b, err
	}
}

// keepOwn keeps a piece, of the first one a copy: its memory is the draft's.
func (b *body) keepOwn(piece []byte) {
	if len(b.pieces) == 0 {
		piece = slices.Clone(piece)
	}
	b.keep(piece)
}

// grow returns the size of the piece that follows n bytes: no less than one, and no more than it takes to reach one byte
// beyond the end that the length tells, or the limit.
func grow(n, length, limit int64) int64 {
	most := limit
	if length >= n { // else it was no more than a hint
		most = min(length, limit)
	}
	return max(min(n, maxPiece, most-n+1), 1)
}

// unread puts what was read of a body back before the rest, or before the error that ended it.
func unread(text *body, rest io.ReadCloser, err error) io.ReadCloser {
	after := io.Reader(rest)
	if !errors.Is(err, ErrBodyTooLarge) {
		after = failing{err}
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(text, after), rest}
}

// failing fails every Read.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
