package sigv4_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/tallygate/tallygate/sigv4"
)

// A server guards its routes, and a client signs what it sends.
func Example() {
	verifier, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sigv4.Keyring{
			"AKIDEXAMPLE": {Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Principal: "julianwood"},
		}.Key,
		Regions: []string{"eu-west-1"},
	})
	if err != nil {
		panic(err)
	}
	server := httptest.NewUnstartedServer(verifier.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := sigv4.ID(r)
		fmt.Fprintln(w, "Hello,", id)
	})))
	server.Config.ReadHeaderTimeout = 10 * time.Second
	server.Config.ReadTimeout = time.Minute // for the header and the body, which is read before it is known who sends it
	server.Config.IdleTimeout = 2 * time.Minute
	server.Start()
	defer server.Close()

	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}, nil
		},
		Region: "eu-west-1",
	})
	if err != nil {
		panic(err)
	}
	signed := &http.Client{Transport: signer.Transport(nil)}
	for _, client := range []*http.Client{signed, http.DefaultClient} {
		response, err := client.Get(server.URL + "/Prod/loyalty")
		if err != nil {
			panic(err)
		}
		var text strings.Builder
		_ = response.Write(&text)
		_, body, _ := strings.Cut(text.String(), "\r\n\r\n")
		fmt.Println(response.StatusCode, strings.TrimSpace(body))
	}
	// Output:
	// 200 Hello, julianwood
	// 403 {"message":"Missing Authentication Token"}
}

// credentials are the ones that the examples sign with.
func credentials(context.Context) (sigv4.Credentials, error) {
	return sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}, nil
}

func exampleSigner() *sigv4.Signer {
	s, err := sigv4.NewSigner(sigv4.SignerConfig{Credentials: credentials, Region: "eu-west-1"})
	if err != nil {
		panic(err)
	}
	return s
}

func exampleVerifier(c sigv4.VerifierConfig) *sigv4.Verifier {
	c.Keys = sigv4.Keyring{"AKIDEXAMPLE": {Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}}.Key
	c.Regions = []string{"eu-west-1"}
	v, err := sigv4.NewVerifier(c)
	if err != nil {
		panic(err)
	}
	return v
}

func ExampleNewVerifier() {
	_, err := sigv4.NewVerifier(sigv4.VerifierConfig{Services: []string{""}, PathPrefix: "Prod"})
	fmt.Println(err)
	// Output:
	// sigv4: Keys is nil
	// sigv4: Regions is empty or names no region
	// sigv4: Services names no service
	// sigv4: PathPrefix is not a clean path, escaped, that begins with a slash and does not end in one
}

func ExampleVerifier_Verify() {
	r := httptest.NewRequest("GET", "/Prod/loyalty?customer=7", nil)
	if err := exampleSigner().Sign(r); err != nil {
		panic(err)
	}
	verifier := exampleVerifier(sigv4.VerifierConfig{})
	id, err := verifier.Verify(r)
	fmt.Println(id.AccessKeyID, id.Region, id.Service, err)

	r.RequestURI = "/Prod/loyalty?customer=8"
	_, err = verifier.Verify(r)
	fmt.Println(err, errors.Is(err, sigv4.ErrSignatureMismatch))
	// Output:
	// AKIDEXAMPLE eu-west-1 execute-api <nil>
	// sigv4: the signature does not match (access key "AKIDEXAMPLE") true
}

func ExampleVerifier_Present() {
	verifier := exampleVerifier(sigv4.VerifierConfig{})
	r := httptest.NewRequest("GET", "/", nil)
	fmt.Println(verifier.Present(r))
	r.Header.Set("Authorization", "Bearer eyJhbGciOi")
	fmt.Println(verifier.Present(r))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=…")
	fmt.Println(verifier.Present(r))
	// Output:
	// false
	// false
	// true
}

