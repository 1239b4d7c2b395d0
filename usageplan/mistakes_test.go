package usageplan_test

import (
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan"
)

// The text of a refusal that is a mistake of the program says what is right.
func TestTextsOfMistakes(t *testing.T) {
	m, err := usageplan.New(usageplan.Config{
		Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: []usageplan.Stage{{API: "pets", Name: "dev"}}}},
	})
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		edit  func(*usageplan.Request)
		least int64
		want  string
	}{
		"at least nothing":         {nil, 0, "meter is not configured for the request: it takes at least 0 units, not 1 to its cost of 20"},
		"at least more than all":   {nil, 21, "meter is not configured for the request: it takes at least 21 units, not 1 to its cost of 20"},
		"something of nothing":     {func(q *usageplan.Request) { q.Cost = 0 }, 1, "meter is not configured for the request: it takes at least 1 units, not 0 to its cost of 0"},
		"no route":                 {func(q *usageplan.Request) { q.Route = usageplan.Route{} }, 1, "client has no usage plan for the api stage: Request.Route has no API and no Stage"},
		"a stage that no plan has": {func(q *usageplan.Request) { q.Route.Stage = "v2" }, 1, "GET /cats of pets:v2: client has no usage plan for the api stage"},
	} {
		q := usageplan.Request{Client: "k1", Cost: 20, Route: usageplan.Route{API: "pets", Stage: "dev", Resource: "/cats", Method: "GET"}}
		if tt.edit != nil {
			tt.edit(&q)
		}
		_, err := m.TakeUpTo(t.Context(), q, tt.least)
		require.ErrorContains(t, err, tt.want, name)
	}
	_, err = m.Check(httptest.NewRequest("GET", "/", nil))
	require.EqualError(t, err, "usageplan: meter is not configured for the request: Config.Client is nil, so only Take and TakeUpTo can be called: set it")
}
