package main

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"path"

	"github.com/tallygate/tallygate/sigv4"
)

// routed returns the mux with API Gateway's answer for unknown paths. A path that the mux would redirect, because it is
// not clean, is unknown too.
func routed(mux *http.ServeMux) http.Handler {
	missing := &sigv4.Error{Err: sigv4.ErrMissing}
	mux.Handle("/", missing)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Clean("/"+r.URL.Path) != r.URL.Path {
			missing.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// named gives every answer a request id, as API Gateway does. Refusals use the id that it set.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		w.Header().Set("x-amzn-RequestId", fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
		next.ServeHTTP(w, r)
	})
}
