package admin_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// A key can be in one plan for a stage. A row that would put it into a second one is left out, and with failonwarnings
// the whole file is.
func TestImportLeavesOutConflicts(t *testing.T) {
	const rows = "Name,Key,UsagePlanIds\n" +
		"both,aaaaaaaaaaaaaaaaaaaa1,\"gold,silver\"\n" +
		"old,bbbbbbbbbbbbbbbbbbbb2,silver\n" +
		"new,cccccccccccccccccccc3,\"gold,other\"\n"
	p := newPlane(t, settings{})
	p.plan("gold")
	p.plan("silver")
	_, err := p.plans.CreatePlan(t.Context(), usageplan.Plan{ID: "other", Name: "o", Stages: served[1:2]})
	require.NoError(t, err)
	p.send("POST", "/apikeys?mode=import&format=csv", "Name,Key,UsagePlanIds\nold,bbbbbbbbbbbbbbbbbbbb2,gold\n")
	old := slices.Collect(p.keys.Keys())
	require.Len(t, old, 1)

	w := p.send("POST", "/apikeys?mode=import&format=csv&failonwarnings=true", rows)
	require.Equal(t, 400, w.Code)
	require.Regexp(t, `^{"message":"Line 2: key [a-z0-9]{10} is in usage plan gold for API stage demo:prod; `+
		`Line 3: key `+old[0].ID+` is in usage plan gold for API stage demo:prod"}$`, w.Body.String())
	require.Equal(t, old, slices.Collect(p.keys.Keys()), "nothing has changed")

	w = p.send("POST", "/apikeys?mode=import&format=csv", rows)
	require.Equal(t, 201, w.Code)
	require.Contains(t, w.Body.String(), `"warnings":["Line 2: key `)
	keys := slices.Collect(p.keys.Keys())
	require.Len(t, keys, 2)
	require.Equal(t, "new", keys[0].Name)
	require.Len(t, p.plans.Memberships(keys[0].ID), 2)
	require.Equal(t, []usageplan.Member{{Plan: "gold", Client: old[0].ID}}, p.plans.Memberships(old[0].ID))
}

// A row may name a plan twice. It counts once, and the key does not stay without its membership.
func TestImportOfAPlanThatIsNamedTwice(t *testing.T) {
	p := newPlane(t, settings{})
	p.plan("gold")
	w := p.send("POST", "/apikeys?mode=import&format=csv&failonwarnings=true", "Name,Key,UsagePlanIds\na,aaaaaaaaaaaaaaaaaaaa1,\"gold, gold\"\n")
	require.Equal(t, 201, w.Code, w.Body)
	require.Equal(t, []usageplan.Member{{Plan: "gold", Client: p.only()}}, p.plans.Memberships(p.only()))
}

// Of several rows for one key, the last one counts, with its plans. Those of the others are not in its way.
func TestImportOfAKeyThatIsListedTwice(t *testing.T) {
	const header, a = "Name,Key,UsagePlanIds\n", "aaaaaaaaaaaaaaaaaaaa1"
	for _, tt := range []struct{ name, file, want, warnings string }{
		{"the second row has another plan", "x," + a + ",gold\ny," + a + ",silver\n", "silver", `"warnings":[]`},
		{"the third row has the first one's plan", "x," + a + ",gold\ny," + a + ",silver\nz," + a + ",gold\n", "gold", `"warnings":[]`},
		{"the second row is left out", "x," + a + ",gold\ny," + a + ",\"gold,silver\"\n", "gold", `"warnings":["Line 3: `},
		{"the second row is left out, the third is not", "x," + a + ",gold\ny," + a + ",none\nz," + a + ",silver\n", "silver", `"warnings":["Line 3: `},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlane(t, settings{})
			p.plan("gold")
			p.plan("silver")
			w := p.send("POST", "/apikeys?mode=import&format=csv", header+tt.file)
			require.Equal(t, 201, w.Code, w.Body)
			require.Contains(t, w.Body.String(), tt.warnings)
			require.Equal(t, []usageplan.Member{{Plan: tt.want, Client: p.only()}}, p.plans.Memberships(p.only()))
		})
	}
}

// during is a journal that does something else before it stores an import.
type during struct {
	journal.Journal
	do func()
}

func (d *during) Append(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
	if c.Operation == "ImportApiKeys" {
		d.do()
	}
	return d.Journal.Append(ctx, after, c)
}

// Nothing that another caller changes comes between the keys of an import and their memberships.
func TestImportIsNotInterrupted(t *testing.T) {
	const value = "aaaaaaaaaaaaaaaaaaaa1"
	keys := &during{Journal: journal.Memory(0)}
	p := newPlane(t, settings{keys: func(c *apikey.Config) { c.Journal, c.Pepper = keys, apikey.Secret(strings.Repeat("p", 32)) }})
	p.plan("gold")
	p.plan("silver")
	require.Equal(t, 201, p.send("POST", "/apikeys", `{"value":"`+value+`"}`).Code)
	joined := make(chan int, 1)
	keys.do = func() {
		r := signed(t, request("POST", "/usageplans/silver/keys", `{"keyId":"`+p.only()+`","keyType":"API_KEY"}`), owner, region)
		go func() { joined <- p.serve(r).Code }()
		time.Sleep(20 * time.Millisecond) // enough for a caller that does not wait
	}
	w := p.send("POST", "/apikeys?mode=import&format=csv&failonwarnings=true", "Name,Key,UsagePlanIds\na,"+value+",gold\n")
	require.Equal(t, 201, w.Code, w.Body)
	require.Equal(t, 409, <-joined)
	require.Equal(t, []usageplan.Member{{Plan: "gold", Client: p.only()}}, p.plans.Memberships(p.only()))
}
