package examples_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/awslambda"
	"github.com/tallygate/tallygate/auth/awslambda/authorizer"
	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/auth/identitypool"
	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/auth/sts"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// cause is an error of a package, with the status of its answer, or 0 if it has none of its own.
type cause struct {
	err    error
	status int
}

// catalogues are the packages whose doc.go lists each cause in the form "- [ErrName]: status". wrap makes an Error of
// the package.
var catalogues = map[string]struct {
	wrap   func(error) answer
	causes map[string]cause
}{
	"apikey": {func(err error) answer { return &apikey.Error{Err: err} }, map[string]cause{
		"ErrNotConfigured": {apikey.ErrNotConfigured, 500}, "ErrMissing": {apikey.ErrMissing, 403},
		"ErrUnknown": {apikey.ErrUnknown, 403}, "ErrInactive": {apikey.ErrInactive, 403},
		"ErrInvalid": {apikey.ErrInvalid, 400}, "ErrNotFound": {apikey.ErrNotFound, 404},
		"ErrExists": {apikey.ErrExists, 409}, "ErrUnavailable": {apikey.ErrUnavailable, 503},
		"ErrStale": {apikey.ErrStale, 503},
	}},
	"auth": {func(err error) answer { return &auth.Error{Err: err} }, map[string]cause{
		"ErrNotConfigured": {auth.ErrNotConfigured, 500}, "ErrMissing": {auth.ErrMissing, 401},
		"ErrAmbiguous": {auth.ErrAmbiguous, 400}, "ErrMalformed": {auth.ErrMalformed, 401},
		"ErrIssuer": {auth.ErrIssuer, 401}, "ErrUnavailable": {auth.ErrUnavailable, 503},
		"ErrSignature": {auth.ErrSignature, 401}, "ErrAudience": {auth.ErrAudience, 401},
		"ErrNotCurrent": {auth.ErrNotCurrent, 401}, "ErrTooOld": {auth.ErrTooOld, 401},
		"ErrScope": {auth.ErrScope, 401}, "ErrRefused": {auth.ErrRefused, 403},
	}},
	"auth/awslambda": {nil, map[string]cause{ // its errors reach no client
		"ErrNotConfigured": {awslambda.ErrNotConfigured, 0}, "ErrEvent": {awslambda.ErrEvent, 0},
		"ErrAnswer": {awslambda.ErrAnswer, 0}, "ErrAborted": {awslambda.ErrAborted, 0},
	}},
	"auth/awslambda/authorizer": {nil, map[string]cause{ // Lambda logs them; no client sees them
		"ErrNotConfigured": {authorizer.ErrNotConfigured, 0}, "ErrEvent": {authorizer.ErrEvent, 0},
		"ErrResult": {authorizer.ErrResult, 0},
	}},
	"auth/identitypool": {func(err error) answer { return &identitypool.Error{Err: err} }, map[string]cause{
		"ErrNotConfigured": {identitypool.ErrNotConfigured, 500}, "ErrInvalid": {identitypool.ErrInvalid, 400},
		"ErrRefused": {identitypool.ErrRefused, 400}, "ErrUnavailable": {identitypool.ErrUnavailable, 503},
	}},
	"auth/sts": {func(err error) answer { return &sts.Error{Err: err} }, map[string]cause{
		"ErrNotConfigured": {sts.ErrNotConfigured, 500}, "ErrInvalid": {sts.ErrInvalid, 400},
		"ErrRefused": {sts.ErrRefused, 403}, "ErrUnavailable": {sts.ErrUnavailable, 503},
	}},
	"usageplan/journal": {nil, map[string]cause{ // its errors reach no client as they are
		"ErrBehind": {journal.ErrBehind, 0}, "ErrTooLarge": {journal.ErrTooLarge, 0},
		"ErrUnavailable": {journal.ErrUnavailable, 0}, "ErrDiffers": {journal.ErrDiffers, 0},
	}},
	"usageplan": {func(err error) answer { return &usageplan.Error{Err: err} }, map[string]cause{
		"ErrNotConfigured": {usageplan.ErrNotConfigured, 500}, "ErrNoClient": {usageplan.ErrNoClient, 403},
		"ErrNoPlan": {usageplan.ErrNoPlan, 403}, "ErrThrottled": {usageplan.ErrThrottled, 429},
		"ErrQuotaExceeded": {usageplan.ErrQuotaExceeded, 429}, "ErrNoQuota": {usageplan.ErrNoQuota, 0},
		"ErrInvalid": {usageplan.ErrInvalid, 400}, "ErrConflict": {usageplan.ErrConflict, 409},
		"ErrExists": {usageplan.ErrExists, 409}, "ErrNotMember": {usageplan.ErrNotMember, 404},
		"ErrThrottleUnavailable": {usageplan.ErrThrottleUnavailable, 503},
		"ErrStale":               {usageplan.ErrStale, 503}, "ErrInFlight": {usageplan.ErrInFlight, 429},
	}},
	"usageplan/admin": {func(err error) answer { return &admin.Error{Err: err} }, map[string]cause{
		"ErrNotConfigured": {admin.ErrNotConfigured, 500}, "ErrNoRoute": {admin.ErrNoRoute, 403},
		"ErrDenied": {admin.ErrDenied, 403}, "ErrInvalid": {admin.ErrInvalid, 400},
		"ErrNotFound": {admin.ErrNotFound, 404}, "ErrConflict": {admin.ErrConflict, 409},
		"ErrTooLarge": {admin.ErrTooLarge, 413}, "ErrUnavailable": {admin.ErrUnavailable, 503},
	}},
}

