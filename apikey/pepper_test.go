package apikey_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/journal"
)

const wrongPepper = apikey.Secret("another pepper of thirty-two bytes or more")

const textWrongPepper = "apikey: verifier is not configured: Config.Pepper is not the pepper of the journal"

// requireWrongPepper requires the error of a verifier whose pepper is not that of the journal.
func requireWrongPepper(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, apikey.ErrNotConfigured)
	require.NotErrorIs(t, err, apikey.ErrUnavailable)
	require.EqualError(t, err, textWrongPepper)
}

// markOf returns the item that tells the pepper.
func markOf(secret apikey.Secret) journal.Item {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("the pepper of this journal"))
	return journal.Item{Name: "pepper", Value: mac.Sum([]byte{1})}
}

// marks returns the marks that were appended to the journal and not superseded.
func marks(t *testing.T, log journal.Journal) (marks []journal.Item) {
	for _, c := range changesOf(t, log) {
		for _, it := range c.Items {
			if it.Name == "pepper" {
				marks = append(marks, it)
			}
		}
	}
	return marks
}

// manyRows returns n keys with ids and values.
func manyRows(n int) (rows []apikey.Row) {
	for i := range n {
		rows = append(rows, apikey.Row{Entry: entry(fmt.Sprintf("many%06d", i), nil)})
	}
	return rows
}

// appendItems writes to a journal as another program would.
func appendItems(t *testing.T, log journal.Journal, items ...journal.Item) {
	t.Helper()
	head := uint64(0)
	for _, c := range changesOf(t, log) {
		head = c.Revision
	}
	_, err := log.Append(t.Context(), head, journal.Change{Operation: "test", Time: time.Now(), Items: items})
	require.NoError(t, err)
}

// Each verb that is the first to change a journal marks it, whether it keeps records or yields snapshots. Then New
// refuses another pepper before anything is served.
func TestWrongPepperIsRefusedByNew(t *testing.T) {
	for name, change := range map[string]func(context.Context, *apikey.Verifier) error{
		"Create": func(ctx context.Context, v *apikey.Verifier) error {
			_, err := v.Create(ctx, apikey.Key{}, other)
			return err
		},
		"Update": func(ctx context.Context, v *apikey.Verifier) error {
			_, err := v.Update(ctx, "fr92a5qpbj", edit(true))
			return err
		},
		"Rotate": func(ctx context.Context, v *apikey.Verifier) error {
			_, err := v.Rotate(ctx, "fr92a5qpbj", other, 0)
			return err
		},
		"Reveal": func(ctx context.Context, v *apikey.Verifier) error {
			_, err := v.Reveal(ctx, "fr92a5qpbj")
			return err
		},
		"Delete": func(ctx context.Context, v *apikey.Verifier) error { return v.Delete(ctx, "fr92a5qpbj") },
		"Import": func(ctx context.Context, v *apikey.Verifier) error {
			_, err := v.Import(ctx, manyRows(1), apikey.ImportOptions{})
			return err
		},
	} {
		for _, retain := range []time.Duration{0, time.Nanosecond} {
			t.Run(name+" "+retain.String(), func(t *testing.T) {
				cfg := sealing(t, journal.Memory(retain))
				cfg.Keys = []apikey.Entry{julian}
				wrong := cfg
				wrong.Pepper = wrongPepper
				v := newVerifier(t, cfg)
				newVerifier(t, wrong) // it is not settled yet
				require.NoError(t, change(t.Context(), v))
				require.Equal(t, []journal.Item{markOf(pepper)}, marks(t, cfg.Journal))
				got, err := apikey.New(wrong)
				require.Nil(t, got)
				requireWrongPepper(t, err)

				for range 3 { // with the short retention, the journal yields snapshots from here on
					_, err := v.Create(t.Context(), apikey.Key{}, v.Generate())
					require.NoError(t, err)
				}
				require.Equal(t, []journal.Item{markOf(pepper)}, marks(t, cfg.Journal), "once is enough")
				require.Equal(t, ids(v), ids(newVerifier(t, cfg)))
				_, err = apikey.New(wrong)
				requireWrongPepper(t, err)
			})
		}
	}
}

// Of two nodes that begin with an empty journal and different peppers, the first change wins. The other node appends
// nothing, tells what is wrong, and keeps the keys that it has.
func TestSecondPepperStoresNothing(t *testing.T) {
	log := journal.Memory(0)
	open := func(secret apikey.Secret) *apikey.Verifier {
		return newVerifier(t, apikey.Config{Pepper: secret, Journal: log, Keys: []apikey.Entry{julian}})
	}
	v, wrong := open(pepper), open(wrongPepper)
	_, err := v.Create(t.Context(), apikey.Key{ID: "first00000"}, other)
	require.NoError(t, err)
	want := changesOf(t, log)
	for range 2 {
		_, err = wrong.Create(t.Context(), apikey.Key{ID: "second0000"}, other)
		requireWrongPepper(t, err)
		_, err = wrong.Update(t.Context(), "fr92a5qpbj", edit(false))
		requireWrongPepper(t, err)
		requireWrongPepper(t, wrong.Refresh(t.Context()))
		requireValues(t, wrong, map[string]string{value: "fr92a5qpbj", other: ""})
		require.Equal(t, []string{"fr92a5qpbj"}, ids(wrong))
	}
	require.Equal(t, want, changesOf(t, log))

	w := httptest.NewRecorder()
	err.(*apikey.Error).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Empty(t, w.Header().Get("Retry-After"), "to send it again does not help")
}

