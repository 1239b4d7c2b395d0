package admin

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJSONIsReadStrictly(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{``, "unexpected EOF"},
		{`{"a": 1`, "unexpected EOF"},
		{`{"a": 1} {}`, "data after the value"},
		{`{"a": 1, "a": 1}`, `"a" is given twice`},
		{`[{"b": {"a": 1, "\u0061": 2}}]`, `"a" is given twice`},
		{"{\"a\": \"\xff\"}", "not UTF-8"},
		{`{"a": "\ud800"}`, "not UTF-8"},
		{`{"\ud800": 1, "\ud801": 2}`, "not UTF-8"},
		{`{"a": "\ude00\ud83d"}`, "not UTF-8"},
		{`{"a": "\ud83d\\ude00"}`, "not UTF-8"},
		{`{"a": "\ud83d`, "not UTF-8"},
		{strings.Repeat("[", 100), "nested too deeply"},
		{`{a: 1}`, "invalid character"},
		{`[1,]`, "invalid character"},
	} {
		_, err := parseJSON([]byte(tt.text))
		require.ErrorContains(t, err, tt.want, tt.text)
	}
}

// The first mistake counts. Reading goes on after it, and what is read is zero.
func TestNodesTellTheFirstMistake(t *testing.T) {
	for _, tt := range []struct {
		text string
		read func(node)
		want string
	}{
		{`{"Name": "a"}`, func(n node) { n.known("name") }, "$.Name is not a known field"},
		{`{"a": 1}`, func(n node) { n.field("a").text() }, "$.a is not a string"},
		{`{"a": {}}`, func(n node) { n.field("a").list() }, "$.a is not a list"},
		{`{"a": "true"}`, func(n node) { n.field("a").truth() }, "$.a is not true or false"},
		{`{"a": {"b": null}}`, func(n node) { n.field("a").texts() }, "$.a.b is not a string"},
		{`{"a": {"b": 5, "c": "d"}}`, func(n node) { n.field("a").texts() }, "$.a.b is not a string"},
		{`[{"a": 1.5}]`, func(n node) { n.list()[0].field("a").whole() }, "$[0].a is not a whole number, or out of range"},
		{`[9223372036854775808]`, func(n node) { n.list()[0].whole() }, "$[0] is not a whole number, or out of range"},
		{`[1e400]`, func(n node) { n.list()[0].number() }, "$[0] is out of range"},
		{`5`, func(n node) { n.names(); n.list(); n.text() }, "$ is not an object"},
	} {
		n, err := parseJSON([]byte(tt.text))
		require.NoError(t, err)
		tt.read(n)
		require.EqualError(t, n.finish(), tt.want)
	}
}

func TestEscapesOfCharactersAreRead(t *testing.T) {
	for text, want := range map[string]string{
		`"\ud83d\ude00\uD83D\uDE00"`: "\U0001F600\U0001F600", `"\\ud800"`: `\ud800`, `"\ufffd\u00e9\n"`: "\ufffdé\n", `"\\\\"`: `\\`,
	} {
		n, err := parseJSON([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, want, n.text())
	}
}

func TestNodesReadValues(t *testing.T) {
	n, err := parseJSON([]byte(`{"a": null, "b": 5.0, "c": 0.5, "d": 9007199254740993, "e": {"f": "g"}, "h": true}`))
	require.NoError(t, err)
	require.True(t, n.has("a"))
	require.False(t, n.has("A"))
	require.True(t, n.field("a").isNull())
	require.Empty(t, n.field("a").text())
	require.EqualValues(t, 5, n.field("b").whole())
	require.Equal(t, 0.5, n.field("c").number())
	require.Equal(t, int64(9007199254740993), n.field("d").whole())
	require.Equal(t, map[string]string{"f": "g"}, n.field("e").texts())
	require.True(t, n.field("h").truth())
	require.NoError(t, n.finish())
}
