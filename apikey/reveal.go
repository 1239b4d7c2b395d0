package apikey

import (
	"context"
	"maps"
	"slices"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// The bounds of one change that records a reveal. Charges that share the store wait while it is made, and a change has
// at most 64 MiB. An item has less than 1 MiB, so the last one that begins below revealBytes fits as well.
const (
	revealKeys  = 1000
	revealBytes = 32 << 20
)

// Reveal returns the values of the keys of the given ids. A value is kept if [Config].Sealer was set when the key got
// it, and is set now. Keys whose value is not kept are absent, and so are ids that no key has. An id may come twice.
// The map belongs to the caller.
//
// With a [Config].Journal, each reveal is in the history of the key before its value is returned: as the change
// RevealApiKey, by the [journal.Origin] of ctx. It changes nothing about the key, also not Updated. A declared key is
// stored by it, as by every change. The keys of one call are one change; more than 1 000 keys, or 32 MiB of them, are
// several. If there is no value to return, nothing is recorded.
//
// After an error, no value is returned. If it is [ErrUnavailable], the journal may have the reveal or not. If no key of
// the sealer opens one of the values, the error is [ErrNotConfigured].
func (v *Verifier) Reveal(ctx context.Context, ids ...string) (map[string]Secret, error) {
	if v == nil || v.hashers == nil {
		return nil, &Error{Err: ErrNotConfigured}
	}
	values := make(map[string]Secret)
	if v.sealer == nil { // without asking the journal, which knows nothing more
		return values, nil
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	for len(ids) > 0 {
		some, examined, err := v.reveal(ctx, ids)
		if err != nil {
			return nil, err
		}
		maps.Copy(values, some)
		ids = ids[examined:]
	}
	return values, nil
}

// reveal records and returns the values of the first of ids, as many as one change has room for. It returns how many
// ids it has examined. It opens the values that it records: another node may rotate a key at the same time, and the
// value that is returned must be the one that the key had at this revision of the journal.
func (v *Verifier) reveal(ctx context.Context, ids []string) (values map[string]Secret, examined int, err error) {
	err = v.change(ctx, opReveal, func(uint64) (items []journal.Item, err error) {
		values, examined = make(map[string]Secret), 0 // it may be called again
		for size := 0; examined < len(ids) && len(values) < revealKeys && size < revealBytes; examined++ {
			id := ids[examined]
			r := v.keys.byID(id)
			if r == nil || r.sealed() == "" {
				continue
			}
			if values[id], err = v.sealer.open(id, r.sealed()); err != nil {
				return nil, &Error{Err: err, KeyID: id}
			}
			s := r.state()
			it := journal.Item{Name: itemName(s.number, id), Value: s.encode()}
			items, size = append(items, it), size+len(it.Value)
		}
		if v.journal == nil {
			return nil, nil // there is no audit, and the keys are as they are
		}
		return items, nil
	})
	return values, examined, err
}
