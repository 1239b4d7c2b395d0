package sigv4

import (
	"errors"
	"io"
	"slices"
)

// body is a request body that was read to its end, in the pieces in which [readAll] keeps it. It takes the place of
// r.Body, so that the handler reads from memory what was verified. It is an io.ReadSeekCloser.
type body struct {
	pieces [][]byte  // none is empty
	at     int       // the index of the piece that is read next
	from   int       // where to go on in that piece
	one    [1][]byte // memory for pieces if there is only one
}

// newBody returns a body of one piece, which it keeps.
func newBody(text []byte) *body {
	b := new(body)
	b.keep(text)
	return b
}

// keep adds a piece at the end, unless it is empty.
func (b *body) keep(piece []byte) {
	if b.pieces == nil {
		b.pieces = b.one[:0]
	}
	if len(piece) > 0 {
		b.pieces = append(b.pieces, piece)
	}
}

// Read reads from one piece at a time, so that it may return fewer bytes than there is room for.
func (b *body) Read(p []byte) (n int, err error) {
	if b.at == len(b.pieces) {
		return 0, io.EOF
	}
	n = copy(p, b.pieces[b.at][b.from:])
	b.skip(n)
	return n, nil
}

// skip moves on by n bytes within the piece, or to the next piece.
func (b *body) skip(n int) {
	if b.from += n; b.from == len(b.pieces[b.at]) {
		b.at, b.from = b.at+1, 0
	}
}

// WriteTo writes what has not been read yet. [io.Copy] uses it and needs no buffer.
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

// Seek lets a [Signer] hash the body and return to where it was. A proxy needs that when it signs a request again.
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

// size returns the size of the first pieces together.
func (b *body) size(pieces int) (size int64) {
	for _, piece := range b.pieces[:pieces] {
		size += int64(len(piece))
	}
	return size
}

// Close does nothing.
func (*body) Close() error { return nil }

// maxPiece is the most memory that is allocated before it is filled.
const maxPiece = 32 << 10

// readAll reads r to its end. If there are more than limit bytes it returns errBodyTooLarge, with what it has read.
// length is the declared length; it is only a hint, because an adapter may not know it, and first is memory for the
// first bytes.
//
// Memory grows with what has arrived, not with the declared length, because a declaration costs a client nothing. The
// first bytes go into memory that exists already. What follows goes into pieces: each is as large as all before it
// together, but not above maxPiece. The pieces are not joined, because a large body would then be copied again and
// again while it grows.
//
// For example, a body of 100 KiB has pieces of about 1, 1, 2, 4, 8, 16, 32, 32 and 4 KiB. If only 5 KiB of it arrive,
// the pieces have 1, 1, 2 and 4 KiB.
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
			return b, errBodyTooLarge
		case err == io.EOF:
			return b, nil
		}
		return b, err
	}
}

// keepOwn keeps a piece. The first piece is copied, because its memory belongs to the canonicalRequest.
func (b *body) keepOwn(piece []byte) {
	if len(b.pieces) == 0 {
		piece = slices.Clone(piece)
	}
	b.keep(piece)
}

// grow returns the size of the piece that follows n bytes. It is at least one, and it goes at most one byte beyond the
// declared length or the limit. That byte lets Read report the end, or that there is more than the limit, without
// another piece.
func grow(n, length, limit int64) int64 {
	most := limit
	if length >= n { // else the declared length was wrong
		most = min(length, limit)
	}
	return max(min(n, maxPiece, most-n+1), 1)
}

// unread returns a body with the text that was read, followed by the rest, or by the error that ended it. A body that
// is too large goes on where readAll has stopped; after any other error there is nothing more to read.
func unread(text *body, rest io.ReadCloser, err error) io.ReadCloser {
	after := io.Reader(rest)
	if !errors.Is(err, errBodyTooLarge) {
		after = failing{err}
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(text, after), rest}
}

// failing is a reader that always fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
