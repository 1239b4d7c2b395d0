package ratelimit_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
)

func TestSetFieldsFormatsPolicyAndLimit(t *testing.T) {
	for _, test := range []struct {
		name          string
		fields        []ratelimit.Field
		policy, limit string
	}{
		{"whole", []ratelimit.Field{{"default", "", 100, time.Minute, 50, 30 * time.Second}}, `"default";q=100;w=60`, `"default";r=50;t=30`},
		{"rounded up", []ratelimit.Field{{"a", "", 1, time.Second / 2, 1, time.Second + 1}}, `"a";q=1;w=1`, `"a";r=1;t=2`},
		{"no window, full", []ratelimit.Field{{"a", "", 1, 0, 1, 0}}, `"a";q=1`, `"a";r=1;t=0`},
		{"never", []ratelimit.Field{{"a", "", 1, -1, 0, ratelimit.Never}}, `"a";q=1`, `"a";r=0`},
		{"in debt", []ratelimit.Field{{"a", "", -1, 0, -1, -time.Second}}, `"a";q=0`, `"a";r=0;t=0`},
		{"beyond an integer", []ratelimit.Field{{"a", "", 1 << 60, 0, 999_999_999_999_999, 0}}, `"a";q=999999999999999`, `"a";r=999999999999999;t=0`},
		{"to escape", []ratelimit.Field{{`a"b\c`, "", 1, 0, 1, 0}}, `"a\"b\\c";q=1`, `"a\"b\\c";r=1;t=0`},
		{"requests", []ratelimit.Field{{"a", "requests", 1, time.Minute, 1, 0}}, `"a";q=1;w=60`, `"a";r=1;t=0`},
		{
			"bytes",
			[]ratelimit.Field{{"peruser", "content-bytes", 65535, 10 * time.Second, 9, time.Second}},
			`"peruser";q=65535;qu="content-bytes";w=10`, `"peruser";r=9;t=1`,
		},
		{"own unit", []ratelimit.Field{{"a", `to"k\ens`, 1, 0, 1, 0}}, `"a";q=1;qu="to\"k\\ens"`, `"a";r=1;t=0`},
		{
			"units side by side",
			[]ratelimit.Field{{"a", "concurrent-requests", 1, 0, 1, 0}, {"b", "", 2, 0, 2, 0}},
			`"a";q=1;qu="concurrent-requests", "b";q=2`, `"a";r=1;t=0, "b";r=2;t=0`,
		},
		{"unnamable unit", []ratelimit.Field{{"a", "€", 1, 0, 1, 0}, {"b", "", 2, 0, 2, 0}}, `"b";q=2`, `"b";r=2;t=0`},
		{"several", []ratelimit.Field{{"a", "", 1, 0, 1, 0}, {"b", "", 2, time.Hour, 2, 0}}, `"a";q=1, "b";q=2;w=3600`, `"a";r=1;t=0, "b";r=2;t=0`},
		{"unnamable", []ratelimit.Field{{"ä", "", 1, 0, 1, 0}, {"", "", 1, 0, 1, 0}, {"a\x7f", "", 1, 0, 1, 0}, {"b", "", 2, 0, 2, 0}}, `"b";q=2`, `"b";r=2;t=0`},
	} {
		h := http.Header{}
		ratelimit.SetFields(h, test.fields...)
		require.Equal(t, http.Header{"Ratelimit-Policy": {test.policy}, "Ratelimit": {test.limit}}, h, test.name)
	}
	h := http.Header{}
	ratelimit.SetFields(h)
	ratelimit.SetFields(h, ratelimit.Field{})
	require.Empty(t, h)
}

func TestSetFieldsKeepsWhatOthersSet(t *testing.T) {
	h := http.Header{}
	set := func(name string, remaining int64) {
		ratelimit.SetFields(h, ratelimit.Field{Name: name, Quota: 9, Remaining: remaining, Reset: ratelimit.Never})
	}
	set("a", 3)
	first := h["Ratelimit"]
	set("ab", 2)
	set("a", 1)
	require.Equal(t, []string{`"a";r=1`, `"ab";r=2`}, h["Ratelimit"])
	require.Equal(t, []string{`"a";q=9`, `"ab";q=9`}, h["Ratelimit-Policy"])
	for _, name := range []string{`a;b`, `a;c`, `a"`, `a";`} { // what a line begins with is more than its name up to a semicolon
		set(name, 5)
	}
	set(`a;c`, 4)
	set(`a";`, 4)
	require.Equal(t, []string{
		`"a";r=1`, `"ab";r=2`, `"a;b";r=5`, `"a;c";r=4`, `"a\"";r=5`, `"a\";";r=4`,
	}, h["Ratelimit"])
	require.Equal(t, []string{`"a";r=3`}, first, "a slice that was handed out is not written to")

	shared := make([]string, 1, 4) // by the responses of another layer
	shared[0] = `"z";r=1`
	h["Ratelimit"] = shared
	set("a", 0)
	require.Equal(t, []string{`"z";r=1`, `"a";r=0`}, h["Ratelimit"])
	require.Equal(t, []string{`"z";r=1`, "", "", ""}, shared[:4])
}
