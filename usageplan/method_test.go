package usageplan_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
)

// A method throttle counts the requests of every pattern for the same resource, however the two are spelled.
func TestMethodThrottleFits(t *testing.T) {
	for _, tt := range []struct {
		key, pattern, target string
		throttled            bool
	}{
		{"/{proxy+}/ANY", "/Prod/{proxy...}", "/Prod/a/b", true},
		{"/{proxy+}/GET", "GET /Prod/{rest...}", "/Prod/a/b", true},
		{"/{proxy+}/ANY", "GET /Prod/", "/Prod/a/b", true},
		{"/{proxy+}/ANY", "/", "/a/b", true},
		{"/{proxy+}/POST", "GET /Prod/{proxy...}", "/Prod/a", false},
		{"/{proxy+}/ANY", "GET /Prod/{$}", "/Prod/", false}, // API Gateway's proxy resource is not the root
		{"/{proxy+}/ANY", "GET /Prod/{id}", "/Prod/a", false},
		{"/pets/{proxy+}/GET", "GET /Prod/pets/{all...}", "/Prod/pets/a", true},
		{"/pets/{proxy+}/GET", "GET /Prod/pets/", "/Prod/pets/a", true},
		{"/pets/{proxy+}/GET", "GET /Prod/pets", "/Prod/pets", false},
		{"/pets/*/GET", "GET /Prod/pets/{all...}", "/Prod/pets/a", true},
		{"/pets/{all...}/GET", "GET /Prod/pets/{all...}", "/Prod/pets/a", true},

		{"/loyalty/{customerId}/GET", "GET /Prod/loyalty/{id}", "/Prod/loyalty/7", true},
		{"/loyalty/{id}/orders/{order}/GET", "GET /Prod/loyalty/{a}/orders/{b}", "/Prod/loyalty/7/orders/8", true},
		{"/loyalty/{id}/orders/{order}/GET", "GET /Prod/loyalty/{a}/points/{b}", "/Prod/loyalty/7/points/8", false},
		{"/loyalty/{id}/GET", "GET /Prod/loyalty/{id}/orders", "/Prod/loyalty/7/orders", false},
		{"/loyalty/{id}/GET", "GET /Prod/loyalty/me", "/Prod/loyalty/me", false},
		{"/loyalty/me/GET", "GET /Prod/loyalty/{id}", "/Prod/loyalty/me", false},
		{"/pets/GET", "GET /Prod/pets2", "/Prod/pets2", false},
		{"/pets2/GET", "GET /Prod/pets", "/Prod/pets", false},

		{"//GET", "GET /Prod", "/Prod", true},
		{"//GET", "GET /Prod/{$}", "/Prod/", true},
		{"//GET", "GET /Prod/", "/Prod/", true},
		{"//ANY", "/Prod/{$}", "/Prod/", true},
		{"//GET", "GET /{$}", "/", true},
		{"//GET", "GET /Prod/{proxy...}", "/Prod/a", false},
		{"/pets/GET", "GET /Prod/pets/{$}", "/Prod/pets/", true},
		{"/pets/GET", "GET /Prod/pets/", "/Prod/pets/", true},
		{"/pets//GET", "GET /Prod/pets/", "/Prod/pets/", true},
		{"/pets/{$}/GET", "GET /Prod/pets/{$}", "/Prod/pets/", true},

		{"~1loyalty~1{id}/GET", "GET /Prod/loyalty/{id}", "/Prod/loyalty/7", true},
		{"/~1loyalty~1{id}/GET", "GET /Prod/loyalty/{id}", "/Prod/loyalty/7", true},
		{"~1loyalty~1{id}~1GET", "GET /Prod/loyalty/{id}", "/Prod/loyalty/7", true},
		{"//loyalty/{id}/GET", "GET /Prod/loyalty/{id}", "/Prod/loyalty/7", true},
		{"loyalty/{id}/GET", "GET /Prod/loyalty/{id}", "/Prod/loyalty/7", true},
		{"~1/GET", "GET /Prod/{$}", "/Prod/", true},
		{"/~1/GET", "GET /Prod/{$}", "/Prod/", true},
		{"~1*~1*", "GET /Prod/loyalty/{id}", "/Prod/loyalty/7", true},
		{"/caf%C3%A9/GET", "GET /Prod/café", "/Prod/caf%C3%A9", true},
		{"/café/GET", "GET /Prod/caf%C3%A9", "/Prod/caf%C3%A9", true},
		{"/a~0b/GET", "GET /Prod/a~b", "/Prod/a~b", true},
		{"/a b/GET", "GET /Prod/a%20b", "/Prod/a%20b", true},
		{"/a%2Fb/GET", "GET /Prod/a%2fb", "/Prod/a%2fb", true},
		{"/a%2Fb/caf%C3%A9/GET", "GET /Prod/a%2Fb/café", "/Prod/a%2Fb/caf%C3%A9", true},
		{"/a/b/GET", "GET /Prod/a%2Fb", "/Prod/a%2Fb", false},

		{"/pets/GET", "example.com/Prod/pets", "/Prod/pets", true},
		{"/pets/GET", "GET example.com/Prod/pets", "/Prod/pets", true},
		{"/pets/GET", "GET\texample.com/Prod/pets", "/Prod/pets", true},
		{"/pets/GET", "GET \t /Prod/pets", "/Prod/pets", true},

		{"/pets/ANY", "GET /Prod/pets", "/Prod/pets", true},
		{"/pets/ANY", "/Prod/pets", "/Prod/pets", true},
		{"/pets/GET", "/Prod/pets", "/Prod/pets", true},
		{"/pets/POST", "GET /Prod/pets", "/Prod/pets", false},
	} {
		once := []usageplan.Stage{{API: "pets", Name: "Prod", Methods: map[string]ratelimit.Limit{tt.key: {Burst: 1}}}}
		for name, c := range map[string]usageplan.Config{
			"plan":  {Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: once}}},
			"stage": {Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: []usageplan.Stage{{API: "pets", Name: "Prod"}}}}, StageThrottles: once},
		} {
			c.API, c.Stage, c.Default = "pets", "Prod", "p"
			mux := http.NewServeMux()
			mux.Handle(tt.pattern, meter(t, c).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
			want := []int{200, 200, 200}
			if tt.throttled {
				want = []int{200, 429, 429}
			}
			var got []int
			for range want {
				got = append(got, call(mux, "a", tt.target).StatusCode)
			}
			require.Equal(t, want, got, "%s: throttle %s, pattern %s", name, tt.key, tt.pattern)

			c.Routes = []string{tt.pattern}
			c.Client, c.Ledger = caller, memory(t)
			_, err := usageplan.New(c)
			if tt.throttled {
				require.NoError(t, err, "%s: throttle %s, pattern %s", name, tt.key, tt.pattern)
			} else {
				require.ErrorIs(t, err, usageplan.ErrInvalid)
				require.ErrorContains(t, err, "fits none of Config.Routes", "%s: throttle %s, pattern %s", name, tt.key, tt.pattern)
			}
		}
	}
}