// Other layers that need the request with its identity, such as a chain of several mechanisms, call Authenticate.
func ExampleVerifier_Authenticate() {
	r := httptest.NewRequest("GET", "/Prod/loyalty", nil)
	if err := exampleSigner().Sign(r); err != nil {
		panic(err)
	}
	r, err := exampleVerifier(sigv4.VerifierConfig{}).Authenticate(r)
	if err != nil {
		panic(err)
	}
	id, ok := sigv4.FromContext(r.Context())
	fmt.Println(id.AccessKeyID, id.Presigned, ok)
	// Output: AKIDEXAMPLE false true
}

// Authenticate returns no request with an error, so that a caller who forgets to look at the error serves nothing:
// using the request panics, which net/http answers by closing the connection.
func Example_incorrectIgnoredError() {
	verifier := exampleVerifier(sigv4.VerifierConfig{})
	handler := func(_ http.ResponseWriter, r *http.Request) {
		r, _ = verifier.Authenticate(r) // wrong: the error is not looked at
		id, _ := sigv4.ID(r)
		fmt.Println("serving", id)
	}
	defer func() { fmt.Println("served nothing:", recover() != nil) }()
	handler(httptest.NewRecorder(), httptest.NewRequest("GET", "/Prod/loyalty", nil))
	// Output: served nothing: true
}

// A dry run before enforcement: refusals are logged and every request is served, but one without a valid signature has
// no identity.
func ExampleVerifierConfig_allowDespite() {
	verifier := exampleVerifier(sigv4.VerifierConfig{
		AllowDespite: func(r *http.Request, err error) bool {
			fmt.Printf("log: %s %s would be refused: %v\n", r.Method, r.URL.Path, err)
			return true
		},
	})
	h := verifier.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, known := sigv4.ID(r)
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "known %t, body %q", known, body)
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/Prod/loyalty", strings.NewReader("900 points")))
	fmt.Println(w.Code, w.Body)
	// Output:
	// log: POST /Prod/loyalty would be refused: sigv4: no signature is present
	// 200 known false, body "900 points"
}

// A recorded request is verified at the instant at which it came.
func ExampleVerifier_VerifyAt() {
	came := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	r := httptest.NewRequest("GET", "/Prod/loyalty", nil)
	if err := exampleSigner().SignAt(r, came); err != nil {
		panic(err)
	}
	verifier := exampleVerifier(sigv4.VerifierConfig{MaxAge: time.Minute})
	_, err := verifier.VerifyAt(r, came.Add(time.Minute))
	fmt.Println(err)
	_, err = verifier.VerifyAt(r, came.Add(time.Minute+time.Second))
	fmt.Println(err.(*sigv4.Error).ErrorMessage())
	// Output:
	// <nil>
	// Signature expired: 20261124T060000Z is now earlier than 20261124T060001Z (20261124T060101Z - 1 min.)
}

// A handler is tested without signing anything.
func ExampleNewContext() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		id, _ := sigv4.FromContext(r.Context())
		fmt.Fprint(w, "Hello, ", id.Principal)
	}
	r := httptest.NewRequest("GET", "/", nil)
	w := httptest.NewRecorder()
	handler(w, r.WithContext(sigv4.NewContext(r.Context(), sigv4.Identity{Principal: "julianwood"})))
	fmt.Println(w.Body)
	// Output: Hello, julianwood
}

// An object store answers as S3 does.
func ExampleS3XML() {
	verifier := exampleVerifier(sigv4.VerifierConfig{S3: true, ErrorHandler: sigv4.S3XML})
	w := httptest.NewRecorder()
	verifier.Handler(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", "/bucket/key", nil))
	var document struct{ Code, Resource string }
	if err := xml.Unmarshal(w.Body.Bytes(), &document); err != nil {
		panic(err)
	}
	fmt.Println(w.Code, document.Code, document.Resource)
	// Output: 403 AccessDenied /bucket/key
}

// A client sends nothing unsigned.
func ExampleSigner_Transport() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		algorithm, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		fmt.Fprint(w, algorithm)
	}))
	defer server.Close()
	client := &http.Client{Transport: exampleSigner().Transport(nil)}
	response, err := client.Get(server.URL)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	fmt.Println(string(body), err)
	// Output: AWS4-HMAC-SHA256 <nil>
}

