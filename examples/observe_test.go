package examples_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/window"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// One function observes all packages: their Events are one type. The compiler checks it.
func _(tell func(context.Context, sigv4.Event), name func(*http.Request) string) {
	_ = sigv4.VerifierConfig{Observe: tell, RequestID: name}
	_ = auth.Config{Observe: tell, RequestID: name}
	_ = auth.Modes{Observe: tell, RequestID: name}
	_ = custom.Config{Observe: tell, RequestID: name}
	_ = policy.GateConfig{Observe: tell, RequestID: name}
	_ = apikey.Config{Observe: tell, RequestID: name}
	_ = ratelimit.Config[string]{Observe: tell, RequestID: name}
	_ = ratelimit.InFlightConfig[string]{Observe: tell, RequestID: name}
	_ = window.Config[string]{Observe: tell, RequestID: name}
	_ = window.RuleConfig{Observe: tell, RequestID: name}
	_ = usageplan.Config{Observe: tell, RequestID: name}
}

// heard are the events that a test was told.
type heard []sigv4.Event

func (h *heard) tell(_ context.Context, e sigv4.Event) { *h = append(*h, e) }

// wishes are the fields that all configurations have in common.
type wishes struct {
	tell    func(context.Context, sigv4.Event)
	despite func(*http.Request, error) bool
	id      func(*http.Request) string
	answer  func(http.ResponseWriter, *http.Request, error)
}

// guard is a verifier or a limit. verbs are those that decide about a request without a ResponseWriter.
type guard struct {
	handler func(http.Handler) http.Handler
	verbs   map[string]func(*http.Request) error
}

// situation is a request and what must be told about it.
type situation struct {
	name  string
	guard func(*testing.T, wishes) guard // a new one for each request
	edits []func(*http.Request)
	spent int // requests of the same kind that came before

	layer, outcome, reason string
	client                 string // who was proven
	cause                  error  // nil if the request is allowed
	strict                 bool   // AllowDespite is not asked
}

// situations are all that TestEverythingIsToldOnce and the others go through.
func situations(t *testing.T) []situation {
	t.Helper()
	return slices.Concat(
		signatureSituations(t), tokenSituations(t), functionSituations(), keySituations(), modeSituations(t),
		gateSituations(), limitSituations(), planSituations(), identitySituations(t), roleSituations(t),
	)
}

const observedPattern = "GET /Prod/{id}"

// handle sends a request through the guard's handler behind a mux, and returns the answer and what was told about it.
func (s situation) handle(t *testing.T, w wishes, next http.HandlerFunc, outer http.Header) (*httptest.ResponseRecorder, heard) {
	t.Helper()
	var told heard
	w.tell = told.tell
	mux := http.NewServeMux()
	mux.Handle(observedPattern, s.guard(t, w).handler(next))
	send := func() *httptest.ResponseRecorder {
		recorder := httptest.NewRecorder()
		maps.Copy(recorder.Header(), outer)
		mux.ServeHTTP(recorder, get(s.edits...))
		return recorder
	}
	for range s.spent {
		send()
	}
	told = nil
	return send(), told
}

// call asks each verb of a guard about a request, and tells do about the error and what was told.
func (s situation) call(t *testing.T, w wishes, do func(verb string, err error, told heard)) {
	t.Helper()
	for verb := range s.guard(t, w).verbs {
		var told heard
		w.tell = told.tell
		ask := s.guard(t, w).verbs[verb] // of a new guard, whose limits are not spent
		for range s.spent {
			_ = ask(s.request())
		}
		told = nil
		do(verb, ask(s.request()), told)
	}
}

// request is a request that a mux has routed.
func (s situation) request() *http.Request {
	r := get(s.edits...)
	r.Pattern = observedPattern
	return r
}

func nothing(http.ResponseWriter, *http.Request) {}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// answers reports whether the library writes the answer, and not the handler that it guards. Such an answer has an id.
func (s situation) answers() bool { return s.cause != nil || s.terminal() }

// terminal reports whether the layer has no next handler.
func (s situation) terminal() bool {
	return slices.Contains([]string{"status", "identitypool", "sts"}, s.layer)
}

// requireTold checks the one event that must have been told.
func (s situation) requireTold(t *testing.T, told heard, outcome string) {
	t.Helper()
	require.Len(t, told, 1)
	e := told[0]
	require.Equal(t, []string{s.layer, outcome, s.reason}, []string{e.Layer, e.Outcome, e.Reason})
	require.Equal(t, observedPattern, e.Route)
	require.Equal(t, s.client, e.Client)
	require.Equal(t, s.answers(), e.RequestID != "")
	if s.cause == nil {
		require.NoError(t, e.Err)
		return
	}
	require.ErrorIs(t, e.Err, s.cause)
	require.Regexp(t, uuid, e.RequestID)
	refusal, ok := e.Err.(interface {
		StatusCode() int
		Reason() string
	})
	require.True(t, ok, "%T", e.Err)
	require.Equal(t, e.Reason, refusal.Reason())
	if outcome != "despite" {
		require.Equal(t, outcome == "failed", refusal.StatusCode() >= 500)
	}
}

