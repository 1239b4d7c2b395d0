package usageplan_test

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// items returns what the journal has, by name.
func items(t testing.TB, j journal.Journal) map[string][]byte {
	all := make(map[string][]byte)
	for c, err := range j.Changes(t.Context(), 0) {
		require.NoError(t, err)
		for _, it := range c.Items {
			all[it.Name] = it.Value
			if it.Gone {
				delete(all, it.Name)
			}
		}
	}
	return all
}

// everything returns a journal that has a plan and a member with every part they can have, and one with none.
func everything(t testing.TB) journal.Journal {
	j := journal.Memory(0)
	quotas, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, quotas.Close()) })
	m, err := usageplan.New(usageplan.Config{Journal: j, Ledger: quotas})
	require.NoError(t, err)
	rome, err := time.LoadLocation("Europe/Rome")
	require.NoError(t, err)
	require.NoError(t, m.Import(t.Context(), []usageplan.Plan{{
		ID: "full", Name: "Full \u2028<&>", Description: "d", ProductCode: "c", Tags: map[string]string{"": "b", "a": ""},
		Created:  time.Date(2026, 11, 29, 13, 50, 1, 23, time.UTC),
		Throttle: &ratelimit.Limit{Rate: 0.1, Burst: 1 << 20},
		Quotas:   []ledger.Quota{{Limit: ledger.MaxUnits, Period: ledger.Daily, Location: rome}, {Limit: 9, Period: ledger.Weekly, Offset: 1}, {Period: ledger.Monthly}},
		InFlight: usageplan.InFlight{Client: 3, Total: 65_535},
		Stages:   []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{"/*/*": {Burst: 1}, "/a/{b+}/GET": {Rate: 1e-9}}}, {API: "a", Name: "b"}},
	}, {ID: "bare", Name: "B"}}, []usageplan.Member{
		{Plan: "full", Client: "a", Throttle: &ratelimit.Limit{Rate: 0.1}, Limits: map[ledger.Period]int64{ledger.Daily: 0, ledger.Weekly: 7, ledger.Monthly: ledger.MaxUnits}, InFlight: 2},
		{Plan: "bare", Client: "a"},
	}))
	return j
}

// What a change stores is what the next process has.
func TestItemsKeepEveryPart(t *testing.T) {
	j := everything(t)
	config := usageplan.Config{Journal: j, Ledger: memory(t)}
	a, b := meter(t, config), meter(t, config)
	require.Equal(t, everythingOf(a), everythingOf(b))
	p, found := a.Plan("full")
	require.True(t, found)
	require.Equal(t, "Full \u2028<&>", p.Name)
	require.Equal(t, time.Date(2026, 11, 29, 13, 50, 1, 23, time.UTC), p.Created)
	k, found := a.Member("full", "a")
	require.True(t, found)
	require.Equal(t, &ratelimit.Limit{Rate: 0.1}, k.Throttle)
	require.Len(t, k.Limits, 3)
	require.Equal(t, usageplan.InFlight{Client: 3, Total: 65_535}, p.InFlight)
	require.Equal(t, 2, k.InFlight)
	bare := items(t, j)["m/\x04barea"]
	require.Len(t, bare, 10, "a member without parts of its own")
}

// everythingOf returns all plans and members that a meter shows, in their order.
func everythingOf(m *usageplan.Meter) (all []any) {
	for p := range m.Plans() {
		all = append(all, p, members(m, p.ID))
	}
	return all
}

// The form of what is stored does not change unseen: files are older than programs.
func TestItemsHaveTheirForm(t *testing.T) {
	stored := items(t, everything(t))
	require.Len(t, stored, 4)
	for name, want := range map[string]string{
		"m/\x04fulla": "013e" + "0000000001000002" + "3fb999999999999a" + "0000000000000000" + "0000000000000000" + "0000000000000007" + "0020000000000000" + "0000000000000002",
		"m/\x04barea": "0100" + "0000000001000003",
	} {
		require.Equal(t, want, hex.EncodeToString(stored[name]), "%q", name)
	}
	require.Equal(t, "0100"+"0000000001000000"+"18ec884993581a17", hex.EncodeToString(stored["p/full"][:18]))
	require.JSONEq(t, `{"id": "bare", "name": "B", "apiStages": []}`, string(stored["p/bare"][18:]))
}