// Nodes of two peppers make changes at the same time over a network that loses requests and answers. Only those of one
// pepper store keys.
func TestOnePepperWinsOnABadNetwork(t *testing.T) {
	for seed := range uint64(20) {
		log := journal.Memory([]time.Duration{0, time.Nanosecond}[seed%2])
		secrets := []apikey.Secret{pepper, wrongPepper}
		created := make([]map[string]string, 4) // by node: the values of its keys by id
		nodes := make([]*apikey.Verifier, len(created))
		for n := range nodes { // all while the journal is empty
			created[n] = map[string]string{}
			nodes[n] = openLossy(t, apikey.Config{Pepper: secrets[n%2], Journal: log}, seed<<16+uint64(n)<<8)
		}
		var running sync.WaitGroup
		for n, v := range nodes {
			running.Go(func() {
				for range 30 {
					secret := v.Generate()
					k, err := v.Create(t.Context(), apikey.Key{Enabled: true}, secret)
					switch {
					case err == nil:
						created[n][k.ID] = string(secret)
					case !errors.Is(err, apikey.ErrUnavailable) && !errors.Is(err, apikey.ErrNotConfigured):
						t.Error(err)
					}
				}
			})
		}
		running.Wait()
		require.Len(t, marks(t, log), 1)
		won := slices.IndexFunc(secrets, func(s apikey.Secret) bool { return bytes.Equal(markOf(s).Value, marks(t, log)[0].Value) })
		_, err := apikey.New(apikey.Config{Pepper: secrets[1-won], Journal: log})
		requireWrongPepper(t, err)
		v := newVerifier(t, apikey.Config{Pepper: secrets[won], Journal: log})
		for n := range created {
			require.Equal(t, n%2 == won, len(created[n]) > 0, "node %d of seed %d", n, seed)
			for id, value := range created[n] {
				requireValues(t, v, map[string]string{value: id})
			}
		}
	}
}

// The answer to the change that marks the journal is lost. The node finds its mark, and goes on.
func TestMarkWhoseAnswerWasLost(t *testing.T) {
	log := &faulty{Journal: journal.Memory(0), answer: true}
	v := newVerifier(t, apikey.Config{Pepper: pepper, Journal: log})
	_, err := v.Create(t.Context(), apikey.Key{ID: "first00000"}, value)
	require.ErrorIs(t, err, apikey.ErrUnavailable)
	log.answer = false
	_, err = v.Create(t.Context(), apikey.Key{ID: "second0000"}, other)
	require.NoError(t, err)
	require.Len(t, marks(t, log), 1)
	require.Equal(t, []string{"second0000", "first00000"}, ids(v))
}

// A journal that a program without the mark has written is read as it is, and marked by the next change. So is one
// whose mark was removed.
func TestJournalWithoutAMark(t *testing.T) {
	for name, remove := range map[string]func(*testing.T, journal.Journal) journal.Journal{
		"never had one": func(t *testing.T, log journal.Journal) journal.Journal {
			old := journal.Memory(0)
			appendItems(t, old, changesOf(t, log)[0].Items[0])
			return old
		},
		"was removed": func(t *testing.T, log journal.Journal) journal.Journal {
			appendItems(t, log, journal.Item{Name: "pepper", Gone: true})
			return log
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := apikey.Config{Pepper: pepper, Journal: journal.Memory(0)}
			v := newVerifier(t, cfg)
			_, err := v.Create(t.Context(), apikey.Key{ID: "first00000", Enabled: true}, value)
			require.NoError(t, err)
			cfg.Journal = remove(t, cfg.Journal)
			v, node := newVerifier(t, cfg), newVerifier(t, cfg)
			requireValues(t, v, map[string]string{value: "first00000"})
			_, err = v.Update(t.Context(), "first00000", edit(true))
			require.NoError(t, err)
			_, err = node.Update(t.Context(), "first00000", edit(true))
			require.NoError(t, err, "it has read the mark")
			require.Equal(t, []journal.Item{markOf(pepper)}, marks(t, cfg.Journal))
			cfg.Pepper = wrongPepper
			_, err = apikey.New(cfg)
			requireWrongPepper(t, err)
		})
	}
}

