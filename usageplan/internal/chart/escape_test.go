package chart_test

import (
	"html"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan/internal/chart"
)

func TestEscapeIsThatOfPackageHTML(t *testing.T) {
	all := make([]rune, 0, 0x300)
	for c := range rune(0x300) {
		all = append(all, c)
	}
	for _, text := range []string{"", `<a href="x" title='y'>&amp;</a>`, string(all), "\xff<\xfe"} {
		require.Equal(t, html.EscapeString(text), chart.Escape(text))
	}
}
