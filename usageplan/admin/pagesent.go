package admin

import (
	"iter"
	"sync"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// sentBefore returns an error if a form that makes a key or a plan was sent before, and what it has made is deleted: a
// reload must not make it again. The id comes from the form; see drawnID. The history tells of the deletion, in every
// process and after a restart.
func (p *page) sentBefore(id, what string, history iter.Seq2[journal.Change, error]) error {
	spent := p.made.has(id)
	for _, err := range history {
		if err != nil {
			return err
		}
		spent = true
		break
	}
	if spent {
		return conflict("This form was sent before. The %s that it made has been deleted. "+
			"To make another one, send the form again.", what)
	}
	return nil
}

// maxMade bounds the ids that are kept in memory.
const maxMade = 1000

// madeIDs are the ids of the last keys and plans that forms have made. They are for programs without a journal, which have
// no history. Those have one process, and lose their keys when it ends.
type madeIDs struct {
	mu    sync.Mutex
	ids   map[string]struct{}
	order []string // oldest first
}

func (m *madeIDs) has(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, found := m.ids[id]
	return found
}

func (m *madeIDs) add(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, found := m.ids[id]; found {
		return
	}
	if m.ids == nil {
		m.ids = make(map[string]struct{})
	}
	if len(m.order) == maxMade {
		delete(m.ids, m.order[0])
		m.order = m.order[1:]
	}
	m.ids[id], m.order = struct{}{}, append(m.order, id)
}
