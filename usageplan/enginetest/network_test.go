package enginetest_test

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// network is an engine over a server: each row is compared and swapped by a request of its own. A cut loses the next
// request or the next answer.
type network struct {
	ledger.Engine
	cuts  atomic.Int64
	felt  atomic.Int64          // cuts that have broken something
	after func(made bool) error // what becomes of a write whose answer was lost; nil is an error of Update
}

var (
	errCut   = errors.New("connection is cut")
	errAgain = errors.New("to be tried again")
)

// cut breaks the next request or answer, in turn.
func (n *network) cut() { n.cuts.Add(1) }

// lost reports which of a request and its answer gets lost.
func (n *network) lost() (request, answer bool) {
	cut := n.cuts.Load()
	if n.felt.Swap(cut) == cut {
		return false, false
	}
	return cut%2 == 0, cut%2 != 0
}

func (n *network) Update(ctx context.Context, keys []string, f func(int, []byte) ([]byte, error)) error {
	for i, key := range keys {
		for err := errAgain; err != nil; {
			if err = n.updateOne(ctx, i, key, f); err != nil && !errors.Is(err, errAgain) {
				return err
			}
		}
	}
	return nil
}

func (n *network) updateOne(ctx context.Context, i int, key string, f decide) error {
	saw, err := n.Load(ctx, key)
	if err != nil {
		return err
	}
	out, err := f(i, bytes.Clone(saw))
	if err != nil || out == nil {
		return err
	}
	request, answer := n.lost()
	if request {
		return n.unknown(false)
	}
	done, err := swap(n.Engine, ctx, key, out, func(now []byte) bool { return bytes.Equal(now, saw) })
	switch {
	case err != nil:
		return err
	case answer:
		return n.unknown(done)
	case !done:
		return errAgain
	}
	return nil
}

// unknown is the end of a write whose answer was lost. A right engine cannot know whether it was made.
func (n *network) unknown(made bool) error {
	if n.after != nil {
		return n.after(made)
	}
	return errCut
}
