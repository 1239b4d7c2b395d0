package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"time"
)

// A drive is one run against the example. The first check that fails ends it.
type drive struct {
	checks     int
	admitted   int // calls that the plan has counted
	requestIDs map[string]bool
}

func (d *drive) check(ok bool, format string, args ...any) {
	if !ok {
		must(fmt.Errorf(format, args...))
	}
	d.checks++
}

func must(err error) {
	if err != nil {
		fmt.Println("sdk:", err)
		os.Exit(1)
	}
}

// An answer is the part of a response that is compared.
type answer struct {
	status    int
	errorType string
	body      string
}

func refusal(status int, errorType, message string) answer {
	return answer{status, errorType, `{"message":"` + message + `"}`}
}

// midnight returns when the day of the quota ends.
func midnight() time.Time { return time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour) }

var requestID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

var client = &http.Client{
	Timeout:       10 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// send sends a request and checks what every answer must have.
func (d *drive) send(what string, r *http.Request) (answer, http.Header) {
	response, err := client.Do(r)
	must(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(err)
	id := response.Header.Get("X-Amzn-RequestId")
	d.check(requestID.MatchString(id) && !d.requestIDs[id], "%s: request id %q", what, id)
	d.requestIDs[id] = true
	d.check(response.Header.Get("Content-Type") == "application/json", "%s: %v", what, response.Header)
	return answer{response.StatusCode, response.Header.Get("X-Amzn-ErrorType"), string(body)}, response.Header
}

func (d *drive) answers(what string, r *http.Request, want answer) {
	got, _ := d.send(what, r)
	d.check(got == want, "%s: got %+v, want %+v", what, got, want)
}

// passes sends a call that the plan counts.
func (d *drive) passes(what string, r *http.Request) {
	d.answers(what, r, answer{status: http.StatusOK, body: points})
	d.admitted++
}

// matches sends a request that must be refused with 403 and a message that matches the pattern.
func (d *drive) matches(what string, r *http.Request, errorType, pattern string) {
	got, _ := d.send(what, r)
	d.check(got.status == http.StatusForbidden && got.errorType == errorType, "%s: got %+v, want %s", what, got, errorType)
	var body map[string]string
	must(json.Unmarshal([]byte(got.body), &body))
	message := regexp.MustCompile(`^` + pattern + `$`)
	d.check(len(body) == 1 && message.MatchString(body["message"]), "%s: got %s, want %s", what, got.body, message)
}

// used checks that the usage of the key is exactly what was admitted.
func (d *drive) used() {
	r := call{path: "/Prod/usage", key: key}.request()
	got, _ := d.send("usage", r)
	type standing struct {
		Plan                   string
		Limit, Used, Remaining int
		Reset                  string
	}
	var st standing
	d.check(got.status == http.StatusOK && json.Unmarshal([]byte(got.body), &st) == nil, "usage: %+v", got)
	want := standing{"RestrictUsage", limit, d.admitted, limit - d.admitted, midnight().Format(time.RFC3339)}
	d.check(st == want, "usage: got %+v, want %+v", st, want)
}