// Every cause that a request can meet arrives by a real request, once, whichever verb decides.
func TestEverythingIsToldOnce(t *testing.T) {
	for _, s := range situations(t) {
		t.Run(s.layer+"/"+s.name, func(t *testing.T) {
			_, told := s.handle(t, wishes{}, nothing, nil)
			s.requireTold(t, told, s.outcome)
			s.call(t, wishes{}, func(verb string, err error, told heard) {
				s.requireTold(t, told, s.outcome)
				require.Equal(t, err, told[0].Err, verb)
			})
		})
	}
}

// Limits tell what a request costs, as far as they have asked, and what is left where the refusal has computed it.
// Authenticators have neither.
func TestCostAndRemainingAreTold(t *testing.T) {
	numbers := map[string][2]int64{
		"ratelimit/allowed": {1, -1}, "ratelimit/limited": {1, 0}, "ratelimit/no_key": {1, -1},
		"in flight/allowed": {1, -1}, "in flight/in_flight": {1, -1}, "in flight/no_key": {1, -1},
		"window/allowed": {1, -1}, "window/limited": {1, 0}, "window/no_key": {1, -1}, "window/not_configured": {1, -1},
		"rate rule/allowed": {1, -1}, "rate rule/blocked": {1, 0},
		"usageplan/allowed": {1, -1}, "usageplan/no_plan": {1, -1}, "usageplan/stale": {1, -1},
		"plan throttle/throttled":            {1, -1},
		"plan throttle/throttle_unavailable": {1, -1}, "plan throttle/canceled": {1, -1},
		"plan quota/quota_exceeded": {6, 4}, "plan quota/unavailable": {1, -1}, "plan quota/canceled": {1, -1},
	}
	for _, s := range situations(t) {
		want, listed := numbers[s.layer+"/"+s.name]
		if !listed {
			want = [2]int64{0, -1}
		}
		_, told := s.handle(t, wishes{}, nothing, nil)
		require.Equal(t, want, [2]int64{told[0].Cost, told[0].Remaining}, "%s/%s", s.layer, s.name)
	}
}

// What AllowDespite lets pass is told as that, once, by Handler and Check. The verbs of authenticators refuse.
func TestDespiteIsToldOnce(t *testing.T) {
	w := wishes{despite: func(*http.Request, error) bool { return true }}
	for _, s := range situations(t) {
		t.Run(s.layer+"/"+s.name, func(t *testing.T) {
			outcome := "despite"
			if s.strict || s.cause == nil {
				outcome = s.outcome
			}
			passed := false
			_, told := s.handle(t, w, func(http.ResponseWriter, *http.Request) { passed = true }, nil)
			s.requireTold(t, told, outcome)
			require.Equal(t, !s.terminal() && (outcome == "despite" || s.cause == nil), passed)
			s.call(t, w, func(verb string, err error, told heard) {
				if verb != "Check" {
					s.requireTold(t, told, s.outcome)
					return
				}
				s.requireTold(t, told, outcome)
				require.Equal(t, outcome == "despite" || s.cause == nil, err == nil)
			})
		})
	}
}

// The event comes before the next handler, so that its panic changes nothing.
func TestPanicOfTheNextHandlerIsNotTold(t *testing.T) {
	for _, s := range situations(t) {
		if s.cause != nil || s.terminal() {
			continue
		}
		t.Run(s.layer+"/"+s.name, func(t *testing.T) {
			var told heard
			h := s.guard(t, wishes{tell: told.tell}).handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				require.Len(t, told, 1)
				panic("next")
			}))
			require.PanicsWithValue(t, "next", func() { h.ServeHTTP(httptest.NewRecorder(), s.request()) })
			s.requireTold(t, told, "allowed")
		})
	}
}

// The id of an event is that of the answer, no matter which layer made it, and in every style of answer.
func TestRequestIDOfAnEventIsThatOfTheAnswer(t *testing.T) {
	styles := map[string]func(http.ResponseWriter, *http.Request, error){
		"": nil, "HTTPAPI": auth.HTTPAPI, "AppSync": auth.AppSync, "Bearer": auth.Bearer, "S3XML": sigv4.S3XML, "problem": problem,
	}
	ids := map[string]func(*http.Request) string{
		"random": nil, "named": func(*http.Request) string { return "a name" }, "unnamed": func(*http.Request) string { return "" },
	}
	for _, s := range situations(t) {
		for style, answer := range styles {
			for by, id := range ids {
				for _, outer := range []string{"", "outer"} {
					t.Run(strings.Join([]string{s.layer, s.name, style, by, outer}, "/"), func(t *testing.T) {
						header := http.Header{}
						if outer != "" {
							header.Set("X-Amzn-RequestId", outer)
						}
						recorder, told := s.handle(t, wishes{id: id, answer: answer}, nothing, header)
						require.Len(t, told, 1)
						requireID(t, s, by, outer, told[0].RequestID)
						if s.answers() {
							require.Equal(t, []string{told[0].RequestID}, recorder.Header().Values("X-Amzn-RequestId"))
						}
					})
				}
			}
		}
	}
}

