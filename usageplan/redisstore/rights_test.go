package redisstore_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// TestRights: the access list of the package documentation has all that a store needs.
func TestRights(t *testing.T) {
	s := start(t)
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "ACL SETUSER")
	require.True(t, found)
	rest, _, _ = strings.Cut(rest, "\n//\n")
	args := []any{"ACL", "SETUSER"}
	for word := range strings.FieldsSeq(strings.ReplaceAll(rest, "//", "")) {
		args = append(args, word)
	}
	require.NoError(t, client(t, options(s.addr)).Do(t.Context(), args...).Err())
	o := options(s.addr)
	o.Username, o.Password = "gateway", "password"
	store := open(t, client(t, o), "gateway")

	l, err := ledger.New(ledger.Config{Engine: store, Exact: true})
	require.NoError(t, err)
	_, err = l.Take(t.Context(), ledger.Key{Plan: "gold", Subject: "anna"}, ledger.Quota{Limit: 1000, Period: ledger.Monthly}, 1)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, ledger.Copy(t.Context(), ledger.NewMemory(), store))
	require.NoError(t, store.Update(t.Context(), []string{"row"}, write("row")))
	require.NoError(t, store.Update(t.Context(), []string{"row"}, func(int, []byte) ([]byte, error) { return []byte{}, nil }))

	j := store.Journal("keys", time.Nanosecond)
	for after := range uint64(4) {
		c := journal.Change{Time: time.Now(), Items: []journal.Item{{Name: "a", Gone: after%2 == 1}, {Name: "b"}}}
		_, err := j.Append(t.Context(), after, c)
		require.NoError(t, err)
	}
	require.NoError(t, j.Wait(t.Context(), 3))
	for _, err := range j.History(t.Context(), "b") {
		require.NoError(t, err)
	}
	require.NoError(t, journal.Copy(t.Context(), journal.Memory(0), j))
}
