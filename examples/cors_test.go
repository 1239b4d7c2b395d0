package examples_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/tallygate/tallygate/apikey"
)

// cors lets the pages of one origin call an API with a key. Real services take a package for it, such as
// github.com/jub0bs/cors or github.com/rs/cors; what matters here is where it stands.
func cors(origin string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		if r.Header.Get("Origin") == origin {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", "Retry-After, RateLimit, RateLimit-Policy, X-Amzn-RequestId")
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			h.Set("Access-Control-Allow-Headers", "x-api-key, authorization")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// browse sends what a browser sends before and with a call from a page of another origin.
func browse(h http.Handler, key string) {
	preflight := httptest.NewRequest(http.MethodOptions, "/Prod/loyalty/1", nil)
	preflight.Header.Set("Origin", "https://shop.example")
	preflight.Header.Set("Access-Control-Request-Method", "GET")
	preflight.Header.Set("Access-Control-Request-Headers", "x-api-key")
	call := httptest.NewRequest(http.MethodGet, "/Prod/loyalty/1", nil)
	call.Header.Set("Origin", "https://shop.example")
	call.Header.Set("x-api-key", key)
	for _, r := range []*http.Request{preflight, call} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Printf("%s %d %q\n", r.Method, w.Code, w.Header().Get("Access-Control-Allow-Origin"))
	}
}

func registered() (*apikey.Verifier, error) {
	return apikey.New(apikey.Config{Keys: []apikey.Entry{{Key: apikey.Key{ID: "fr92a5qpbj", Enabled: true}, Value: keyValue}}})
}

var points = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"points":900}`) })

// CORS goes around all guards. A preflight request carries no credential, and a page can read a refusal only if it has
// the CORS fields.
func Example_cors() {
	keys, err := registered()
	if err != nil {
		fmt.Println(err)
		return
	}
	h := cors("https://shop.example", keys.Handler(points))
	browse(h, keyValue)
	browse(h, "unknown")
	// Output:
	// OPTIONS 204 "https://shop.example"
	// GET 200 "https://shop.example"
	// OPTIONS 204 "https://shop.example"
	// GET 403 "https://shop.example"
}

// A mistake: CORS behind a guard. The preflight request is refused, so the browser never sends the call.
func Example_incorrectCORSInside() {
	keys, err := registered()
	if err != nil {
		fmt.Println(err)
		return
	}
	browse(keys.Handler(cors("https://shop.example", points)), keyValue)
	// Output:
	// OPTIONS 403 ""
	// GET 200 "https://shop.example"
}