// A reverse proxy signs what it passes on. The body of such a request can be read only once, so that MaxSpool must be
// set.
func ExampleSigner_Transport_reverseProxy() {
	server := httptest.NewServer(exampleVerifier(sigv4.VerifierConfig{}).Handler(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })))
	defer server.Close()
	target, err := url.Parse(server.URL)
	if err != nil {
		panic(err)
	}
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{Credentials: credentials, Region: "eu-west-1", MaxSpool: 10 << 20})
	if err != nil {
		panic(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: signer.Transport(nil),
	})
	defer proxy.Close()
	response, err := http.Post(proxy.URL+"/Prod/loyalty", "text/plain", strings.NewReader("900 points"))
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	fmt.Println(response.StatusCode, string(body), err)
	// Output: 200 900 points <nil>
}

// What a signature is made of, to be compared with what the server says it should be ([VerifierConfig].Explain).
func ExampleNewSigner_trace() {
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: credentials, Region: "eu-west-1",
		Trace: func(_ *http.Request, t sigv4.Trace) { fmt.Println(t.CanonicalRequest) },
	})
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest("GET", "/Prod/caf%C3%A9?b=2&a=1", nil)
	if err := signer.SignAt(r, time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)); err != nil {
		panic(err)
	}
	// Output:
	// GET
	// /Prod/caf%25C3%25A9
	// a=1&b=2
	// host:example.com
	// x-amz-date:20261124T060000Z
	//
	// host;x-amz-date
	// e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
}

// A service that logs its refusals and answers in a form of its own.
func ExampleVerifier_Handler() {
	verifier := exampleVerifier(sigv4.VerifierConfig{
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			fmt.Println("log:", err)
			http.Error(w, "who are you?", err.(*sigv4.Error).StatusCode())
		},
	})
	w := httptest.NewRecorder()
	verifier.Handler(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", "/Prod/loyalty", nil))
	fmt.Print(w.Code, " ", w.Body)
	// Output:
	// log: sigv4: no signature is present
	// 403 who are you?
}

// A metric may have the closed words of an event as labels. The client and the error belong in the log.
func ExampleVerifierConfig_observe() {
	verifier := exampleVerifier(sigv4.VerifierConfig{
		Observe: func(_ context.Context, e sigv4.Event) {
			fmt.Printf("count: %s %s %q\n", e.Layer, e.Outcome, e.Reason)
			fmt.Printf("log: client %q, request %s, %v\n", e.Client, e.RequestID, e.Err)
		},
		RequestID: func(*http.Request) string { return "c1d2" }, // such as the id of the trace
	})
	h := verifier.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequest("GET", "/Prod/loyalty", nil)
	h.ServeHTTP(httptest.NewRecorder(), r)
	if err := exampleSigner().Sign(r); err != nil {
		panic(err)
	}
	h.ServeHTTP(httptest.NewRecorder(), r)
	// Output:
	// count: sigv4 refused "missing"
	// log: client "", request c1d2, sigv4: no signature is present
	// count: sigv4 allowed ""
	// log: client "AKIDEXAMPLE", request c1d2, <nil>
}

// The key server of a company hands out signing keys, which are valid for one day, region and service. The secrets
// never leave it.
func ExampleDeriveKey() {
	keyServer := func(_ context.Context, s sigv4.Scope) (sigv4.Key, error) {
		if s.AccessKeyID != "AKIDEXAMPLE" {
			return sigv4.Key{}, sigv4.ErrUnknownKey
		}
		signing := sigv4.DeriveKey("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", s.Date, s.Region, s.Service)
		return sigv4.Key{SigningKey: signing, Principal: "julianwood"}, nil
	}
	verifier, err := sigv4.NewVerifier(sigv4.VerifierConfig{Keys: keyServer, Regions: []string{"eu-west-1"}})
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest("GET", "/Prod/loyalty", nil)
	if err := exampleSigner().Sign(r); err != nil {
		panic(err)
	}
	r, err = verifier.Authenticate(r)
	if err != nil {
		panic(err)
	}
	fmt.Println(sigv4.ID(r))
	// Output: julianwood true
}

