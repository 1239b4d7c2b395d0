// Command sdk calls the loyalty example with the signer of aws-sdk-go-v2, in the header and presigned.
package main

import (
	"fmt"
	"math"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// What the example's plan admits: a number of calls a day, and one call per pace.
const (
	limit = 10
	pace  = time.Second
)

const (
	points   = `{"points":900,"level":"bronze","remainingPoints":49100}`
	stranger = "/Prod/loyalty/no%20such%2Bcustomer%C3%A9" // the signature covers the path as it is encoded
	query    = "?lang=de&Zone=1&a-b=%2F&a=2&a=1&a=~x%20y" // not sorted, with encoded and repeated parameters
	mismatch = "The request signature we calculated does not match the signature you provided. Check your AWS Secret " +
		"Access Key and signing method. Consult the service documentation for details."
)

func main() {
	d := &drive{requestIDs: map[string]bool{}}
	d.routes()
	d.tokens()
	for _, s := range schemes {
		d.refusals(s)
		d.tampering(s)
		d.dates(s)
	}
	d.used()
	d.calls()
	d.burst()
	d.quota()
	fmt.Printf("sdk: %d checks passed\n", d.checks)
}

// routes sends requests without a signature, and one to a path without a route.
func (d *drive) routes() {
	missing := refusal(http.StatusForbidden, "MissingAuthenticationTokenException", "Missing Authentication Token")
	d.answers("unsigned", loyal().request(), missing)
	nowhere := call{path: "/Prod/nowhere"}
	d.answers("no route", nowhere.request(), missing)
	nowhere.credentials = credentials
	d.answers("no route, signed", inHeader(nowhere), missing)

	bearer := loyal().request()
	bearer.Header.Set("Authorization", "Bearer "+os.Getenv("TOKEN"))
	d.matches("bearer token", bearer, "IncompleteSignatureException",
		`Invalid key=value pair \(missing equal-sign\) in Authorization header `+
			`\(hashed with SHA-256 and encoded with Base64\): '[A-Za-z0-9+/]{43}='\.`)
}

// tokens calls the route behind the other authorizer of the example, which takes a JWT.
func (d *drive) tokens() {
	me := func(token string) *http.Request {
		r := call{path: "/Prod/me"}.request()
		r.Header.Set("Authorization", "Bearer "+token)
		return r
	}
	good := os.Getenv("TOKEN")
	unauthorized := refusal(http.StatusUnauthorized, "UnauthorizedException", "Unauthorized")
	d.answers("no token", call{path: "/Prod/me"}.request(), unauthorized)
	d.answers("bad token", me(good[:len(good)-8]+"AAAAAAAA"), unauthorized)
	d.answers("signature, not a token", inHeader(call{path: "/Prod/me", credentials: credentials}), unauthorized)
	d.answers("expired token", me(os.Getenv("EXPIRED_TOKEN")),
		refusal(http.StatusUnauthorized, "UnauthorizedException", "The incoming token has expired"))
	got, _ := d.send("good token", me(good))
	d.check(got.status == http.StatusOK && claims.MatchString(got.body), "good token: %+v", got)
}

// claims is what GET /Prod/me answers to the good token.
var claims = regexp.MustCompile(`^{"sub":"[0-9a-f-]{36}","groups":\["loyalty"\],"token_use":"id"}$`)

func (d *drive) refusals(s scheme) {
	forbidden := refusal(http.StatusForbidden, "ForbiddenException", "Forbidden")
	for name, value := range map[string]string{"no": "", "unknown": strings.Repeat("x", 40), "disabled": disabledKey} {
		c := loyal()
		c.key = value
		d.answers(s.name+", "+name+" key", s.sign(c), forbidden)
	}
	c := loyal()
	c.credentials.AccessKeyID = "AKIDUNKNOWN"
	d.answers(s.name+", unknown access key", s.sign(c),
		refusal(http.StatusForbidden, "UnrecognizedClientException", "The security token included in the request is invalid."))
}

// tampering changes requests after they were signed, and signs with a wrong secret.
func (d *drive) tampering(s scheme) {
	changed := loyal()
	changed.path += "?points=1"
	wrong := loyal()
	wrong.credentials.SecretAccessKey += "x"
	exchanged := loyal()
	exchanged.key = disabledKey
	for _, t := range []struct {
		what   string
		call   call
		tamper func(*http.Request)
	}{
		{"wrong secret", wrong, func(*http.Request) {}},
		{"changed query", changed, func(r *http.Request) { r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "points=1", "points=2", 1) }},
		{"added query", changed, func(r *http.Request) { r.URL.RawQuery += "&points=2" }},
		{"changed path", changed, func(r *http.Request) { r.URL.Path = strings.TrimSuffix(r.URL.Path, "c") + "d" }},
		{"exchanged key", exchanged, func(r *http.Request) { r.Header.Set("X-Api-Key", key) }},
	} {
		r := s.sign(t.call)
		t.tamper(r)
		d.matches(s.name+", "+t.what, r, "InvalidSignatureException", regexp.QuoteMeta(mismatch)+`(?s:\n\n.*)?`)
	}
}

