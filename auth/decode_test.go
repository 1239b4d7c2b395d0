package auth_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// whole has its own UnmarshalJSON, in which encoding/json ignores letter case.
type whole struct{ Role string }

func (w *whole) UnmarshalJSON(text []byte) error {
	type plain whole
	return json.Unmarshal(text, (*plain)(w))
}

type inner struct {
	Role string `json:"role"`
}

type (
	Selfish struct {
		*Selfish

		Role string `json:"role"`
	}
	outer struct {
		inner

		User string `json:"userName"`
		Name string `json:"username"`
	}
)

func decoded[T any](t *testing.T, members string) (any, error) {
	t.Helper()
	token, err := auth.InsecureToken([]byte(`{"iss":"https://issuer.example",` + members + `}`))
	require.NoError(t, err)
	v, err := auth.Claims[T](token)
	return v, err
}

// These structs get two fields of one name by embedding. Embedded structs must be exported to be filled.
type (
	Base   struct{ Role string }
	Second struct{ Role string }
	hiding struct {
		Role string
		Base
	}
	hidingByTag struct {
		Base
		Other string `json:"role"`
	}
	Deepest struct {
		X inner `json:"x"`
	}
	Deep    struct{ Deepest }
	Shallow struct {
		X map[string]string `json:"x"`
	}
	shallow struct {
		Deep
		Shallow
	}
	rivals struct {
		Base
		Second
	}
	untaken struct {
		//lint:ignore SA5008 the test is about what encoding/json does with such a tag
		A string `json:"a'"`
	}
)

// A struct takes only the members with exactly its names. A member that encoding/json would take for one of them in
// another letter case is left out, or is an error.
func TestClaimsMatchExactly(t *testing.T) {
	type untagged struct{ Role string }
	type nested struct {
		In     inner            `json:"in"`
		List   []inner          `json:"list"`
		Map    map[string]inner `json:"map"`
		Ptr    **inner          `json:"ptr"`
		Array  [1]inner         `json:"array"`
		Hidden string           `json:"-"`
		Any    any              `json:"any"`
		When   time.Time        `json:"when"`
	}
	type both struct {
		Lower string `json:"role"`
		Upper string `json:"ROLE"`
		Other string `json:",omitempty"`
	}
	pointer := &inner{Role: "user"}
	for _, row := range []struct {
		name    string
		decode  func(*testing.T, string) (any, error)
		members string
		want    any // nil: an error
	}{
		{"tag, two names", decoded[inner], `"role":"user","ROLE":"admin"`, inner{"user"}},
		{"tag, two names, the other way round", decoded[inner], `"ROLE":"admin","role":"user"`, inner{"user"}},
		{"tag, the other name alone", decoded[inner], `"ROLE":"admin"`, inner{}},
		{"tag, the long s", decoded[struct {
			Scope string `json:"scope"`
		}], "\"\u017fcope\":\"admin\"", struct {
			Scope string `json:"scope"`
		}{}},
		{"no tag, two names", decoded[untagged], `"role":"user","ROLE":"admin"`, nil},
		{"no tag, two names, one the field's", decoded[untagged], `"Role":"user","role":"admin"`, nil},
		{"no tag, one name", decoded[untagged], `"role":"user"`, untagged{"user"}},
		{"no tag, no name", decoded[untagged], `"rolls":"user"`, untagged{}},
		{"two fields", decoded[both], `"role":"a","ROLE":"b","Role":"c","other":"d"`, both{"a", "b", "d"}},
		{"pointer", decoded[*inner], `"role":"user","ROLE":"admin"`, pointer},
		{"embedded", decoded[outer], `"role":"user","Role":"admin","userName":"ada","username":"bob","USERNAME":"eve"`, outer{inner{"user"}, "ada", "bob"}},
		{"embeds itself", decoded[Selfish], `"role":"user","ROLE":"admin"`, Selfish{Role: "user"}},
		{"nested", decoded[nested], `"in":{"role":"user","ROLE":"admin"},"list":[{"Role":"admin","role":"user"}],"map":{"X":{"role":"user"},"x":{"ROLE":"admin"}},
			"ptr":{"role":"user","rOle":"admin"},"array":[{"role":"user","ROLE":"admin"}],"hidden":"x","Hidden":"x","any":{"A":1,"a":2},"when":"2026-11-28T12:00:00Z"`, nested{
			In: inner{"user"}, List: []inner{{"user"}}, Map: map[string]inner{"X": {"user"}, "x": {}}, Ptr: &pointer, Array: [1]inner{{"user"}},
			Any: map[string]any{"A": 1., "a": 2.}, When: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC),
		}},
		{"a field hides the one of an embedded struct", decoded[hiding], `"role":"user"`, hiding{Role: "user"}},
		{"and takes the member of its tag", decoded[hidingByTag], `"role":"user","ROLE":"admin"`, hidingByTag{Other: "user"}},
		{"the field that is least deep decides the type", decoded[shallow], `"x":{"role":"user","ROLE":"admin"}`, shallow{Shallow: Shallow{map[string]string{
			"role": "user", "ROLE": "admin",
		}}}},
		{"two fields as deep as each other", decoded[rivals], `"role":"user"`, rivals{}},
		{"a tag that encoding/json takes for none", decoded[untaken], `"a":"x","A'":"y"`, untaken{"x"}},
		{"nested null", decoded[nested], `"in":null,"list":null,"map":null,"ptr":null`, nested{}},
		{"nested, wrong type", decoded[nested], `"in":5`, nil},
		{"deep, two names", decoded[map[string][]untagged], `"x":[{"role":"user","ROLE":"admin"}]`, nil},
		{"map", decoded[map[string]any], `"role":"user","ROLE":"admin"`, map[string]any{"iss": "https://issuer.example", "role": "user", "ROLE": "admin"}},
		{"any", decoded[any], `"role":"user","ROLE":"admin"`, map[string]any{"iss": "https://issuer.example", "role": "user", "ROLE": "admin"}},
		{"own UnmarshalJSON, two names", decoded[whole], `"role":"user","ROLE":"admin"`, nil},
		{"own UnmarshalJSON, two names within", decoded[whole], `"x":[{"a":1,"A":2}]`, nil},
		{"own UnmarshalJSON", decoded[whole], `"role":"user"`, whole{"user"}},
		{"own UnmarshalJSON in a field", decoded[struct{ W whole }], `"w":{"role":"user","ROLE":"admin"}`, nil},
		{"text as it was written", decoded[struct{ Raw json.RawMessage }], `"raw":{"x":"<\u0026>é"}`, struct{ Raw json.RawMessage }{json.RawMessage(`{"x":"<\u0026>é"}`)}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := row.decode(t, row.members)
			if row.want == nil {
				require.ErrorIs(t, err, auth.ErrMalformed)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, got)
		})
	}
	_, err := auth.Claims[inner](auth.Token{})
	require.ErrorIs(t, err, auth.ErrNotConfigured)
	_, err = auth.Claims[inner](auth.Token{Subject: "s"}) // a literal has no claims set
	require.ErrorIs(t, err, auth.ErrNotConfigured)
}