// Routes that do not come from ServeMux: API Gateway's own resources, and chi's patterns.
func TestMethodThrottleFitsResource(t *testing.T) {
	for _, tt := range []struct {
		key, resource string
		fits          bool
	}{
		{"/{proxy+}/ANY", "/{proxy+}", true},
		{"/{proxy+}/ANY", "/{path+}", true},
		{"/{proxy+}/ANY", "/", false},
		{"//ANY", "/{proxy+}", false},
		{"//ANY", "/", true},
		{"//ANY", "", true},
		{"/pets/{id}/ANY", "/pets/{petId}", true},
		{"/pets/{id}/ANY", "/pets/{id:[0-9]{3}}", true}, // chi
		{"/pets/{proxy+}/ANY", "/pets/*", true},         // chi
		{"/{proxy+}/ANY", "/*", true},
		{"/pets/{id}/ANY", "/pets/{$}", false},
		{"/pets/ANY", "/pets/{$}", true},
		{"/pets/{id}/ANY", "/pets/{id", false},
		{"/pets/{id}/ANY", "/pets/{id}/", true}, // a subtree that begins with it
	} {
		m := meter(t, usageplan.Config{Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: []usageplan.Stage{
			{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{tt.key: {Burst: 1}}},
		}}}})
		q := getCats("a")
		q.Route.Resource = tt.resource
		require.Equal(t, noLayer, layer(t, m, q))
		want := noLayer
		if tt.fits {
			want = planMethodThrottle
		}
		require.Equal(t, want, layer(t, m, q), "throttle %s, resource %s", tt.key, tt.resource)
	}
}

