package dynamostore_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/dynamostore"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// dating answers each request itself, with the Date of the machine's clock plus ahead. It takes as long as it says.
type dating struct {
	ahead, takes time.Duration
	missing      bool // no Date
}

func (d *dating) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(d.takes)
	body, h := "{}", http.Header{}
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DescribeTable") {
		body = `{"Table":{"TableStatus":"ACTIVE","AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"},` +
			`{"AttributeName":"s","AttributeType":"B"}],"KeySchema":[{"AttributeName":"p","KeyType":"HASH"},` +
			`{"AttributeName":"s","KeyType":"RANGE"}]}}`
	}
	if !d.missing {
		h.Set("Date", time.Now().Add(d.ahead).UTC().Format(http.TimeFormat))
	}
	return &http.Response{StatusCode: http.StatusOK, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// TestClockSkew: Now is the end of the second that the Date of the answer tells, while that may be within five seconds
// of this machine's clock. The Date was made while the request was under way, and has no fractions of a second. Time
// stands at a whole second, but for what the request takes.
func TestClockSkew(t *testing.T) {
	const ms, second = time.Millisecond, time.Second
	for name, c := range map[string]struct {
		d        dating
		fraction time.Duration // of this machine's clock
		refused  bool
	}{
		"the same":                                {},
		"in the middle of a second":               {fraction: 500 * ms},
		"5 s ahead, and the rest of the second":   {d: dating{ahead: -6 * second}},
		"5 s ahead, and a nanosecond more":        {d: dating{ahead: -6 * second}, fraction: 1, refused: true},
		"6 s ahead":                               {d: dating{ahead: -7 * second}, refused: true},
		"an hour ahead":                           {d: dating{ahead: -time.Hour}, refused: true},
		"5 s behind":                              {d: dating{ahead: 5 * second}},
		"5 s behind, late in the second":          {d: dating{ahead: 5 * second}, fraction: 999 * ms},
		"6 s behind":                              {d: dating{ahead: 6 * second}, refused: true},
		"6 s behind, but the answer took so long": {d: dating{ahead: 5 * second, takes: 900 * ms}, fraction: 500 * ms},
		"an hour behind":                          {d: dating{ahead: time.Hour}, refused: true},
		"no Date":                                 {d: dating{missing: true}, refused: true},
		"5 s ahead when the request began":        {d: dating{ahead: -8 * second, takes: 3 * second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, d := options("127.0.0.1:1"), c.d
				o.HTTPClient = &http.Client{Transport: &d}
				s, err := dynamostore.Open(t.Context(), dynamostore.Config{Client: client(o), Table: "tallygate", Namespace: "test"})
				require.NoError(t, err)
				time.Sleep(time.Until(time.Now().Add(second).Truncate(second).Add(c.fraction)))
				now, err := s.Now(t.Context())
				switch {
				case !c.refused:
					require.NoError(t, err)
					require.Equal(t, time.Now().Add(d.ahead).Truncate(second).Add(second), now.Local())
				case d.missing:
					require.ErrorIs(t, err, dynamostore.ErrFormat)
				default:
					require.ErrorIs(t, err, dynamostore.ErrClock)
				}
			})
		})
	}
}

// shifting changes the Date of each answer.
type shifting struct {
	http.RoundTripper
	by atomic.Int64 // a time.Duration
}

func (s *shifting) RoundTrip(r *http.Request) (*http.Response, error) {
	a, err := s.RoundTripper.RoundTrip(r)
	if err == nil {
		a.Header.Set("Date", time.Now().Add(time.Duration(s.by.Load())).UTC().Format(http.TimeFormat))
	}
	return a, err
}

// TestSkewOpensNoAccount: with a clock that is wrong, a ledger begins no account. Those that have begun go on, and when
// the clock is right again, all do.
func TestSkewOpensNoAccount(t *testing.T) {
	o := options(common(t).addr)
	h := o.HTTPClient.(*http.Client)
	dates := &shifting{RoundTripper: h.Transport}
	h.Transport = dates
	store := open(t, client(o), fresh())
	for _, exact := range []bool{true, false} {
		l, err := ledger.New(ledger.Config{Engine: store, Exact: exact, Block: 1, Thresholds: []int{}})
		require.NoError(t, err)
		take := func(subject string) error {
			_, err := l.Take(t.Context(), ledger.Key{Plan: "basic", Subject: subject}, ledger.Quota{Limit: 100, Period: ledger.Monthly}, 1)
			return err
		}
		name := map[bool]string{true: "exact", false: "leased"}[exact]
		require.NoError(t, take(name+" old"))
		for _, by := range []time.Duration{time.Minute, -time.Minute} {
			dates.by.Store(int64(by))
			err := take(name + " new")
			require.ErrorIs(t, err, ledger.ErrUnavailable)
			require.ErrorIs(t, err, dynamostore.ErrClock)
			require.NoError(t, take(name+" old"))
		}
		dates.by.Store(0)
		require.NoError(t, take(name+" new"))
		require.NoError(t, l.Close())
	}
}