// An error that wraps a cause has the answer of the cause. A usage plan answers causes of its ledger as well.
func TestWrappedCausesAnswerAlike(t *testing.T) {
	for dir, c := range catalogues {
		for name, cause := range c.causes {
			if cause.status != 0 {
				requireAnswersAlike(t, c.wrap, cause, dir+"."+name)
			}
		}
	}
	plan := catalogues["usageplan"].wrap
	requireAnswersAlike(t, plan, cause{ledger.ErrUnavailable, 503}, "ledger.ErrUnavailable")
	requireAnswersAlike(t, plan, cause{journal.ErrUnavailable, 503}, "journal.ErrUnavailable")
}

func requireAnswersAlike(t *testing.T, wrap func(error) answer, c cause, name string) {
	t.Helper()
	plain, wrapped := wrap(c.err), wrap(fmt.Errorf("a: %w", errors.Join(errors.New("b"), c.err)))
	require.Equal(t, c.status, plain.StatusCode(), name)
	require.Equal(t, c.status, wrapped.StatusCode(), name)
	require.Equal(t, plain.ErrorCode(), wrapped.ErrorCode(), name)
	require.Equal(t, plain.ErrorMessage(), wrapped.ErrorMessage(), name)
	a, b := http.Header{}, http.Header{}
	plain.SetHeader(a)
	wrapped.SetHeader(b)
	require.Equal(t, a, b, name)
}

// doc.go has one entry for each cause that error.go declares, with the status of its answer.
func TestDocsListEveryCause(t *testing.T) {
	declaration := regexp.MustCompile(`(?m)^\t(Err\w+) += errors\.New`)
	for dir, c := range catalogues {
		names := declaration.FindAllStringSubmatch(read(t, dir, "error.go"), -1)
		require.Len(t, names, len(c.causes), dir)
		doc := read(t, dir, "doc.go")
		for _, name := range names {
			require.Contains(t, c.causes, name[1], dir)
			entry := fmt.Sprintf("//   - [%s]: ", name[1])
			if status := c.causes[name[1]].status; status != 0 {
				entry += strconv.Itoa(status)
			}
			require.Equal(t, 1, strings.Count(doc, entry), "%s: %s", dir, entry)
		}
	}
}

// tables are the packages whose doc.go lists the causes as the lines of a table: name, status and body of the answer.
// Package window has the causes of ratelimit.
var tables = map[string]struct {
	wrap   func(error) answer
	causes map[string]error
}{
	"ratelimit": {limitError, map[string]error{
		"ErrLimited": ratelimit.ErrLimited, "ErrBlocked": ratelimit.ErrBlocked, "ErrNoKey": ratelimit.ErrNoKey,
		"ErrUnavailable": ratelimit.ErrUnavailable, "ErrNotConfigured": ratelimit.ErrNotConfigured, "ErrInFlight": ratelimit.ErrInFlight,
	}},
	"ratelimit/window": {limitError, map[string]error{
		"ratelimit.ErrLimited": ratelimit.ErrLimited, "ratelimit.ErrBlocked": ratelimit.ErrBlocked,
		"ratelimit.ErrNoKey": ratelimit.ErrNoKey, "ratelimit.ErrNotConfigured": ratelimit.ErrNotConfigured,
	}},
	"auth/custom": {func(err error) answer { return &custom.Error{Err: err} }, map[string]error{
		"ErrMissing": custom.ErrMissing, "ErrMalformed": custom.ErrMalformed, "ErrUnauthorized": custom.ErrUnauthorized,
		"ErrDenied": custom.ErrDenied, "ErrPath": custom.ErrPath, "ErrFailed": custom.ErrFailed,
		"ErrNotConfigured": custom.ErrNotConfigured,
	}},
	"auth/policy": {func(err error) answer { return &policy.Error{Err: err} }, map[string]error{
		"ErrDenied": policy.ErrDenied, "ErrNoPrincipal": policy.ErrNoPrincipal, "ErrNoAddress": policy.ErrNoAddress,
		"ErrPath": policy.ErrPath, "ErrUnavailable": policy.ErrUnavailable, "ErrNotConfigured": policy.ErrNotConfigured,
	}},
}

func limitError(err error) answer { return &ratelimit.Error{Err: err} }

// Each line of a table in doc.go tells the answer that a client gets, up to an ellipsis in the body, and no cause that
// error.go declares is left out.
func TestDocTablesTellTheAnswers(t *testing.T) {
	row := regexp.MustCompile(`(?m)^//\t((?:ratelimit\.)?Err\w+) +(\d{3}) (\{.*?\})  `)
	declaration := regexp.MustCompile(`(?m)^\tErr\w+ += errors\.New`)
	for dir, c := range tables {
		told := map[string]bool{}
		for _, cells := range row.FindAllStringSubmatch(read(t, dir, "doc.go"), -1) {
			name := dir + ": " + cells[1]
			require.Contains(t, c.causes, cells[1], name)
			told[cells[1]] = true
			w := httptest.NewRecorder()
			c.wrap(c.causes[cells[1]]).ServeHTTP(w, get())
			require.Equal(t, cells[2], strconv.Itoa(w.Code), name)
			body, _, cut := strings.Cut(cells[3], "…")
			require.True(t, strings.HasPrefix(w.Body.String(), body) && (cut || w.Body.String() == body), "%s: %s", name, w.Body)
		}
		require.Len(t, told, len(c.causes), dir)
		if dir != "ratelimit/window" {
			require.Len(t, declaration.FindAllString(read(t, dir, "error.go"), -1), len(c.causes), dir)
		}
	}
}

func read(t *testing.T, dir, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", dir, file))
	require.NoError(t, err)
	return string(text)
}
