package ratelimit_test

import (
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
)

// A list of one string with parameters, in the strict syntax of RFC 9651 section 4.1.
var (
	policyLine = regexp.MustCompile(`^"(?:[ !#-\[\]-~]|\\["\\])+";q=(?:0|[1-9][0-9]{0,14})(?:;qu="(?:[ !#-\[\]-~]|\\["\\])+")?(?:;w=[1-9][0-9]{0,14})?$`)
	limitLine  = regexp.MustCompile(`^"(?:[ !#-\[\]-~]|\\["\\])+";r=(?:0|[1-9][0-9]{0,14})(?:;t=(?:0|[1-9][0-9]{0,14}))?$`)
)

// Whatever a Field holds, the header fields are structured fields, or are not set.
func FuzzSetFields(f *testing.F) {
	f.Add("default", "", int64(100), int64(time.Minute), int64(50), int64(time.Second))
	f.Add(`a"b\`, `c"d\`, int64(-1), int64(-1), int64(1)<<62, int64(ratelimit.Never))
	f.Add("a\r\nSet-Cookie: b", "requests", int64(1), int64(1), int64(1), int64(-1))
	f.Add("a", "content-bytes\r\nSet-Cookie: b", int64(1), int64(1), int64(1), int64(1))
	f.Fuzz(func(t *testing.T, name, unit string, quota, window, remaining, reset int64) {
		h := http.Header{}
		field := ratelimit.Field{
			Name: name, Unit: unit, Quota: quota, Window: time.Duration(window), Remaining: remaining, Reset: time.Duration(reset),
		}
		ratelimit.SetFields(h, field)
		ratelimit.SetFields(h, field)
		if len(h) == 0 {
			return
		}
		require.Len(t, h["Ratelimit-Policy"], 1)
		require.Len(t, h["Ratelimit"], 1)
		require.Regexp(t, policyLine, h["Ratelimit-Policy"][0])
		require.Regexp(t, limitLine, h["Ratelimit"][0])
	})
}
