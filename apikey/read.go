package apikey

import (
	"context"
	"iter"
	"strings"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// maxExamined is how many keys a page looks at, in less than a millisecond. Without this bound, a prefix that no name
// has would take a second for a million keys, and each request of the control plane may ask for one.
const maxExamined = 16 << 10

// Key returns the key of the given id.
func (v *Verifier) Key(id string) (Key, bool) {
	if v == nil || v.hashers == nil {
		return Key{}, false
	}
	r := v.keys.byID(id)
	if r == nil {
		return Key{}, false
	}
	return r.key(), true
}

// Keys yields every key, the newest first: in the order of creation, whatever Created says. A key that changes in the
// meantime is yielded as it was before or after.
func (v *Verifier) Keys() iter.Seq[Key] {
	return func(yield func(Key) bool) {
		if v == nil || v.hashers == nil {
			return
		}
		for r := range v.keys.order.newest(0) {
			if !yield(r.key()) {
				return
			}
		}
	}
}

// Page returns at most limit keys whose names begin with prefix, in the order of [Verifier.Keys]. Case matters. To
// begin, before is 0; to go on, it is the next of the page before. If next is 0, there are no more.
//
// Page looks at 16 384 keys at most. So a page may have fewer keys than limit, or none, although next is not 0. Between
// two pages, keys may come and go: each key that stays is in exactly one of the pages.
func (v *Verifier) Page(prefix string, before uint64, limit int) (keys []Key, next uint64) {
	return v.page(before, limit, func(r *record) bool { return strings.HasPrefix(r.name(), prefix) })
}

// Search is Page for a text that a person looks for: it returns keys whose name begins with it, and those that have it as
// their customer or id. Case matters.
func (v *Verifier) Search(text string, before uint64, limit int) (keys []Key, next uint64) {
	return v.page(before, limit, func(r *record) bool {
		return strings.HasPrefix(r.name(), text) || r.more != nil && r.more.customerID == text || r.id() == text
	})
}

func (v *Verifier) page(before uint64, limit int, matches func(*record) bool) (keys []Key, next uint64) {
	if v == nil || v.hashers == nil || limit <= 0 {
		return nil, 0
	}
	examined, last := 0, before
	for r := range v.keys.order.newest(before) {
		if examined++; examined > maxExamined {
			return keys, last
		}
		if matches(r) {
			if len(keys) == limit {
				return keys, last
			}
			keys = append(keys, r.key())
		}
		last = r.lasting.number
	}
	return keys, 0
}

// History yields the changes of the key of the given id, newest first, as far back as the journal keeps them. Of a key
// that was deleted, and that was not declared, only the deletion is found; this is also so if a new key has the id.
// Without a journal there is no history. An error ends the sequence: an [*Error] that wraps [ErrUnavailable] if the
// journal does not answer. A change says who, when and by which operation; that of an [Verifier.Update] also says what it
// has changed, as in "UpdateApiKey: enabled: true → false". Its only item has a name of this package's own form, and no
// bytes.
func (v *Verifier) History(ctx context.Context, id string) iter.Seq2[journal.Change, error] {
	return func(yield func(journal.Change, error) bool) {
		if v == nil || v.hashers == nil {
			yield(journal.Change{}, &Error{Err: ErrNotConfigured})
			return
		}
		for _, name := range v.itemNames(id) {
			for c, err := range v.journal.History(ctx, name) {
				if err != nil {
					err = failed(err)
				}
				if !yield(c, err) || err != nil {
					return
				}
			}
		}
	}
}

// itemNames returns the names of the items that tell the history of an id.
func (v *Verifier) itemNames(id string) []string {
	if v.journal == nil || !validID(id) {
		return nil
	}
	if r := v.keys.byID(id); r != nil && r.lasting.number >= firstAdded {
		return []string{itemName(r.lasting.number, id), id}
	}
	return []string{id}
}
