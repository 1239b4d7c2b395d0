package apikey_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"iter"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// changesOf returns what is in the journal.
func changesOf(t testing.TB, log journal.Journal) (changes []journal.Change) {
	t.Helper()
	for c, err := range log.Changes(t.Context(), 0) {
		require.NoError(t, err)
		changes = append(changes, c)
	}
	return changes
}

// ids returns the ids of the keys of v in their order.
func ids(v *apikey.Verifier) []string {
	var ids []string
	for k := range v.Keys() {
		ids = append(ids, k.ID)
	}
	return ids
}

// A faulty journal loses the next request, or the answer to it.
type faulty struct {
	journal.Journal
	request, answer bool
	before          func()
}

var errLost = errors.New("connection reset")

func (f *faulty) Append(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
	if f.before != nil {
		f.before()
	}
	if f.request {
		return 0, errLost
	}
	next, err := f.Journal.Append(ctx, after, c)
	if f.answer && err == nil {
		return 0, errLost
	}
	return next, err
}

func TestChangeIsInTheJournalBeforeItIsVisible(t *testing.T) {
	log := &faulty{Journal: journal.Memory(0)}
	v := newVerifier(t, apikey.Config{Pepper: pepper, Keys: []apikey.Entry{julian}, Journal: log})
	require.Empty(t, changesOf(t, log), "declared keys are no change")
	ctx := journal.NewContext(t.Context(), journal.Origin{Actor: "me"})
	log.before = func() {
		_, err := v.VerifyKey(ctx, value)
		require.NoError(t, err, "not visible yet")
	}
	_, err := v.Update(ctx, "fr92a5qpbj", edit(false))
	require.NoError(t, err)
	_, err = v.VerifyKey(ctx, value)
	require.ErrorIs(t, err, apikey.ErrDisabled)

	log.before = nil
	_, err = v.Rotate(ctx, "fr92a5qpbj", other, time.Hour)
	require.NoError(t, err)
	_, err = v.Create(ctx, apikey.Key{ID: "second0000"}, apikey.Secret(valueOf("second0000")))
	require.NoError(t, err)
	require.NoError(t, v.Delete(ctx, "second0000"))
	_, err = v.Create(ctx, apikey.Key{ID: "refused000"}, apikey.Secret(other))
	require.ErrorIs(t, err, apikey.ErrExists)
	var operations []string
	for _, c := range changesOf(t, log) {
		require.Equal(t, "me", c.Actor)
		require.False(t, c.Time.IsZero())
		operations = append(operations, c.Operation)
	}
	require.Equal(t, []string{"UpdateApiKey: enabled: true → false", "RotateApiKey", "CreateApiKey", "DeleteApiKey"}, operations)
}

// A change whose outcome is unknown ends with ErrUnavailable. The next change or Refresh finds out, and decides on what
// it has found.
func TestUnknownOutcomeIsHealed(t *testing.T) {
	heal := map[string]func(*apikey.Verifier) error{
		"Refresh":     func(v *apikey.Verifier) error { return v.Refresh(t.Context()) },
		"next change": func(v *apikey.Verifier) error { _, err := v.Update(t.Context(), "fr92a5qpbj", edit(true)); return err },
		"refused change": func(v *apikey.Verifier) error {
			if err := v.Delete(t.Context(), "unknown000"); !errors.Is(err, apikey.ErrNotFound) {
				return errors.Join(errors.New("want ErrNotFound"), err)
			}
			return nil
		},
	}
	for name, heal := range heal {
		for _, lost := range []string{"request", "answer"} {
			t.Run(name+" after a lost "+lost, func(t *testing.T) {
				log := &faulty{Journal: journal.Memory(0)}
				cfg := apikey.Config{Pepper: pepper, Keys: []apikey.Entry{julian}, Journal: log}
				v := newVerifier(t, cfg)
				log.request, log.answer = lost == "request", lost == "answer"
				_, err := v.Create(t.Context(), apikey.Key{ID: "second0000", Enabled: true}, other)
				require.ErrorIs(t, err, apikey.ErrUnavailable)
				require.ErrorIs(t, err, errLost)
				require.Equal(t, http.StatusServiceUnavailable, err.(*apikey.Error).StatusCode())
				_, found := v.Key("second0000")
				require.False(t, found, "not visible as long as it is unknown")

				log.request, log.answer = false, false
				require.NoError(t, heal(v))
				_, found = v.Key("second0000")
				require.Equal(t, lost == "answer", found)
				_, err = v.Create(t.Context(), apikey.Key{ID: "second0000"}, other)
				require.Equal(t, lost == "answer", errors.Is(err, apikey.ErrExists), "%v", err)
				require.Equal(t, ids(newVerifier(t, cfg)), ids(v))
			})
		}
	}
}

