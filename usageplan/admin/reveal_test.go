package admin_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/admin"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// An audited plane keeps values, and its keys in a journal that a test can replace by one that fails.
type audited struct {
	*plane
	log *line
}

func newAudited(t *testing.T, authorize func(*http.Request, admin.Action) error) audited {
	t.Helper()
	log := &line{journal.Memory(0)}
	return audited{newPlane(t, settings{keys: func(c *apikey.Config) {
		sealed.keys(c)
		c.Journal, c.Pepper = log, apikey.Secret(strings.Repeat("p", 32))
	}, admin: func(c *admin.Config) {
		if authorize != nil {
			c.Authorize = authorize
		}
	}}), log}
}

// changes returns all records of the journal of keys.
func (a audited) changes() (changes []journal.Change) {
	a.t.Helper()
	for c, err := range a.log.Changes(a.t.Context(), 0) {
		require.NoError(a.t, err)
		changes = append(changes, c)
	}
	return changes
}

// newest returns the newest change of a key.
func (a audited) newest(id string) journal.Change {
	a.t.Helper()
	for c, err := range a.keys.History(a.t.Context(), id) {
		require.NoError(a.t, err)
		return c
	}
	return journal.Change{}
}

// revealing are the requests that show values of the keys k1 to k6, of which all but k6 are members of gold, with the
// keys that each shows. They are in an order in which they can be sent one after the other.
var revealing = []struct {
	method, target, body string
	keys                 string
}{
	{"GET", "/apikeys/k100000000?includeValue=true", "", "1"},
	{"GET", "/apikeys?includeValues=true", "", "6 5 4 3 2 1"},
	{"GET", "/apikeys?includeValues=true&limit=2", "", "6 5"},
	{"GET", "/apikeys?includeValues=true&limit=2&customerId=odd", "", "5 3"}, // the list asks again
	{"GET", "/apikeys?includeValues=true&name=n4", "", "4"},
	{"GET", "/apikeys?includeValues=true&name=none", "", ""},
	{"GET", "/usageplans/gold/keys", "", "5 4 3 2 1"},
	{"GET", "/usageplans/gold/keys?limit=3", "", "5 4 3"},
	{"GET", "/usageplans/gold/keys?name=n2", "", "2"},
	{"GET", "/usageplans/gold/keys/k300000000", "", "3"},
	{"GET", "/apikeys/k100000000", "", ""},
	{"GET", "/apikeys?includeValues=false", "", ""},
	{"POST", "/usageplans/gold/keys", `{"keyId":"k600000000","keyType":"API_KEY"}`, "6"},
}

// six creates the keys k1 to k6 and the plan gold.
func (a audited) six() map[string]string {
	a.t.Helper()
	a.plan("gold")
	values := map[string]string{}
	for i := 1; i <= 6; i++ {
		k := apikey.Key{ID: fmt.Sprintf("k%d00000000", i), Name: fmt.Sprintf("n%d", i)}
		if i%2 == 1 {
			k.CustomerID = "odd"
		}
		value := a.keys.Generate()
		_, err := a.keys.Create(a.t.Context(), k, value)
		require.NoError(a.t, err)
		if values[k.ID] = string(value); i < 6 {
			a.join("gold", k.ID)
		}
	}
	return values
}

// An answer with values is one change of the keys that it shows, by the caller and with the id of the answer. An answer
// without values is none.
func TestAnswersWithValuesAreInTheAudit(t *testing.T) {
	a := newAudited(t, nil)
	values := a.six()
	for _, tt := range revealing {
		what := tt.method + " " + tt.target
		before := len(a.changes())
		w := a.send(tt.method, tt.target, tt.body)
		require.Less(t, w.Code, 300, "%s: %s", what, w.Body)
		var shown []string
		for id, value := range values {
			if strings.Contains(w.Body.String(), value) {
				shown = append(shown, id)
			}
		}
		var want []string
		for n := range strings.FieldsSeq(tt.keys) {
			want = append(want, "k"+n+"00000000")
		}
		require.ElementsMatch(t, want, shown, what)
		changes := a.changes()[before:]
		if len(want) == 0 {
			require.Empty(t, changes, what)
			continue
		}
		require.Len(t, changes, 1, what)
		for id := range values {
			c := a.newest(id)
			require.Equal(t, slices.Contains(want, id), c.Revision == changes[0].Revision, "%s: %s", what, id)
			if slices.Contains(want, id) {
				require.Equal(t, "RevealApiKey", c.Operation, what)
				require.Equal(t, owner, c.Actor, what)
				require.Equal(t, "192.0.2.1", c.Source, what)
				require.Equal(t, w.Header().Get("X-Amzn-RequestId"), c.Request, what)
			}
		}
	}
}

