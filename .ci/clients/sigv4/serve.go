package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
)

// token is the session token that the clients send when they use temporary credentials.
const token = "IQoJb3JpZ2luX2VjE/+=="

// serve serves API Gateway's control plane and its APIs at the first address and S3 at the second. The third address
// serves the same as the first, but requires temporary credentials.
func serve() error {
	api := http.NewServeMux()
	api.HandleFunc("GET /usageplans", write(`{"item":[{"id":"jcfq33","name":"RestrictUsage"}]}`))
	api.HandleFunc("POST /usageplans", func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err != nil || len(body) == 0 {
			http.Error(w, "no body", http.StatusInternalServerError)
			return
		}
		write(`{"id":"jcfq33","name":"RestrictUsage"}`)(w, r)
	})
	api.HandleFunc("GET /usageplans/{id}/usage", write(`{"usagePlanId":"jcfq33","startDate":"2026-11-01","endDate":"2026-11-24","values":{}}`))
	api.HandleFunc("/Prod/", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })

	bucket := http.NewServeMux()
	bucket.HandleFunc("PUT /", func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err != nil || string(body) != "hello world\n" {
			http.Error(w, "not the body", http.StatusInternalServerError)
			return
		}
		w.Header().Set("ETag", `"0"`)
	})
	bucket.HandleFunc("GET /", write("hello world\n"))

	services := []string{"apigateway", "execute-api"}
	failed := make(chan error)
	for _, h := range []http.Handler{
		verifier(false, "", services...).Handler(api),
		verifier(true, "").Handler(unclean{bucket}),
		verifier(false, token, services...).Handler(api),
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		fmt.Println("http://" + l.Addr().String())
		go func() { failed <- http.Serve(l, h) }()
	}
	return <-failed
}

// unclean serves object keys with empty segments, which a ServeMux would redirect to a path without them.
type unclean struct{ http.Handler }

func (u unclean) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.URL.Path, r.URL.RawPath = "/", ""
	u.Handler.ServeHTTP(w, r)
}

func write(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, text)
	}
}