// The throttle that fits best counts: the same resource before the base of a subtree, the same method before ANY.
func TestClosestMethodThrottleApplies(t *testing.T) {
	limit := func(burst int64) ratelimit.Limit { return ratelimit.Limit{Burst: burst} }
	m := meter(t, usageplan.Config{Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: []usageplan.Stage{
		{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{
			"//GET": limit(1), "/{proxy+}/ANY": limit(2), "/{proxy+}/PUT": limit(3), "/pets/GET": limit(4), "/*/*": limit(5),
		}},
	}}}})
	for _, tt := range []struct {
		resource, verb string
		want           int
	}{
		{"/", "GET", 1}, {"/{...}", "POST", 2}, {"/{all...}", "PUT", 3}, {"/pets/", "GET", 4}, {"/", "POST", 5}, {"/pets/", "POST", 5},
	} {
		q := getCats("a")
		q.Route.Resource, q.Route.Method = tt.resource, tt.verb
		count := 0
		for layer(t, m, q) == noLayer {
			count++
		}
		require.Equal(t, tt.want, count, "%s %s", tt.verb, tt.resource)
	}
}

// A throttle that can never act is refused.
func TestMethodThrottleThatCannotAct(t *testing.T) {
	for key, want := range map[string]string{
		"":                             "neither /resource/path/METHOD nor /*/*",
		"/GET":                         "neither",
		"GET":                          "neither",
		"/pets/get":                    "neither",
		"/pets/*":                      "neither",
		"/*/GET":                       "neither",
		"/{proxy+}/x/GET":              "not the last segment",
		"/x{proxy+}/GET":               "not the last segment",
		"/pets/{id/GET":                "a parameter has no end",
		"/pets/id}/GET":                "not a part of a path",
		"/pets/*/toys/GET":             "not a part of a path",
		"/pets?type=cat/GET":           "not a part of a path",
		"/pets//toys/GET":              "empty segment",
		"/pets/*//GET":                 "not a part of a path",
		"/pets/../toys/GET":            "not a clean path",
		"/./GET":                       "not a clean path",
		" /pets/GET":                   "a blank at its end",
		"/pets /GET":                   "a blank at its end",
		strings.Repeat("/a", 999):      "… (cut)",
		"/dev/pets/GET":                "begins with the stage /dev",
		"/dev/GET":                     "begins with the stage /dev",
		"~1dev~1pets/GET":              "begins with the stage /dev",
		"/pets/GTE":                    "GTE is no method of API Gateway's",
		"/pets/TRACE":                  "TRACE is no method of API Gateway's",
		"/pets/{id}/GET|/pets/{x}/GET": "are the same",
		"/pets/GET|pets/GET":           "are the same",
	} {
		methods := map[string]ratelimit.Limit{}
		for k := range strings.SplitSeq(key, "|") {
			methods[k] = ratelimit.Limit{Burst: 1}
		}
		stages := []usageplan.Stage{{API: "pets", Name: "dev", Methods: methods}}
		m := meter(t, usageplan.Config{})
		err := putting(usageplan.Plan{ID: "p", Name: "P", Stages: stages})(t.Context(), m)
		require.ErrorIs(t, err, usageplan.ErrInvalid, key)
		require.ErrorContains(t, err, want, key)
		_, err = usageplan.New(usageplan.Config{Client: caller, API: "pets", Stage: "dev", StageThrottles: stages})
		require.ErrorIs(t, err, usageplan.ErrInvalid, key)
		require.ErrorContains(t, err, want, key)
	}
	other := []usageplan.Stage{{API: "pets", Name: "prod", Methods: map[string]ratelimit.Limit{"/dev/pets/GET": {Burst: 1}}}}
	_, err := usageplan.New(usageplan.Config{Client: caller, API: "pets", Stage: "dev", StageThrottles: other})
	require.ErrorContains(t, err, "no request goes to pets:prod")
	_, err = usageplan.New(usageplan.Config{Client: caller, Route: usageplan.Pattern("pets", "dev"), StageThrottles: other})
	require.NoError(t, err, "a route source of its own may know it")
	_, err = usageplan.New(usageplan.Config{Client: caller, API: "pets", Stage: "dev", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: other}}})
	require.NoError(t, err, "a plan opens the stages of other meters too")
}

