package sigv4_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// echoes are requests that an answer repeats.
var echoes = map[string]func(r *http.Request, long string){
	"date":       func(r *http.Request, long string) { r.Header.Set("X-Amz-Date", long) },
	"algorithm":  func(r *http.Request, long string) { replace("AWS4-HMAC-SHA256 ", long+" ")(r) },
	"credential": func(r *http.Request, long string) { replace("AKIDEXAMPLE/", long)(r) },
	"parameters": func(r *http.Request, long string) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+long) },
	"scope": func(r *http.Request, long string) {
		replace("20261124/eu-west-1/execute-api/aws4_request", long+"/"+long+"/"+long+"/"+long)(r)
	},
	"trace": func(r *http.Request, long string) {
		r.Header.Set("X-Amz-Meta", long)
		r.RequestURI += "/p" + strings.ReplaceAll(long, "\xff", "%ff") + "?q=" + strings.ReplaceAll(long, "\xff", "%ff")
		replace("host;", "host;")(r)
		replace("x-amz-date", "x-amz-date;x-amz-meta")(r)
	},
	"unsigned": func(r *http.Request, long string) {
		r.Header["X-Amz-"+strings.Repeat("A", len(long))] = []string{long}
	},
	"bearer": func(r *http.Request, long string) { r.Header.Set("Authorization", "Bearer "+long) },
}

// An answer repeats some 256 bytes of each field and says where it was cut.
func TestEchoesAreBounded(t *testing.T) {
	for name, change := range echoes {
		for _, unit := range []string{"\xff", "A", "é", "\x01", "<"} {
			c := euWest
			c.MaxHeaderBytes, c.Explain = -1, true
			r := signed(t, get("/Prod"), sigv4.SignerConfig{})
			change(r, strings.Repeat(unit, 100_000))
			_, err := newVerifier(t, c).VerifyAt(r, now)
			e, ok := errors.AsType[*sigv4.Error](err)
			require.True(t, ok, name)
			require.Less(t, len(e.ErrorMessage()), 3000, "%s %q", name, unit)
			require.Less(t, len(e.Error()), 6000, "%s %q", name, unit)
			for form, answer := range map[string]func(http.ResponseWriter, *http.Request, error){
				"API Gateway": func(w http.ResponseWriter, r *http.Request, _ error) { e.ServeHTTP(w, r) },
				"S3":          sigv4.S3XML,
			} {
				w := httptest.NewRecorder()
				answer(w, r, err)
				require.Less(t, w.Body.Len(), 8000, "%s %q %s", name, unit, form)
			}
			if unit == "A" && strings.Contains("date algorithm credential parameters scope trace", name) {
				require.Contains(t, e.ErrorMessage(), strings.Repeat("A", 150), name)
				require.Contains(t, e.ErrorMessage(), "… (cut)", name)
			}
		}
	}
	r := get("/" + strings.Repeat("A", 100_000))
	w := httptest.NewRecorder()
	sigv4.S3XML(w, r, &sigv4.Error{Err: sigv4.ErrMissing})
	require.Less(t, w.Body.Len(), 1000)
	require.Contains(t, w.Body.String(), strings.Repeat("A", 255)+"… (cut)")
}

func TestClipCutsBetweenCharacters(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "short": "short", "a\xffb": "a?b",
		strings.Repeat("a", 256):           strings.Repeat("a", 256),
		strings.Repeat("a", 257):           strings.Repeat("a", 256) + "… (cut)",
		strings.Repeat("a", 255) + "éé":    strings.Repeat("a", 255) + "… (cut)",
		strings.Repeat("a", 253) + "😀😀":    strings.Repeat("a", 253) + "… (cut)",
		strings.Repeat("\xbf", 300):        "?… (cut)",
		strings.Repeat("a", 254) + "\xc3é": strings.Repeat("a", 254) + "?… (cut)",
	} {
		require.Equal(t, want, sigv4.Clip(text))
	}
}