// requireID checks which id an event has: that of an outer layer, else the application's, else a random one. A request
// that was allowed needs none, unless its answer is ours.
func requireID(t *testing.T, s situation, by, outer, got string) {
	t.Helper()
	switch {
	case !s.answers() && by == "random":
		require.Empty(t, got)
	case outer != "":
		require.Equal(t, outer, got)
	case by == "named":
		require.Equal(t, "a name", got)
	case s.answers():
		require.Regexp(t, uuid, got)
	}
}

// A caller of Verify or Check who answers by the error itself sends the id that was told.
func TestErrorCarriesTheIDThatWasTold(t *testing.T) {
	for _, s := range situations(t) {
		for _, name := range []string{"", "a name"} {
			w := wishes{id: func(*http.Request) string { return name }}
			s.call(t, w, func(verb string, err error, told heard) {
				if err == nil {
					return
				}
				recorder := httptest.NewRecorder()
				err.(http.Handler).ServeHTTP(recorder, get())
				require.NotEmpty(t, told[0].RequestID, "%s/%s by %s", s.layer, s.name, verb)
				require.Equal(t, told[0].RequestID, recorder.Header().Get("X-Amzn-RequestId"), "%s/%s by %s", s.layer, s.name, verb)
				require.True(t, name == "" || name == told[0].RequestID, "%s/%s by %s", s.layer, s.name, verb)
			})
		}
	}
}

// Where one function is set on the modes of AnyOf and on each of them, it is told by each layer. Their words and their
// ids agree, and only the modes know that AllowDespite lets the request pass.
func TestOneFunctionHearsModesAndEachMode(t *testing.T) {
	var told heard
	w := wishes{tell: told.tell}
	signature, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sigv4.Keyring{"AKIDEXAMPLE": {Secret: "secret"}}.Key, Regions: []string{"eu-west-1"}, Observe: told.tell,
	})
	require.NoError(t, err)
	m := auth.AnyOf(signature, keyVerifier(t, w))
	m.Observe, m.AllowDespite = told.tell, func(r *http.Request, _ error) bool { return r.Header.Get("X-Dry") != "" }
	sign, key, bad := signBy(t, "secret"), with("x-api-key", keyValue), with("x-api-key", "no key has this value")
	for _, tt := range []struct {
		edits  []func(*http.Request)
		want   []string
		status int
	}{
		{nil, []string{"sigv4 refused missing", "anyof refused missing"}, 403},
		{[]func(*http.Request){key, sign}, []string{"sigv4 allowed ", "apikey allowed ", "anyof allowed "}, 200},
		{[]func(*http.Request){bad, sign}, []string{"sigv4 allowed ", "apikey refused unknown", "anyof refused unknown"}, 403},
		{
			[]func(*http.Request){bad, sign, with("X-Dry", "1")},
			[]string{"sigv4 allowed ", "apikey refused unknown", "anyof despite unknown"},
			200,
		},
	} {
		told = nil
		recorder := httptest.NewRecorder()
		m.Handler(http.HandlerFunc(nothing)).ServeHTTP(recorder, get(tt.edits...))
		var got []string
		for _, e := range told {
			got = append(got, e.Layer+" "+e.Outcome+" "+e.Reason)
		}
		require.Equal(t, tt.want, got)
		require.Equal(t, tt.status, recorder.Code)
		last := told[len(told)-1]
		if last.Err != nil {
			require.Equal(t, told[len(told)-2].RequestID, last.RequestID)
		}
		require.Equal(t, last.Outcome == "refused", recorder.Header().Get("X-Amzn-RequestId") != "")
	}
}