// With Config.Routes, New and changes refuse every throttle that fits none of the patterns.
func TestThrottleThatFitsNoRouteIsRefused(t *testing.T) {
	config := func(key string) usageplan.Config {
		return usageplan.Config{
			Client: caller, API: "pets", Stage: "dev", Routes: []string{"GET /dev/pets/{id}", "/dev/dev/toys", "POST /dev/", "PROPFIND /dev/files"},
			StageThrottles: []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{key: {Burst: 1}}}},
		}
	}
	for key, fits := range map[string]bool{
		"/pets/{petId}/GET": true, "/pets/{petId}/ANY": true, "/*/*": true, "/dev/toys/PUT": true, "/{proxy+}/POST": true, "//POST": true,
		"/files/PROPFIND": true, "/files/PROPPATCH": false,
		"/pets/{petId}/PUT": false, "/pets/{petId}/HEAD": false, "/pet/{petId}/GET": false, "/toys/PUT": false, "/{proxy+}/GET": false,
	} {
		_, err := usageplan.New(config(key))
		require.Equal(t, fits, err == nil, "%s: %v", key, err)
	}
	m, err := usageplan.New(config("/*/*"))
	require.NoError(t, err)
	p := usageplan.Plan{ID: "p", Name: "P", Stages: []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{"/pet/{id}/GET": {Burst: 1}}}}}
	require.ErrorContains(t, putting(p)(t.Context(), m), `plan "p": method "/pet/{id}/GET": fits none of Config.Routes`)

	_, err = usageplan.New(usageplan.Config{Client: caller, API: "pets", Stage: "dev", Routes: []string{"GET"}})
	require.ErrorContains(t, err, `Config.Routes: "GET" is not a pattern`)
	_, err = usageplan.New(usageplan.Config{Routes: []string{"/"}})
	require.ErrorContains(t, err, "Config.Routes are patterns of API and Stage")
}

// A bucket is kept when the parameter of its resource gets another name.
func TestBucketsSurviveNewName(t *testing.T) {
	plan := func(key string) *usageplan.Plan {
		return &usageplan.Plan{ID: "p", Name: "P", Stages: []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{key: {Burst: 1}}}}}
	}
	m := meter(t, usageplan.Config{Plans: []usageplan.Plan{*plan("/cats/{id}/GET")}, Default: "p"})
	q := getCats("a")
	q.Route.Resource = "/cats/{id}"
	require.Equal(t, noLayer, layer(t, m, q))
	putPlan(t, m, *plan("~1cats~1{catId}/GET"))
	require.Equal(t, planMethodThrottle, layer(t, m, q))
}

// A key that is accepted fits the pattern that is made from it.
func FuzzMethodKey(f *testing.F) {
	for _, key := range []string{"/pets/{id}/GET", "//GET", "/{proxy+}/ANY", "~1a~1{b}/PUT", "/*/*", "/a%2Fb/GET", "/{a:[0-9]{3}}/GET", "/caf%C3%A9/GET"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		p := usageplan.Plan{ID: "p", Name: "P", Stages: []usageplan.Stage{{API: "a", Name: "s", Methods: map[string]ratelimit.Limit{key: {Burst: 1}}}}}
		err := usageplan.ValidatePlan(p)
		if err != nil {
			require.Less(t, len(err.Error()), 4096)
			return
		}
		m, err := usageplan.New(usageplan.Config{Plans: []usageplan.Plan{p}, Default: "p"})
		require.NoError(t, err)
		i := strings.LastIndexByte(key, '/')
		if i < 1 || strings.Contains(key, "~") || key[0] != '/' || strings.HasPrefix(key, "//") {
			return
		}
		take := func() error {
			_, err := m.Take(t.Context(), usageplan.Request{Client: "c", Route: usageplan.Route{API: "a", Stage: "s", Resource: key[:i], Method: key[i+1:]}})
			return err
		}
		require.NoError(t, take())
		require.ErrorIs(t, take(), usageplan.ErrThrottled)
	})
}

func TestSubtreeKeepsItsSlash(t *testing.T) {
	for pattern, want := range map[string]string{
		"/Prod/":            "/{...}",
		"/":                 "/{...}",
		"/Prod/pets/":       "/pets/",
		"/Prod/pets/{$}":    "/pets",
		"/{$}":              "/",
		"/Prod/{proxy...}":  "/{proxy...}",
		"GET /Prod/a/{x}/b": "/a/{x}/b",
	} {
		r := httptest.NewRequest(http.MethodGet, "/x", nil)
		r.Pattern = pattern
		got, found := usageplan.Pattern("a", "Prod")(r)
		require.True(t, found)
		require.Equal(t, want, got.Resource, pattern)
	}
}
