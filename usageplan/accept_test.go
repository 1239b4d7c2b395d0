package usageplan_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan"
)

func accept(fields ...string) http.Header { return http.Header{"Accept": fields} }

func TestAcceptChoosesTheForm(t *testing.T) {
	const (
		firefox = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
		chrome  = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
	)
	for _, tt := range []struct {
		name   string
		fields []string
		html   bool
	}{
		{"none", nil, false},
		{"empty", []string{""}, false},
		{"curl", []string{"*/*"}, false},
		{"axios", []string{"application/json, text/plain, */*"}, false},
		{"Firefox", []string{firefox}, true},
		{"Chrome", []string{chrome}, true},
		{"Java's HttpURLConnection", []string{"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"}, true},
		{"botocore", []string{"application/json"}, false},
		{"HTML", []string{"text/html"}, true},
		{"any case", []string{"TEXT/Html"}, true},
		{"any text", []string{"text/*"}, true},
		{"low, but the only one", []string{"text/html;q=0.001"}, true},
		{"refused", []string{"text/html;q=0"}, false},
		{"both refused", []string{"text/html;q=0, application/json;q=0"}, false},
		{"neither", []string{"image/png"}, false},
		{"equal", []string{"text/html, application/json"}, false},
		{"equal by one range", []string{"text/html;q=0.5, */*;q=0.5"}, false},
		{"JSON is better", []string{"text/html;q=0.8, application/json"}, false},
		{"HTML is better", []string{"application/json;q=0.8, text/html;q=0.801"}, true},
		{"the fourth digit does not count", []string{"application/json;q=0.8, text/html;q=0.8009"}, false},
		{"the more specific range decides", []string{"text/html;q=0.1, text/*, */*;q=0.5"}, false},
		{"wherever it stands", []string{"*/*;q=0.5, text/*, text/html;q=0.6"}, true},
		{"JSON by its own kind", []string{"*/*, application/*;q=0.3"}, true},
		{"JSON refused", []string{"*/*, application/json;q=0"}, true},
		{"the best of equals", []string{"text/html;q=0.2, */*;q=0.5, text/html;q=0.9"}, true},
		{"two fields", []string{"*/*;q=0.5", "text/html"}, true},
		{"our charset", []string{"text/html;charset=UTF-8"}, true},
		{"our charset, quoted", []string{`text/html; charset="utf-8"; q=0.4`}, true},
		{"another charset", []string{"text/html;charset=latin1"}, false},
		{"a level we do not have", []string{"text/html;level=1"}, false},
		{"the charset is more specific", []string{"text/html;q=0.9, text/html;charset=utf-8;q=0.1, */*;q=0.5"}, false},
		{"charset of JSON", []string{"application/json;charset=utf-8, text/html"}, false},
		{"q before a parameter", []string{"text/html;q=0.3;charset=utf-8, */*;q=0.4"}, false},
		{"comma between quotes", []string{`image/x;a=",text/html,"`}, false},
		{"quoted pair", []string{`image/x;a="\",text/html,", text/html`}, true},
		{"open quote", []string{`text/html, image/x;a=", application/json`}, true},
		{"empty elements", []string{", ,text/html, ,"}, true},
		{"malformed element", []string{"text/html;q=2, application/json;q=0.1"}, false},
		{"malformed weights", []string{"text/html;q=1.001", "text/html;q=-1", "text/html;q=", "text/html;q=.", "text/html;q=1e0", "text/html;q=0,5"}, false},
		{"weights in full", []string{"application/json;q=0.999, text/html;q=1.000"}, true},
		{"weights without digits", []string{"application/json;q=0., text/html;q=1."}, true},
		{"q twice", []string{"text/html;q=1;q=0.1"}, false},
		{"no subtype", []string{"text"}, false},
		{"any type of HTML", []string{"*/html"}, false},
		{"too long", []string{"text/html" + strings.Repeat(",a/b", 1024)}, false},
	} {
		require.Equal(t, tt.html, usageplan.PrefersHTML(accept(tt.fields...)), tt.name)
	}
}

// For random lists, the choice is that of a table of ranges from the most specific to the least, in any order.
func TestAcceptIsDecidedByTheMostSpecificRange(t *testing.T) {
	html := []string{"text/html;charset=utf-8", "text/html", "text/*", "*/*"}
	json := []string{"application/json;charset=utf-8", "application/json", "application/*", "*/*"}
	all := slices.Concat(html, json, []string{"image/png", "text/html;level=1", "text/plain"})
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		best := make(map[string]int)
		var list []string
		for range random.IntN(7) {
			name, q := all[random.IntN(len(all))], random.IntN(1001)
			if last, listed := best[name]; !listed || q > last {
				best[name] = q
			}
			list = append(list, fmt.Sprintf("%s;q=%d.%03d", name, q/1000, q%1000))
		}
		of := func(names []string) int {
			for _, name := range names {
				if q, listed := best[name]; listed {
					return q
				}
			}
			return 0
		}
		want := of(html) > of(json)
		require.Equal(t, want, usageplan.PrefersHTML(accept(strings.Join(list, ", "))), list)
		require.Equal(t, want, usageplan.PrefersHTML(accept(list...)), list)
	}
}

func FuzzAccept(f *testing.F) {
	for _, s := range []string{
		"", "*/*", "text/html,*/*;q=0.8", `text/html;a="\",";q=0.3`, "text/html;q=.2, *; q=.2", ",,;q=1,text/*", "text/html;charset*0=utf-8",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		html := usageplan.PrefersHTML(accept(s))
		require.Equal(t, html, usageplan.PrefersHTML(accept("", s, "image/png;q=0.5")), "fields that say nothing of either")
		if html {
			lower := strings.ToLower(s)
			require.True(t, strings.Contains(lower, "text/") || strings.Contains(lower, "*/*"))
		}
		require.False(t, usageplan.PrefersHTML(accept(s, "application/json;charset=utf-8")), "nothing is better than 1")
	})
}
