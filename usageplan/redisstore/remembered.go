package redisstore

import (
	"context"
	"sync"
)

// remembered are rows as this store wrote them last, by their names on the server. An Update begins with them, and so
// it saves the round trip that would read them. Most of the time no other process has changed such a row. If one has,
// the script finds another version, writes nothing and returns the present row, as for any write that was too late.
//
// If f leaves a row as it is, there is no write that would find a change. So an Update asks for the row in the same
// request, and calls f again if it has changed. It also asks before it returns an error of f; see update.call. For
// example, a ledger remembers a key as exhausted, and another process extends the limit. Then the ledger must not
// refuse: a refusal holds only if the row is still the one that f has seen.
//
// If another process was faster with a row, the row is not remembered when it has been written. Otherwise processes
// that use a key by turns would send each write twice. So only every second Update of such a row reads first.
//
// Memory is bounded. When the young rows have generationSize bytes, they become the old ones, and the rows that were
// old are forgotten. A name is in at most one of the two. A list by last use would evict more exactly, but would cost
// two pointers for each row and a write for each use.
type remembered struct {
	mu         sync.Mutex
	young, old map[string]string // version and row
	size       int               // of young
}

// rowOverhead is about how many bytes a row takes in addition to its own and those of its name: two headers of strings,
// 16 bytes each, the free places of a map that is half full, and what the allocator rounds up.
const (
	generationSize = 4 << 20
	rowOverhead    = 100
)

// fill gives decisions the rows that are remembered. Those that have one come first.
func (m *remembered) fill(batch []decision) (known, others []decision) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for i := range batch {
		d := &batch[i]
		row, is := m.young[d.row]
		if !is {
			row, is = m.old[d.row]
		}
		if is {
			d.now, d.guess = row, true
			batch[n], batch[i] = batch[i], batch[n]
			n++
		}
	}
	return batch[:n], batch[n:]
}

func (m *remembered) put(name, row string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(name)
	size := len(name) + len(row) + rowOverhead
	if m.young == nil || m.size+size > generationSize {
		m.young, m.old, m.size = make(map[string]string), m.young, 0
	}
	m.young[name] = row
	m.size += size
}

func (m *remembered) forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(name)
}

// drop forgets a row. The caller must hold mu.
func (m *remembered) drop(name string) {
	if row, is := m.young[name]; is {
		m.size -= len(name) + len(row) + rowOverhead
		delete(m.young, name)
	}
	delete(m.old, name)
}

// forgetAll forgets the rows of an update that has failed, so that the next one reads them before it writes. Otherwise
// it could find a damaged row only after it has written others, and could not say that nothing was changed; see
// [rowError].
func (s *Store) forgetAll(keys []string) {
	for _, key := range keys {
		name, _ := s.rowName(key)
		s.remembered.forget(name)
	}
}

// read gives each decision a row: the one that is remembered, or that of the server.
func (u *update) read(ctx context.Context, batch []decision) ([]decision, error) {
	known, others := u.store.remembered.fill(batch)
	present, _, err := u.send(ctx, others, "", "")
	return batch[:len(known)+len(present)], err
}
