package clientip_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/tallygate/tallygate/ratelimit/clientip"
)

// BenchmarkWorst: the headers that cost most to read. The floor is what net/http takes to read a request with them.
func BenchmarkWorst(b *testing.B) {
	for name, lines := range map[string][]string{
		"commas":  {strings.Repeat(",", 500_000)},
		"lines":   strings.Split(strings.Repeat(",", 20_000), ","),
		"blanks":  {"a" + strings.Repeat(" ", 500_000) + "a"},
		"hops":    {strings.Repeat("10.0.0.1,", 32)},
		"for":     {strings.Repeat("for=10.0.0.1,", 32)},
		"escapes": {strings.Repeat(`a="\\\"",`, 800)},
		"quoted":  {`for=192.0.2.1;a="` + strings.Repeat(`\"`, 4000) + `"`},
		"pairs":   {strings.Repeat("a=b;", 2000)},
		"values":  {`for="` + strings.Repeat(`\1`, 4000) + `"`},
	} {
		for _, header := range []string{"Forwarded", "X-Forwarded-For"} {
			b.Run("input="+name+"/header="+strings.ToLower(header), func(b *testing.B) { worst(b, header, lines) })
		}
	}
}

func worst(b *testing.B, header string, lines []string) {
	var text strings.Builder
	text.WriteString("GET / HTTP/1.1\r\nHost: a\r\n")
	for _, l := range lines {
		text.WriteString(header + ": " + l + "\r\n")
	}
	text.WriteString("\r\n")
	b.Run("impl=floor", func(b *testing.B) {
		for b.Loop() {
			if _, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text.String()))); err != nil {
				b.Fatal(err)
			}
		}
	})
	r, err := clientip.New(clientip.Config{Header: header, Trusted: proxies})
	if err != nil {
		b.Fatal(err)
	}
	req := request("10.0.0.1:1", header, lines...)
	b.Run("impl=ours", func(b *testing.B) {
		for b.Loop() {
			_, _ = r.Addr(req)
		}
	})
}