func TestEndedContextChangesNothing(t *testing.T) {
	log := journal.Memory(0)
	v := newVerifier(t, apikey.Config{Pepper: pepper, Journal: log})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := v.Create(ctx, apikey.Key{}, value)
	require.ErrorIs(t, err, apikey.ErrUnavailable)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, v.Refresh(ctx), context.Canceled)
	require.NoError(t, v.Refresh(t.Context()))
	require.Empty(t, state(v))
}

// TestNextProcessHasTheSameKeys makes changes of every kind, and compares with verifiers that read the journal: a
// second node that refreshes, and one that is opened afterwards.
func TestNextProcessHasTheSameKeys(t *testing.T) {
	cfg := apikey.Config{
		Pepper: pepper, Keys: []apikey.Entry{julian, entry("declared00", nil), entry("unchanged0", nil)}, Journal: journal.Memory(0),
	}
	v, node := newVerifier(t, cfg), newVerifier(t, cfg)
	ctx := t.Context()
	_, err := v.VerifyKey(ctx, value)
	require.NoError(t, err)
	_, err = v.Rotate(ctx, "fr92a5qpbj", other, time.Hour)
	require.NoError(t, err)
	require.NoError(t, v.Delete(ctx, "declared00"))
	whole := apikey.Key{
		ID: "everything", Name: "n", Description: "d", CustomerID: "c", Tags: map[string]string{"a": "b", "c": ""}, Enabled: true,
		Created: time.Unix(1, 2).UTC(), NotBefore: time.Unix(3, 4).UTC(), Expires: time.Now().Add(time.Hour).UTC().Round(0),
	}
	_, err = v.Create(ctx, whole, apikey.Secret(valueOf("everything")))
	require.NoError(t, err)
	_, err = v.Create(ctx, apikey.Key{ID: "gone000000"}, apikey.Secret(valueOf("gone000000")))
	require.NoError(t, err)
	_, err = importFile(ctx, v, strings.NewReader("Name,Key\na,aaaaaaaaaaaaaaaaaaaa\nb,bbbbbbbbbbbbbbbbbbbb\n"), apikey.ImportOptions{})
	require.NoError(t, err)
	require.NoError(t, v.Delete(ctx, "gone000000"))
	_, err = v.Update(ctx, "everything", func(k *apikey.Key) error { k.Name = strings.Repeat("é", 1024); return nil })
	require.NoError(t, err)

	require.NoError(t, node.Refresh(ctx))
	unchanged := func(m map[string]apikey.Key) map[string]apikey.Key { // declared when its process started
		k := m["unchanged0"]
		k.Created, k.Updated = time.Time{}, time.Time{}
		m["unchanged0"] = k
		return m
	}
	want := unchanged(state(v))
	require.Len(t, want, 5)
	for _, reader := range []*apikey.Verifier{node, newVerifier(t, cfg)} {
		require.Equal(t, want, unchanged(state(reader)))
		require.Equal(t, ids(v), ids(reader))
		requireValues(t, reader, map[string]string{
			value: "fr92a5qpbj", other: "fr92a5qpbj", valueOf("declared00"): "", valueOf("gone000000"): "",
			valueOf("unchanged0"): "unchanged0", valueOf("everything"): "everything", "aaaaaaaaaaaaaaaaaaaa": ids(v)[1],
		})
	}
	require.Equal(t, []string{"everything", "unchanged0", "fr92a5qpbj"}, ids(v)[2:], "by creation; declared ones are the oldest")

	cfg.Keys = append(cfg.Keys, apikey.Entry{Key: apikey.Key{ID: "everything"}, Value: "short"})
	_, err = apikey.New(cfg)
	require.EqualError(t, err, "apikey: Keys[3]: invalid: API Key value should be at least 20 characters")
}

