package ledger

import (
	"context"
	"errors"
	"iter"
	"sync"
)

// OldMemory is the engine that keeps accounts in memory, for tests, demos and counts that may die with the process. It keeps
// every period of every key, about 300 bytes each and 40 a day. Make one with [NewOldMemory]: the zero OldMemory answers as a
// closed one. It is safe for concurrent use.
type OldMemory struct {
	mu     sync.Mutex
	keys   map[Key]*History // nil once closed
	recent Recent
}

// NewOldMemory returns an empty engine.
func NewOldMemory() *OldMemory { return &OldMemory{keys: make(map[Key]*History)} }

var errOldMemoryClosed = errors.New("memory store is closed")

// Apply implements [Store].
func (m *OldMemory) Apply(ctx context.Context, ops []Op) ([]Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys == nil {
		return nil, errOldMemoryClosed
	}
	outs := make([]Outcome, len(ops))
	for i := range ops {
		outs[i] = m.apply(&ops[i])
	}
	return outs, nil
}

func (m *OldMemory) apply(op *Op) Outcome {
	h := m.keys[op.Account.Key]
	if h == nil {
		h = new(History)
	}
	if granted, ok := m.recent.Get(op.ID); ok {
		return Outcome{Granted: granted, Replayed: true, Totals: h.Totals(op)}
	}
	out, changed, _ := h.Apply(op)
	if changed == nil {
		return out
	}
	m.keys[op.Account.Key] = h
	if !out.Refused && !op.Kind.Adjusts() { // those the account remembers
		m.recent.Put(op.ID, out.Granted)
	}
	return out
}

// Accounts implements [Store].
func (m *OldMemory) Accounts(ctx context.Context, key Key, from, to int64) iter.Seq2[State, error] {
	return func(yield func(State, error) bool) {
		states, err := m.states(ctx, key, from, to)
		if err != nil {
			yield(State{}, err)
			return
		}
		for _, s := range states {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (m *OldMemory) states(ctx context.Context, key Key, from, to int64) ([]State, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys == nil {
		return nil, errOldMemoryClosed
	}
	h := m.keys[key]
	if h == nil {
		return nil, nil
	}
	var states []State
	for _, s := range *h {
		if s.Within(from, to) {
			states = append(states, s.Clone())
		}
	}
	return states, nil
}

// Close forgets everything.
func (m *OldMemory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys = nil
	return nil
}