// While a reveal cannot be recorded, no value is shown, and what shows none is answered.
func TestNoValueIsShownWithoutTheAudit(t *testing.T) {
	a := newAudited(t, nil)
	values := a.six()
	a.log.Journal = down{a.log.Journal}
	for _, tt := range revealing {
		what := tt.method + " " + tt.target
		w := a.send(tt.method, tt.target, tt.body)
		for _, value := range values {
			require.NotContains(t, w.Body.String(), value, what)
		}
		if tt.keys == "" {
			require.Equal(t, 200, w.Code, what)
			continue
		}
		requireRefusal(t, w, 503, "ServiceUnavailableException", "Service Unavailable", what)
		require.NotEmpty(t, w.Header().Get("Retry-After"), what)
	}
	for c := range a.log.Changes(t.Context(), 0) {
		require.Equal(t, "CreateApiKey", c.Operation)
	}
	_, is := a.plans.Member("gold", "k600000000")
	require.True(t, is, "the key was added; only the answer is refused")

	a.log.Journal = a.log.Journal.(down).Journal
	require.Contains(t, a.send("GET", "/apikeys/k600000000?includeValue=true", "").Body.String(), values["k600000000"])
}

// Who may not see values leaves no reveal. CreateApiKey, which shows the value of the new key, is in the journal as that.
func TestOnlyWhatIsShownIsAReveal(t *testing.T) {
	a := newAudited(t, func(_ *http.Request, a admin.Action) error {
		if a.Reveals && a.Operation != "CreateApiKey" {
			return errors.New("not allowed")
		}
		return nil
	})
	a.six()
	before := len(a.changes())
	for _, tt := range revealing {
		want := 403
		if tt.keys == "" && !strings.Contains(tt.target, "name=none") {
			want = 200
		}
		require.Equal(t, want, a.send(tt.method, tt.target, tt.body).Code, tt.target)
	}
	require.Len(t, a.changes(), before)
	require.Equal(t, 201, a.send("POST", "/apikeys", `{"name":"n"}`).Code)
	require.Equal(t, "CreateApiKey", a.changes()[before].Operation)
	require.Len(t, a.changes(), before+1)
}

// An export shows all values, and is in the journal by the origin of its context. One that cannot be is not written.
func TestExportIsInTheAudit(t *testing.T) {
	for format, revealed := range map[admin.Format]int{
		admin.FormatCSV: 6, admin.FormatKeys: 6, admin.FormatPlanKeys: 5, admin.FormatTerraform: 6, admin.FormatPlans: 0,
	} {
		a := newAudited(t, nil)
		values := a.six()
		before := len(a.changes())
		ctx := journal.NewContext(t.Context(), journal.Origin{Actor: "operator"})
		var text bytes.Buffer
		_, err := a.transfer(true).Export(ctx, &text, format, "gold")
		require.NoError(t, err, format)
		shown := 0
		for id, value := range values {
			if strings.Contains(text.String(), value) {
				shown++
				require.Equal(t, "RevealApiKey", a.newest(id).Operation, format)
				require.Equal(t, "operator", a.newest(id).Actor, format)
			}
		}
		require.Equal(t, revealed, shown, format)
		require.Len(t, a.changes(), before+min(1, revealed), format)

		a.log.Journal = down{a.log.Journal}
		text.Reset()
		_, err = a.transfer(true).Export(ctx, &text, format, "gold")
		if revealed > 0 {
			require.ErrorIs(t, err, apikey.ErrUnavailable, format)
			require.Empty(t, text.String(), format)
		}
	}
}