func ExampleSigner_Sign() {
	r, err := http.NewRequest("POST", "https://api.example.com/Prod/loyalty", strings.NewReader(`{"points":900}`))
	if err != nil {
		panic(err)
	}
	if err := exampleSigner().SignAt(r, time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)); err != nil {
		panic(err)
	}
	fmt.Println(strings.ReplaceAll(r.Header.Get("Authorization"), ", ", ",\n"))
	fmt.Println(r.Header.Get("X-Amz-Date"))
	// Output:
	// AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261124/eu-west-1/execute-api/aws4_request,
	// SignedHeaders=host;x-amz-content-sha256;x-amz-date,
	// Signature=37dcc474d35e3161bf8b35d58cb7cdf6c5ed39465026e35581238b363cfe9d8b
	// 20261124T060000Z
}

func ExampleSigner_Presign() {
	r, err := http.NewRequest("GET", "https://api.example.com/Prod/loyalty", nil)
	if err != nil {
		panic(err)
	}
	presigned, err := exampleSigner().PresignAt(r, time.Minute, time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC))
	if err != nil {
		panic(err)
	}
	u, _ := url.Parse(presigned)
	fmt.Println(u.Query().Get("X-Amz-Credential"), u.Query().Get("X-Amz-Expires"))
	// Output: AKIDEXAMPLE/20261124/eu-west-1/execute-api/aws4_request 60
}

// Secrets do not show in logs.
func ExampleSecret() {
	c, _ := credentials(context.Background())
	fmt.Printf("%v %+v %q\n", c, c, c.Secret)
	slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})).Info("rotated", "secret", c.Secret)
	// Output:
	// {AKIDEXAMPLE REDACTED REDACTED} {AccessKeyID:AKIDEXAMPLE Secret:REDACTED SessionToken:REDACTED} REDACTED
	// level=INFO msg=rotated secret=REDACTED
}

// X-Forwarded-Host is not the host that the client has signed, whatever it says: anyone can send it. Behind a proxy
// that replaces the Host header, name the host.
func Example_incorrectForwardedHost() {
	r := httptest.NewRequest("GET", "/Prod/loyalty", nil)
	r.Host = "api.example.com"
	if err := exampleSigner().Sign(r); err != nil {
		panic(err)
	}
	r.Host = "10.0.0.7:8080" // the proxy's doing
	r.Header.Set("X-Forwarded-Host", "api.example.com")

	_, err := exampleVerifier(sigv4.VerifierConfig{}).Verify(r)
	fmt.Println(err)
	_, err = exampleVerifier(sigv4.VerifierConfig{ExternalHost: "api.example.com"}).Verify(r)
	fmt.Println(err)
	// Output:
	// sigv4: the signature does not match (access key "AKIDEXAMPLE")
	// <nil>
}

// A header that is set after signing is not part of the signature, and the verifier refuses the request where the
// header's name begins with X-Amz-.
func Example_incorrectHeaderAfterSigning() {
	r := httptest.NewRequest("PUT", "/Prod/loyalty", nil)
	if err := exampleSigner().Sign(r); err != nil {
		panic(err)
	}
	r.Header.Set("X-Amz-Copy-Source", "/someone/else")
	_, err := exampleVerifier(sigv4.VerifierConfig{}).Verify(r)
	fmt.Println(err)
	// Output: sigv4: a header that must be signed is not: "x-amz-copy-source" (access key "AKIDEXAMPLE")
}
