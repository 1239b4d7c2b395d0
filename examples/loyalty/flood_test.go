package main

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
)

func from(address string) edit { return func(r *http.Request) { r.RemoteAddr = address } }

// An address that sends too many requests is blocked before all other guards, and other addresses are not. The owner
// can read which addresses are blocked.
func TestFloodingAddressIsBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := api(t)
		const offender = "198.51.100.7"
		get := func(address string) *http.Response {
			return send(h, http.MethodGet, route, withKey(apiKey), signed(t, accessKey, secretKey, 0), from(address))
		}
		limited := func() *http.Response {
			return send(h, http.MethodGet, "/owner/limited", signed(t, ownerAccessKey, ownerSecretKey, 0))
		}
		for range 2000 {
			requireAnswer(t, send(h, http.MethodGet, route, from(offender+":4711")), 403, "MissingAuthenticationTokenException", `{"message":"Missing Authentication Token"}`)
		}
		requireAnswer(t, limited(), 200, "", `[]`)
		requireAnswer(t, get(offender+":4712"), 403, "ForbiddenException", `{"message":"Forbidden"}`)
		requireAnswer(t, get(offender), 403, "ForbiddenException", `{"message":"Forbidden"}`) // as a function URL names it
		requireAnswer(t, get("203.0.113.9:4711"), 200, "", ok)
		requireAnswer(t, limited(), 200, "", `[{"address":"198.51.100.7","requests":2002}]`)

		time.Sleep(6 * time.Minute) // the window and a fifteenth
		requireAnswer(t, get(offender+":4711"), 200, "", ok)
		requireAnswer(t, limited(), 200, "", `[]`)
	})
}

// A request within its plan may still be refused by the account's throttle. It has then taken nothing from the day's
// quota.
func TestAccountLimitTakesNoQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := apiWithin(t, ratelimit.Limit{Rate: 0.1, Burst: 1})
		get := func() *http.Response {
			return send(h, http.MethodGet, route, withKey(apiKey), signed(t, accessKey, secretKey, 0))
		}
		requireAnswer(t, get(), 200, "", ok)
		requireAnswer(t, get(), 429, "TooManyRequestsException", `{"message":"Too Many Requests"}`)
		time.Sleep(9 * time.Second) // the plan would allow two
		requireAnswer(t, get(), 429, "TooManyRequestsException", `{"message":"Too Many Requests"}`)
		time.Sleep(time.Second)
		requireAnswer(t, get(), 200, "", ok)
		require.EqualValues(t, 2, standing(t, h, shapes["server"]).Used, "the refused have consumed nothing")
	})
}