// A verifier that reads on finds that the mark is gone, by the record of its removal or by a snapshot without it. Its
// next change marks the journal again.
func TestMarkThatIsGoneIsPutAgain(t *testing.T) {
	for _, retain := range []time.Duration{0, time.Nanosecond} {
		log := journal.Memory(retain)
		v := newVerifier(t, apikey.Config{Pepper: pepper, Journal: log})
		_, err := v.Create(t.Context(), apikey.Key{ID: "first00000"}, value)
		require.NoError(t, err)
		appendItems(t, log, journal.Item{Name: "pepper", Gone: true})
		for range 2 {
			appendItems(t, log, journal.Item{Name: "unknown000", Gone: true})
		}
		require.Equal(t, retain != 0, changesOf(t, log)[0].Snapshot)
		require.NoError(t, v.Refresh(t.Context()))
		_, err = v.Update(t.Context(), "first00000", edit(true))
		require.NoError(t, err)
		got := marks(t, log)
		require.NotEmpty(t, got)
		require.Equal(t, markOf(pepper), got[len(got)-1])
	}
}

func TestDamagedMarkIsRefused(t *testing.T) {
	good := markOf(pepper).Value
	for name, tt := range map[string]struct {
		edit func([]byte) []byte
		want string
	}{
		"a newer version": {func(b []byte) []byte { b[0] = 2; return b[:1] }, "has version 2, this program reads 1"},
		"version 0":       {func(b []byte) []byte { b[0] = 0; return b }, "damaged"},
		"empty":           {func([]byte) []byte { return nil }, "damaged"},
		"cut":             {func(b []byte) []byte { return b[:len(b)-1] }, "damaged"},
		"longer":          {func(b []byte) []byte { return append(b, 0) }, "damaged"},
		"another bit":     {func(b []byte) []byte { b[32] ^= 1; return b }, "not the pepper"},
		"a deletion":      {func([]byte) []byte { return []byte{1, 2} }, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := apikey.Config{Pepper: pepper, Journal: journal.Memory(0), Keys: []apikey.Entry{julian}}
			node := newVerifier(t, cfg)
			appendItems(t, cfg.Journal, journal.Item{Name: "pepper", Value: tt.edit(slices.Clone(good))})
			_, err := apikey.New(cfg)
			require.ErrorContains(t, err, tt.want)
			for range 2 {
				require.ErrorContains(t, node.Refresh(t.Context()), tt.want)
				_, err = node.Create(t.Context(), apikey.Key{}, other)
				require.ErrorContains(t, err, tt.want)
				requireValues(t, node, map[string]string{value: "fr92a5qpbj"})
			}
			require.Len(t, changesOf(t, cfg.Journal), 1, "nothing was stored")
		})
	}
}

// The first import of as many keys as a change can have leaves no room for the mark, which then goes first.
func TestFullChangeIsMarkedBefore(t *testing.T) {
	log := journal.Memory(0)
	v := newVerifier(t, apikey.Config{Pepper: pepper, Journal: log})
	fill(t, v, 10_000, "")
	changes := changesOf(t, log)
	require.Len(t, changes, 2)
	require.Equal(t, []journal.Item{markOf(pepper)}, changes[0].Items)
	require.Len(t, changes[1].Items, 10_000)
	require.Equal(t, "ImportApiKeys", changes[0].Operation)

	wrong := apikey.Config{Pepper: wrongPepper, Journal: journal.Memory(0)}
	late := newVerifier(t, wrong)
	appendItems(t, wrong.Journal, markOf(pepper))
	_, err := late.Import(t.Context(), manyRows(10_000), apikey.ImportOptions{})
	requireWrongPepper(t, err)
	require.Len(t, changesOf(t, wrong.Journal), 1)
}

// The mark is not a key, and in the history of none.
func TestMarkIsInNoHistory(t *testing.T) {
	cfg := apikey.Config{Pepper: pepper, Journal: journal.Memory(0)}
	v := newVerifier(t, cfg)
	k, err := v.Create(t.Context(), apikey.Key{}, value)
	require.NoError(t, err)
	require.Equal(t, []string{"CreateApiKey"}, history(t, v, k.ID))
	require.Empty(t, history(t, v, "pepper"))
	for c, err := range v.History(t.Context(), k.ID) {
		require.NoError(t, err)
		require.Len(t, c.Items, 1)
		require.NotEqual(t, "pepper", c.Items[0].Name)
	}
	_, found := v.Key("pepper")
	require.False(t, found)
	require.Equal(t, []string{k.ID}, ids(newVerifier(t, cfg)))
	_, err = v.Create(t.Context(), apikey.Key{}, "the pepper of this journal")
	require.ErrorIs(t, err, apikey.ErrInvalid, "its text is no value")
}

// Without a journal there is nothing to mark, and a refused change or one without items marks nothing.
func TestNothingIsMarkedWithoutAChange(t *testing.T) {
	log := journal.Memory(0)
	v := newVerifier(t, apikey.Config{Pepper: pepper, Journal: log, Keys: []apikey.Entry{julian}})
	require.ErrorIs(t, v.Delete(t.Context(), "unknown000"), apikey.ErrNotFound)
	_, err := v.Import(t.Context(), manyRows(10_000), apikey.ImportOptions{DryRun: true})
	require.NoError(t, err)
	require.NoError(t, v.Refresh(t.Context()))
	require.Empty(t, changesOf(t, log))
	fill(t, newVerifier(t, apikey.Config{}), 10_000, "")
}