// signatureCauses are the causes of sigv4, which has them in a file of their own.
var signatureCauses = map[string]cause{
	"ErrNotConfigured": {sigv4.ErrNotConfigured, 500}, "ErrUnavailable": {sigv4.ErrUnavailable, 503},
	"ErrRedirect": {sigv4.ErrRedirect, 500}, "ErrMissing": {sigv4.ErrMissing, 403},
	"ErrMalformed": {sigv4.ErrMalformed, 403}, "ErrAmbiguous": {sigv4.ErrAmbiguous, 403},
	"ErrUnsigned": {sigv4.ErrUnsigned, 403}, "ErrTooLarge": {sigv4.ErrTooLarge, 413}, "ErrBody": {sigv4.ErrBody, 400},
	"ErrNotCurrent": {sigv4.ErrNotCurrent, 403}, "ErrScope": {sigv4.ErrScope, 403},
	"ErrUnknownKey": {sigv4.ErrUnknownKey, 403}, "ErrSignatureMismatch": {sigv4.ErrSignatureMismatch, 403},
	"ErrSessionToken": {sigv4.ErrSessionToken, 403},
}

// observed are the causes of each package that observes, by their names, and how to make an Error of one.
func observed() (causes map[string]map[string]error, wraps map[string]func(error) answer) {
	causes = map[string]map[string]error{"sigv4": {}}
	wraps = map[string]func(error) answer{"sigv4": func(err error) answer { return &sigv4.Error{Err: err} }}
	for name, c := range signatureCauses {
		causes["sigv4"][name] = c.err
	}
	for dir, c := range catalogues {
		if c.wrap == nil || dir == "usageplan/admin" { // their errors are no decisions about a request of the API
			continue
		}
		causes[dir], wraps[dir] = map[string]error{}, c.wrap
		for name, cause := range c.causes {
			causes[dir][name] = cause.err
		}
	}
	for dir, c := range tables {
		causes[dir], wraps[dir] = c.causes, c.wrap
	}
	return causes, wraps
}

// Every exported cause has its name as its reason, however it is wrapped, unless the request was canceled. Whatever is
// not a cause is a mistake of the program, or in auth, whose answer to it is 401, a refusal by the program.
func TestReasonsAreTheNamesOfTheCauses(t *testing.T) {
	causes, wraps := observed()
	for dir, named := range causes {
		reason := func(err error) string { return wraps[dir](err).(interface{ Reason() string }).Reason() }
		for name, err := range named {
			want := snake(strings.TrimPrefix(name[strings.IndexByte(name, '.')+1:], "Err"))
			require.Equal(t, want, reason(err), "%s.%s", dir, name)
			require.Equal(t, want, reason(fmt.Errorf("a: %w", errors.Join(errors.New("b"), err))), "%s.%s", dir, name)
			require.Equal(t, "canceled", reason(fmt.Errorf("%w: %w", err, context.Canceled)), "%s.%s", dir, name)
		}
		foreign := map[bool]string{false: "not_configured", true: "refused"}[dir == "auth"]
		require.Equal(t, foreign, reason(errors.New("foreign")), dir)
		require.Equal(t, "not_configured", reason(nil), dir)
	}
	for _, err := range []error{ledger.ErrUnavailable, journal.ErrUnavailable, context.DeadlineExceeded} {
		require.Equal(t, "unavailable", (&usageplan.Error{Err: err}).Reason())
	}
}

// No cause is without a situation, but those that no request meets: of signing, of changes, and of verifiers that New did
// not make, which have nobody to tell.
func TestEveryCauseHasASituation(t *testing.T) {
	unmet := map[string][]string{
		"sigv4":             {"ErrRedirect"},
		"auth":              {"ErrNotConfigured"}, // but AnyOf meets it
		"auth/custom":       {"ErrNotConfigured"},
		"auth/identitypool": {"ErrNotConfigured"},
		"auth/sts":          {"ErrNotConfigured"},
		"apikey":            {"ErrNotConfigured", "ErrInvalid", "ErrNotFound", "ErrExists", "ErrUnavailable"},
		"ratelimit":         {"ErrUnavailable"}, // redislimit meets it, in a module of its own
		"usageplan":         {"ErrNoQuota", "ErrInvalid", "ErrConflict", "ErrExists", "ErrNotMember"},
	}
	all := situations(t)
	causes, _ := observed()
	for dir, named := range causes {
		for name, cause := range named {
			met := slices.ContainsFunc(all, func(s situation) bool { return s.cause == cause && s.layer != "anyof" })
			require.NotEqual(t, slices.Contains(unmet[dir], name), met, "%s.%s", dir, name)
		}
	}
}

// sigv4 declares no cause that the table above leaves out.
func TestReasonsOfSignaturesAreComplete(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^\t(Err\w+) += errors\.New`).FindAllStringSubmatch(read(t, "sigv4", "cause.go"), -1)
	require.Len(t, declared, len(signatureCauses))
	for _, name := range declared {
		require.Contains(t, signatureCauses, name[1])
		c := signatureCauses[name[1]]
		require.Equal(t, c.status, (&sigv4.Error{Err: c.err}).StatusCode(), name[1])
	}
}

// snake returns a name in lower case with "_" between its words.
func snake(name string) string {
	var b strings.Builder
	for i, c := range name {
		if i > 0 && unicode.IsUpper(c) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}