func TestItemsThatCannotBeRead(t *testing.T) {
	number := "\x00\x00\x00\x00\x01\x00\x00\x00"
	for _, tt := range []struct{ name, value, want string }{
		{"x/a", "\x01\x00", "neither a plan nor a member"},
		{"m/", "\x01\x00" + number, "neither a plan nor a member"},
		{"m/\x05p", "\x01\x00" + number, "neither a plan nor a member"},
		{"m/\x01p", "\x01\x00" + number, "a client of 0 bytes"},
		{"m/\x00a", "\x01\x00" + number, "a plan of 0 bytes"},
		{"m/\x01pa", "", "wrong length"},
		{"m/\x01pa", "\x01\x00" + number[1:], "wrong length"},
		{"m/\x01pa", "\x01\x00" + number + "x", "wrong length"},
		{"m/\x01pa", "\x01\x01" + number, "wrong length"},
		{"m/\x01pa", "\x01\x02" + number + number, "wrong length"},
		{"m/\x01pa", "\x01\x04" + number + "\xff" + number[1:], "limit -"},
		{"m/\x01pa", "\x01\x02" + number + "\x7f\xf0\x00\x00\x00\x00\x00\x00" + number, "infinite rate"},
		{"m/\x01pa", "\x02\x00" + number, "has the form 2, and this program knows 1 alone"},
		{"m/\x01pa", "\x01\x20" + number, "wrong length"},
		{"m/\x01pa", "\x01\x20" + number + "\x00\x00\x00\x00\x00\x00\x00\x00", "lets 0 requests run at once"},
		{"m/\x01pa", "\x01\x20" + number + "\x00\x00\x00\x00\x00\x01\x00\x00", "lets 65536 requests run at once, not 1 to 65535"},
		{"m/\x01pa", "\x01\x20" + number + "\xff\xff\xff\xff\x00\x00\x00\x01", "requests run at once"},
		{"m/\x01pa", "\x01\x40" + number, "has the flags 01000000"},
		{"m/\x01pa", "\x01\x03", "has the flags 00000011"},
		{"p/p", "\x01\x02" + number + number + `{"id": "p", "name": "P"}`, "has the flags 00000010"},
		{"p/p", "\x01\x00" + number, "wrong length"},
		{"p/p", "\x01\x00" + number + number + `{"id": "q", "name": "P"}`, `holds the plan "q"`},
		{"p/p", "\x01\x00" + number + number + `{"id": "p", "name": "P", "more": 1}`, "$.more is not a field"},
		{"p/p", "\x01\x00" + number + number + `{"id": "p"}`, "$.name is required"},
		{"p/p", "\x02\x00" + number + number + `{"id": "p", "name": "P"}`, "has the form 2"},
	} {
		j := everything(t)
		m := meter(t, usageplan.Config{Journal: j, Ledger: memory(t)})
		before := everythingOf(m)
		_, err := j.Append(t.Context(), 1, journal.Change{Time: time.Now(), Items: []journal.Item{
			{Name: "p/bare", Gone: true}, {Name: tt.name, Value: []byte(tt.value)},
		}})
		require.NoError(t, err)
		require.ErrorIs(t, m.Refresh(t.Context()), journal.ErrUnavailable)
		require.ErrorContains(t, m.Refresh(t.Context()), tt.want, "%q %q", tt.name, tt.value)
		require.ErrorIs(t, m.AddMembers(t.Context(), usageplan.Member{Plan: "bare", Client: "c"}), journal.ErrUnavailable)
		require.Equal(t, before, everythingOf(m), "the state is intact")
		_, err = usageplan.New(usageplan.Config{Journal: j, Ledger: memory(t)})
		require.ErrorContains(t, err, tt.want)
	}
}

// Bytes that are accepted are exactly those that are written. A plan's JSON may be written otherwise once.
func FuzzItem(f *testing.F) {
	for name, value := range items(f, everything(f)) {
		f.Add(name, value)
	}
	f.Add("m/\x01pa", []byte{1, 1})
	f.Add("p/p", []byte{1, 1})
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		again, err := usageplan.Decode(journal.Item{Name: name, Value: value})
		if err != nil {
			return
		}
		require.Equal(t, name, again.Name)
		if name[0] == 'm' || len(value) == 2 {
			require.True(t, bytes.Equal(value, again.Value), "%x %x", value, again.Value)
			return
		}
		twice, err := usageplan.Decode(again)
		require.NoError(t, err)
		require.Equal(t, again, twice)
	})
}