// dates signs with dates that are six minutes off. The limit is five.
func (d *drive) dates(s scheme) {
	const stamp = `\d{8}T\d{6}Z`
	late, early := loyal(), loyal()
	late.offset, early.offset = -6*time.Minute, 6*time.Minute
	d.matches(s.name+", six minutes late", s.sign(late), "InvalidSignatureException",
		`Signature expired: `+stamp+` is now earlier than `+stamp+` \(`+stamp+` - 5 min\.\)`)
	d.matches(s.name+", six minutes early", s.sign(early), "InvalidSignatureException",
		`Signature not yet current: `+stamp+` is still later than `+stamp+` \(`+stamp+` \+ 5 min\.\)`)
}

// calls makes the calls that must be answered, at the plan's pace.
func (d *drive) calls() {
	for _, s := range schemes { // two, the whole burst
		d.passes(s.name, s.sign(loyal()))
	}
	d.used()
	asked := loyal()
	asked.path += query
	for _, s := range schemes {
		time.Sleep(pace)
		d.passes(s.name+" with a query", s.sign(asked))
	}
	time.Sleep(pace)
	unknown := loyal()
	unknown.path = stranger
	d.answers("unknown customer", inHeader(unknown), answer{status: http.StatusNotFound, body: `{"message":"Customer not found"}`})
	d.admitted++
}

// burst makes calls faster than the plan allows until one is refused, then waits as long as the answer says.
func (d *drive) burst() {
	time.Sleep(2 * pace) // until the bucket is full again
	for n := 0; ; n++ {
		got, header := d.send("burst", inHeader(loyal()))
		if got.status == http.StatusTooManyRequests {
			want := refusal(http.StatusTooManyRequests, "TooManyRequestsException", "Too Many Requests")
			d.check(got == want && n >= 2, "after a burst of %d: got %+v, want %+v", n, got, want)
			d.check(header.Get("Retry-After") == "1", "burst: %v", header)
			break
		}
		d.check(got == answer{status: http.StatusOK, body: points}, "burst: %+v", got)
		d.admitted++
		d.check(d.admitted < limit, "no call of a burst of %d was refused", n+1)
	}
	time.Sleep(time.Second)
	d.passes("after Retry-After", inHeader(loyal()))
	d.used()
}

// quota uses up the day's quota and checks that further calls are refused.
func (d *drive) quota() {
	for d.admitted < limit {
		time.Sleep(pace)
		d.passes("up to the quota", inHeader(loyal()))
	}
	time.Sleep(pace)
	want := refusal(http.StatusTooManyRequests, "LimitExceededException", "Limit Exceeded")
	for range 2 { // four calls, more than the burst, since these take no token from the bucket either
		for _, s := range schemes {
			got, header := d.send("past the quota", s.sign(loyal()))
			d.check(got == want, "past the quota: got %+v, want %+v", got, want)
			wait, err := strconv.ParseFloat(header.Get("Retry-After"), 64)
			d.check(err == nil && math.Abs(wait-time.Until(midnight()).Seconds()) <= 2, "past the quota: %v", header)
		}
	}
	d.used()
}
