package main

import (
	"net/http"

	"github.com/tallygate/tallygate/ratelimit/window"
)

// limited answers GET /owner/limited with the addresses that the rate rule blocks now.
func limited(rule *window.RateRule) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		type line struct {
			Address  string `json:"address"`
			Requests int64  `json:"requests"`
		}
		lines := []line{}
		for _, l := range rule.Limited() {
			lines = append(lines, line{l.Key[0], l.Requests})
		}
		reply(w, http.StatusOK, lines)
	})
}