// A declared key that is deleted stays so: also if a key with its id was created and deleted since, and if the
// deletion was made by a process that does not declare the key.
func TestDeletionOfADeclaredKeyIsRemembered(t *testing.T) {
	for name, deletions := range map[string]func(t *testing.T, cfg apikey.Config){
		"deleted": func(t *testing.T, cfg apikey.Config) {
			require.NoError(t, newVerifier(t, cfg).Delete(t.Context(), "fr92a5qpbj"))
		},
		"deleted, created and deleted": func(t *testing.T, cfg apikey.Config) {
			v := newVerifier(t, cfg)
			require.NoError(t, v.Delete(t.Context(), "fr92a5qpbj"))
			_, err := v.Create(t.Context(), julian.Key, value)
			require.NoError(t, err)
			require.NoError(t, newVerifier(t, cfg).Delete(t.Context(), "fr92a5qpbj"))
		},
		"created, declared and deleted": func(t *testing.T, cfg apikey.Config) {
			declared := cfg
			cfg.Keys = nil
			_, err := newVerifier(t, cfg).Create(t.Context(), julian.Key, value)
			require.NoError(t, err)
			require.NoError(t, newVerifier(t, declared).Delete(t.Context(), "fr92a5qpbj"))
		},
		"updated, no longer declared and deleted": func(t *testing.T, cfg apikey.Config) {
			_, err := newVerifier(t, cfg).Update(t.Context(), "fr92a5qpbj", edit(true))
			require.NoError(t, err)
			cfg.Keys = nil
			require.NoError(t, newVerifier(t, cfg).Delete(t.Context(), "fr92a5qpbj"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := apikey.Config{Pepper: pepper, Keys: []apikey.Entry{julian}, Journal: journal.Memory(time.Nanosecond)}
			deletions(t, cfg)
			v := newVerifier(t, cfg)
			for range 3 { // the records of the deletion are dropped
				_, err := v.Create(t.Context(), apikey.Key{}, v.Generate())
				require.NoError(t, err)
			}
			v = newVerifier(t, cfg)
			require.Len(t, ids(v), 3)
			requireValues(t, v, map[string]string{value: ""})
			_, err := v.Create(t.Context(), julian.Key, value)
			require.NoError(t, err, "id and value are free")
			requireValues(t, newVerifier(t, cfg), map[string]string{value: "fr92a5qpbj"})
		})
	}
}

// A declared key gives up its value, which another key takes: its item and that of the other are read in any order.
func TestValueThatHasMovedOn(t *testing.T) {
	cfg := apikey.Config{Pepper: pepper, Keys: []apikey.Entry{julian}, Journal: journal.Memory(0)}
	v, node := newVerifier(t, cfg), newVerifier(t, cfg)
	_, err := v.Create(t.Context(), apikey.Key{ID: "second0000", Enabled: true}, apikey.Secret(valueOf("second0000")))
	require.NoError(t, err)
	require.NoError(t, node.Refresh(t.Context()))
	_, err = v.Rotate(t.Context(), "fr92a5qpbj", other, 0)
	require.NoError(t, err)
	_, err = v.Rotate(t.Context(), "second0000", value, 0)
	require.NoError(t, err)
	_, err = v.Rotate(t.Context(), "fr92a5qpbj", apikey.Secret(valueOf("second0000")), 0)
	require.NoError(t, err)
	require.NoError(t, node.Refresh(t.Context()))
	for _, reader := range []*apikey.Verifier{v, node, newVerifier(t, cfg)} {
		requireValues(t, reader, map[string]string{value: "second0000", valueOf("second0000"): "fr92a5qpbj", other: ""})
	}
	require.NoError(t, v.Delete(t.Context(), "second0000"))
	_, err = v.Create(t.Context(), apikey.Key{ID: "third00000", Enabled: true}, value)
	require.NoError(t, err)
	require.NoError(t, node.Refresh(t.Context()))
	for _, reader := range []*apikey.Verifier{v, node, newVerifier(t, cfg)} {
		requireValues(t, reader, map[string]string{value: "third00000"})
	}
}

// A value whose grace is over was given to another key. On a node whose clock is behind, the grace is not over, and the
// value is that of the other key all the same, whatever the order of the two.
func TestMovedValueOnANodeWhoseClockIsBehind(t *testing.T) {
	for _, first := range []string{"newcomer00", "rotated000"} {
		cfg := apikey.Config{Pepper: pepper, Journal: journal.Memory(0)}
		synctest.Test(t, func(t *testing.T) {
			v := newVerifier(t, cfg)
			for _, id := range []string{first, "newcomer00", "rotated000"} {
				_, err := v.Create(t.Context(), apikey.Key{ID: id, Enabled: true}, apikey.Secret(valueOf(id)))
				require.True(t, err == nil || errors.Is(err, apikey.ErrExists))
			}
			_, err := v.Rotate(t.Context(), "rotated000", other, time.Hour)
			require.NoError(t, err)
			time.Sleep(2 * time.Hour)
			_, err = v.Rotate(t.Context(), "newcomer00", apikey.Secret(valueOf("rotated000")), 0)
			require.NoError(t, err)
		})
		synctest.Test(t, func(t *testing.T) { // begins at the same time, before the grace is over
			v := newVerifier(t, cfg)
			requireValues(t, v, map[string]string{valueOf("rotated000"): "newcomer00", other: "rotated000", valueOf("newcomer00"): ""})
			require.NoError(t, v.Refresh(t.Context()))
		})
	}
}

// A key that another node has created takes precedence over one that is declared here with the same id.
func TestCreatedKeyReplacesADeclaredOne(t *testing.T) {
	cfg := apikey.Config{Pepper: pepper, Journal: journal.Memory(0)}
	declaring := cfg
	declaring.Keys = []apikey.Entry{julian, entry("declared00", nil)}
	node := newVerifier(t, declaring)
	_, err := newVerifier(t, cfg).Create(t.Context(), apikey.Key{ID: "fr92a5qpbj", Name: "created", Enabled: true}, other)
	require.NoError(t, err)
	require.NoError(t, node.Refresh(t.Context()))
	for _, v := range []*apikey.Verifier{node, newVerifier(t, declaring)} {
		require.Equal(t, []string{"fr92a5qpbj", "declared00"}, ids(v))
		requireValues(t, v, map[string]string{value: "", other: "fr92a5qpbj"})
	}
}

// repeating is a journal that yields what it is told to.
type repeating struct {
	journal.Journal
	changes []journal.Change
}

func (r *repeating) Changes(context.Context, uint64) iter.Seq2[journal.Change, error] {
	return func(yield func(journal.Change, error) bool) {
		for _, c := range r.changes {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// A journal may yield an item more than once: the last one counts.
func TestLastOfRepeatedItemsCounts(t *testing.T) {
	log := journal.Memory(0)
	v := newVerifier(t, apikey.Config{Pepper: pepper, Journal: log})
	r := &repeating{Journal: log}
	for _, id := range []string{"first00000", "second0000", "third00000"} {
		_, err := v.Create(t.Context(), apikey.Key{ID: id, Enabled: true}, apikey.Secret(valueOf(id)))
		require.NoError(t, err)
	}
	r.changes = append(r.changes, changesOf(t, log)...)
	_, err := v.Rotate(t.Context(), "first00000", other, 0)
	require.NoError(t, err)
	require.NoError(t, v.Delete(t.Context(), "second0000"))
	require.NoError(t, v.Delete(t.Context(), "third00000"))
	_, err = v.Create(t.Context(), apikey.Key{ID: "third00000", Enabled: true}, apikey.Secret(valueOf("second0000")))
	require.NoError(t, err)
	r.changes = append(r.changes, slices.DeleteFunc(changesOf(t, log), func(c journal.Change) bool { return c.Revision <= 3 })...)
	for _, v := range []*apikey.Verifier{v, newVerifier(t, apikey.Config{Pepper: pepper, Journal: r})} {
		require.Equal(t, []string{"third00000", "first00000"}, ids(v))
		requireValues(t, v, map[string]string{
			other: "first00000", valueOf("second0000"): "third00000", valueOf("first00000"): "", valueOf("third00000"): "",
		})
	}
}

// A node that reads a snapshot drops the keys that are not in it, and keeps those that are only declared.
func TestSnapshotDropsWhatIsGone(t *testing.T) {
	cfg := apikey.Config{Pepper: pepper, Keys: []apikey.Entry{julian}, Journal: journal.Memory(time.Nanosecond)}
	v, node := newVerifier(t, cfg), newVerifier(t, cfg)
	for _, id := range []string{"first00000", "second0000", "third00000"} {
		_, err := v.Create(t.Context(), apikey.Key{ID: id, Enabled: true}, apikey.Secret(valueOf(id)))
		require.NoError(t, err)
	}
	require.NoError(t, node.Refresh(t.Context()))
	require.NoError(t, v.Delete(t.Context(), "second0000"))
	_, err := v.Create(t.Context(), apikey.Key{ID: "fourth0000", Enabled: true}, apikey.Secret(valueOf("fourth0000")))
	require.NoError(t, err)
	_, err = v.Rotate(t.Context(), "first00000", other, 0)
	require.NoError(t, err)
	require.True(t, changesOf(t, cfg.Journal)[0].Snapshot)
	require.NoError(t, node.Refresh(t.Context()))
	require.Equal(t, []string{"fourth0000", "third00000", "first00000", "fr92a5qpbj"}, ids(node))
	requireValues(t, node, map[string]string{
		valueOf("second0000"): "", valueOf("first00000"): "", other: "first00000", value: "fr92a5qpbj", valueOf("fourth0000"): "fourth0000",
	})
}

// Two nodes that change at the same time agree afterwards, and no value has two keys.
func TestTwoNodesDecideOneAfterTheOther(t *testing.T) {
	cfg := apikey.Config{Pepper: pepper, Journal: journal.Memory(0)}
	v, node := newVerifier(t, cfg), newVerifier(t, cfg)
	_, err := v.Create(t.Context(), apikey.Key{ID: "first00000"}, value)
	require.NoError(t, err)
	_, err = node.Create(t.Context(), apikey.Key{ID: "second0000"}, value)
	require.ErrorIs(t, err, apikey.ErrExists)
	require.Equal(t, "first00000", err.(*apikey.Error).KeyID)
	_, err = node.Create(t.Context(), apikey.Key{ID: "first00000"}, other)
	require.ErrorIs(t, err, apikey.ErrExists)
	edits := 0
	updated, err := v.Update(t.Context(), "first00000", func(k *apikey.Key) error {
		if edits++; edits == 1 {
			_, err := node.Update(t.Context(), "first00000", func(k *apikey.Key) error { k.Description = "there"; return nil })
			require.NoError(t, err)
		}
		k.Name = "here"
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 2, edits)
	require.Equal(t, "there", updated.Description, "the key of the second decision")
	require.NoError(t, node.Refresh(t.Context()))
	require.Equal(t, state(v), state(node))
	k, _ := node.Key("first00000")
	require.Equal(t, "here there", k.Name+" "+k.Description)
}

func TestJournalNeedsAPepper(t *testing.T) {
	_, err := apikey.New(apikey.Config{Journal: journal.Memory(0)})
	require.EqualError(t, err, "apikey: Pepper is required with a Journal")
}

func TestDamagedJournalIsRefused(t *testing.T) {
	log := journal.Memory(0)
	v := newVerifier(t, apikey.Config{Pepper: pepper, Journal: log})
	_, err := v.Create(t.Context(), apikey.Key{ID: "second0000"}, value)
	require.NoError(t, err)
	good := changesOf(t, log)[0].Items[0]
	item := func(name string, edit func([]byte) []byte) []journal.Item {
		return []journal.Item{{Name: name, Value: edit(slices.Clone(good.Value))}}
	}
	same := func(b []byte) []byte { return b }
	next := good.Name[:7] + "\x01"
	for name, tt := range map[string]struct {
		items []journal.Item
		want  string
	}{
		"a newer version":      {item(good.Name, func(b []byte) []byte { b[0] = 2; return b }), "has version 2, this program reads 1"},
		"version 0":            {item(good.Name, func(b []byte) []byte { b[0] = 0; return b }), "damaged"},
		"an unknown flag":      {item(good.Name, func(b []byte) []byte { b[1] |= 0x80; return b }), "damaged"},
		"empty":                {item(good.Name, func([]byte) []byte { return nil }), "damaged"},
		"cut":                  {item(good.Name, func(b []byte) []byte { return b[:len(b)-1] }), "damaged"},
		"longer":               {item(good.Name, func(b []byte) []byte { return append(b, 0) }), "damaged"},
		"no digest":            {item(good.Name, func(b []byte) []byte { clear(b[12:44]); return b }), "without a digest"},
		"no id":                {item(good.Name, func(b []byte) []byte { clear(b[2:12]); return b }), "identifier"},
		"another id":           {item("fr92a5qpbj", same), "has the id second0000"},
		"a long name":          {item(good.Name+"x", same), "its name is"},
		"a low number":         {item("\x00\x00\x00\x00\x00\x00\x00\x01", same), "its name is"},
		"a value of two keys":  {append(item(good.Name, same), item(next, func(b []byte) []byte { copy(b[2:], "third00000"); return b })...), "another key has the value"},
		"a tag twice":          {item(good.Name, func(b []byte) []byte { return append(b[:len(b)-3], 2, 1, 'a', 0, 1, 'a', 0, 0, 0) }), "damaged"},
		"too many tags":        {item(good.Name, func(b []byte) []byte { b[len(b)-3] = 51; return append(b, make([]byte, 102)...) }), "damaged"},
		"too many earlier":     {item(good.Name, func(b []byte) []byte { b[len(b)-2] = 9; return append(b, make([]byte, 9*33)...) }), "damaged"},
		"too much sealed":      {item(good.Name, func(b []byte) []byte { return append(b[:len(b)-1], append([]byte{0x80, 2}, make([]byte, 256)...)...) }), "damaged"},
		"used before 1970":     {item(good.Name, func(b []byte) []byte { b[1] |= 16; return append(b[:len(b)-2], 1, 0, 0) }), "last use"},
		"a deletion with more": {item("fr92a5qpbj", func([]byte) []byte { return []byte{1, 2, 0} }), "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			log := journal.Memory(0)
			cfg := apikey.Config{Pepper: pepper, Journal: log}
			_, err := log.Append(t.Context(), 0, journal.Change{Items: tt.items})
			require.NoError(t, err)
			_, err = apikey.New(cfg)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

// A node that reads what a newer version has written says so, and goes on with what it has.
func TestBadItemLeavesTheKeysIntact(t *testing.T) {
	log := journal.Memory(0)
	v := newVerifier(t, apikey.Config{Pepper: pepper, Journal: log})
	_, err := v.Create(t.Context(), apikey.Key{ID: "second0000", Enabled: true}, value)
	require.NoError(t, err)
	good := changesOf(t, log)[0].Items[0]
	_, err = log.Append(t.Context(), 1, journal.Change{Items: []journal.Item{
		{Name: good.Name, Gone: true}, {Name: "fr92a5qpbj", Value: []byte{2, 0}},
	}})
	require.NoError(t, err)
	for range 2 {
		require.ErrorContains(t, v.Refresh(t.Context()), "version 2")
		_, err = v.Update(t.Context(), "second0000", edit(false))
		require.ErrorIs(t, err, apikey.ErrUnavailable)
		requireValues(t, v, map[string]string{value: "second0000"})
	}
}

// A journal that cannot be used is no mistake of the request that finds it: 503, and not 400.
func TestBadItemIsNotInvalid(t *testing.T) {
	log := journal.Memory(0)
	v := newVerifier(t, apikey.Config{Pepper: pepper, Journal: log})
	_, err := v.Create(t.Context(), apikey.Key{ID: "second0000", Enabled: true}, value)
	require.NoError(t, err)
	bad := changesOf(t, log)[0].Items[0]
	copy(bad.Value[2:], "NO") // no key has such an id
	_, err = log.Append(t.Context(), 1, journal.Change{Items: []journal.Item{bad}})
	require.NoError(t, err)
	_, err = v.Create(t.Context(), apikey.Key{ID: "third00000"}, other)
	e, is := errors.AsType[*apikey.Error](err)
	require.True(t, is)
	require.ErrorIs(t, err, apikey.ErrUnavailable)
	require.NotErrorIs(t, err, apikey.ErrInvalid)
	require.Equal(t, 503, e.StatusCode())
}

// broken is a journal whose store is down.
type broken struct{ journal.Journal }

func (broken) Changes(context.Context, uint64) iter.Seq2[journal.Change, error] {
	return func(yield func(journal.Change, error) bool) { yield(journal.Change{}, errLost) }
}

func (broken) History(context.Context, string) iter.Seq2[journal.Change, error] {
	return broken{}.Changes(context.Background(), 0)
}

func TestStoreThatIsDown(t *testing.T) {
	_, err := apikey.New(apikey.Config{Pepper: pepper, Journal: broken{}})
	require.ErrorIs(t, err, errLost)
	require.ErrorIs(t, err, journal.ErrUnavailable)
}

// The journal has the HMAC-SHA-256 of the value under the pepper, so that another program can check it, and not the
// value.
func TestJournalHasTheDigest(t *testing.T) {
	log := journal.Memory(0)
	v := newVerifier(t, apikey.Config{Pepper: pepper, Journal: log})
	_, err := v.Create(t.Context(), apikey.Key{}, value)
	require.NoError(t, err)
	mac := hmac.New(sha256.New, []byte(pepper))
	mac.Write([]byte(value))
	item := changesOf(t, log)[0].Items[0]
	require.Contains(t, string(item.Value), string(mac.Sum(nil)))
	require.NotContains(t, string(item.Value), value)
	require.EqualValues(t, 1<<24, binary.BigEndian.Uint64([]byte(item.Name)), "the first item of revision 1")
}

func TestHistoryTellsTheChangesOfAKey(t *testing.T) {
	cfg := apikey.Config{Pepper: pepper, Keys: []apikey.Entry{julian}, Journal: journal.Memory(0)}
	v := newVerifier(t, cfg)
	history := func(v *apikey.Verifier, id string) (operations []string) {
		for c, err := range v.History(t.Context(), id) {
			require.NoError(t, err)
			operations = append(operations, c.Operation)
		}
		return operations
	}
	const disabled = "UpdateApiKey: enabled: true → false"
	ctx := t.Context()
	_, err := v.Create(ctx, apikey.Key{ID: "second0000"}, other)
	require.NoError(t, err)
	for _, id := range []string{"second0000", "fr92a5qpbj"} {
		_, err = v.Update(ctx, id, edit(false))
		require.NoError(t, err)
		_, err = v.Rotate(ctx, id, v.Generate(), 0)
		require.NoError(t, err)
	}
	require.Equal(t, []string{"RotateApiKey", "UpdateApiKey", "CreateApiKey"}, history(v, "second0000"), "it was disabled already")
	require.Equal(t, []string{"RotateApiKey", disabled}, history(v, "fr92a5qpbj"))
	require.Empty(t, history(v, "unknown000"))
	require.Empty(t, history(v, "\x00\x00\x00\x00\x01\x00\x00\x00"), "the name of an item is no id")
	require.Empty(t, history(newVerifier(t, apikey.Config{}), "fr92a5qpbj"))

	for _, id := range []string{"second0000", "fr92a5qpbj"} {
		require.NoError(t, v.Delete(ctx, id))
		_, err = v.Create(ctx, apikey.Key{ID: id}, v.Generate())
		require.NoError(t, err)
	}
	for _, v := range []*apikey.Verifier{v, newVerifier(t, cfg)} {
		require.Equal(t, []string{"CreateApiKey", "DeleteApiKey"}, history(v, "second0000"))
		require.Equal(t, []string{"CreateApiKey", "DeleteApiKey", "RotateApiKey", disabled}, history(v, "fr92a5qpbj"))
	}
	for range v.History(ctx, "fr92a5qpbj") {
		break // an early end is no panic
	}
	_, err = pull(new(apikey.Verifier).History(ctx, "fr92a5qpbj"))
	require.ErrorIs(t, err, apikey.ErrNotConfigured)
}

// pull returns the first pair of a sequence.
func pull(s iter.Seq2[journal.Change, error]) (journal.Change, error) {
	for c, err := range s {
		return c, err
	}
	return journal.Change{}, nil
}

// The history says what an update has changed, and stays within what a journal takes, whatever the texts are.
func TestHistoryTellsWhatAnUpdateHasChanged(t *testing.T) {
	noon := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		edit func(*apikey.Key)
		want string
	}{
		{"nothing", func(*apikey.Key) {}, "UpdateApiKey"},
		{
			"texts", func(k *apikey.Key) { k.Name, k.CustomerID = "a\u202e\"", "c" },
			`UpdateApiKey: name: "julianwood" → "a\u202e\""; customerId: "" → "c"`,
		},
		{
			"times", func(k *apikey.Key) { k.NotBefore, k.Expires = noon, noon.Add(time.Hour) },
			"UpdateApiKey: notBefore: none → 2026-12-01T12:00:00Z; expires: none → 2026-12-01T13:00:00Z",
		},
		{"long ones", func(k *apikey.Key) { k.Description, k.Tags = "d", map[string]string{"a": "b"} }, "UpdateApiKey: description; tags"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t, apikey.Config{Pepper: pepper, Keys: []apikey.Entry{julian}, Journal: journal.Memory(0)})
			_, err := v.Update(t.Context(), "fr92a5qpbj", func(k *apikey.Key) error { tt.edit(k); return nil })
			require.NoError(t, err)
			c, err := pull(v.History(t.Context(), "fr92a5qpbj"))
			require.NoError(t, err)
			require.Equal(t, tt.want, c.Operation)
		})
	}
	v := newVerifier(t, apikey.Config{Pepper: pepper, Keys: []apikey.Entry{julian}, Journal: journal.Memory(0)})
	for _, text := range []string{strings.Repeat("\u202e", 1024), strings.Repeat("é", 1024)} {
		_, err := v.Update(t.Context(), "fr92a5qpbj", func(k *apikey.Key) error { k.Name, k.CustomerID = text, text; return nil })
		require.NoError(t, err)
		c, err := pull(v.History(t.Context(), "fr92a5qpbj"))
		require.NoError(t, err)
		require.True(t, utf8.ValidString(c.Operation))
		require.LessOrEqual(t, len(c.Operation), 1200)
	}
}
