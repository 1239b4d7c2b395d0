package journaltest

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"sync"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// Lossy returns a journal that reaches j by a bad network. One in 20 requests is lost before it reaches j, and one in
// 20 answers on the way back, so that a change is stored and its writer gets an error. Of a sequence that is lost, the
// first few changes may arrive. The seed says which calls are lost, in their order.
func Lossy(j journal.Journal, seed uint64) journal.Journal {
	return &lossy{next: j, random: rand.New(rand.NewPCG(5, seed))}
}

var errLost = errors.New("journaltest: the connection is lost")

type lossy struct {
	next journal.Journal

	mu     sync.Mutex
	random *rand.Rand
}

// lost decides for one request or answer.
func (l *lossy) lost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.random.IntN(20) == 0
}

func (l *lossy) Append(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
	if l.lost() {
		return 0, errLost
	}
	revision, err := l.next.Append(ctx, after, c)
	if l.lost() {
		return 0, errLost
	}
	return revision, err
}

func (l *lossy) Wait(ctx context.Context, after uint64) error {
	if l.lost() {
		return errLost
	}
	err := l.next.Wait(ctx, after)
	if l.lost() {
		return errLost
	}
	return err
}

func (l *lossy) Changes(ctx context.Context, after uint64) iter.Seq2[journal.Change, error] {
	return l.cut(l.next.Changes(ctx, after))
}

func (l *lossy) History(ctx context.Context, item string) iter.Seq2[journal.Change, error] {
	return l.cut(l.next.History(ctx, item))
}

// cut returns a sequence that may end with an error before its first change or after a few. It decides once for a
// sequence: otherwise a long one would hardly ever arrive.
func (l *lossy) cut(changes iter.Seq2[journal.Change, error]) iter.Seq2[journal.Change, error] {
	return func(yield func(journal.Change, error) bool) {
		if l.lost() {
			yield(journal.Change{}, errLost)
			return
		}
		left := -1 // never
		if l.lost() {
			left = l.few()
		}
		for c, err := range changes {
			if left == 0 {
				break
			}
			if left--; !yield(c, err) || err != nil {
				return
			}
		}
		if left >= 0 {
			yield(journal.Change{}, errLost)
		}
	}
}

func (l *lossy) few() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.random.IntN(4)
}
