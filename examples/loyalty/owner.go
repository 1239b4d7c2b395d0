package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/tallygate/tallygate/ratelimit/window"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// owner has the handlers for the API's owner, who reads usage, grants extensions and reads which addresses are blocked.
type owner struct {
	plans *usageplan.Meter
	rule  *window.RateRule
}

func quota(r *http.Request) usageplan.QuotaKey {
	return usageplan.QuotaKey{Plan: r.PathValue("plan"), Client: r.PathValue("key")}
}

// usage answers GET …/usage?from=2026-11-01&to=2026-11-30 with the usage of a key on each day. Both days default to
// today.
func (o owner) usage(w http.ResponseWriter, r *http.Request) {
	from, errFrom := day(r, "from")
	to, errTo := day(r, "to")
	if errors.Join(errFrom, errTo) != nil || to.Before(from) || to.Sub(from) > 366*24*time.Hour {
		reply(w, http.StatusBadRequest, map[string]string{"message": "from and to are days, YYYY-MM-DD, at most a year apart"})
		return
	}
	type line struct {
		Day       string `json:"day"`
		Used      int64  `json:"used"`
		Remaining int64  `json:"remaining"`
	}
	lines := []line{}
	for d, err := range o.plans.Usage(r.Context(), quota(r), from, to) {
		if err != nil {
			failed(w, err)
			return
		}
		lines = append(lines, line{d.Start.Format(time.DateOnly), d.Used, d.Remaining})
	}
	reply(w, http.StatusOK, lines)
}

func day(r *http.Request, name string) (time.Time, error) {
	if value := r.URL.Query().Get(name); value != "" {
		return time.Parse(time.DateOnly, value)
	}
	return time.Now().UTC().Truncate(24 * time.Hour), nil
}

// extend answers POST …/extension {"delta": 5, "reason": "launch week"}: more requests until the day ends.
func (o owner) extend(w http.ResponseWriter, r *http.Request) {
	var grant struct {
		Delta  int64  `json:"delta"`
		Reason string `json:"reason"`
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<10))
	if err != nil || json.Unmarshal(text, &grant) != nil || grant.Delta == 0 {
		reply(w, http.StatusBadRequest, map[string]string{"message": "want {\"delta\": 5, \"reason\": \"…\"}"})
		return
	}
	actor, _ := sigv4.ID(r)
	balance, err := o.plans.Extend(r.Context(), quota(r), ledger.Adjustment{Delta: grant.Delta, Reason: grant.Reason, Actor: actor})
	if err != nil {
		failed(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]int64{"limit": balance.Limit + balance.Adjustments, "used": balance.Used, "remaining": balance.Remaining})
}

// limited answers GET /owner/limited with the addresses that the rate rule blocks now.
func (o owner) limited(w http.ResponseWriter, _ *http.Request) {
	type line struct {
		Address  string `json:"address"`
		Requests int64  `json:"requests"`
	}
	lines := []line{}
	for _, l := range o.rule.Limited() {
		lines = append(lines, line{l.Key[0], l.Requests})
	}
	reply(w, http.StatusOK, lines)
}

// failed answers a call of the meter that has failed with err.
func failed(w http.ResponseWriter, err error) {
	status, text := http.StatusServiceUnavailable, "Service Unavailable"
	switch {
	case errors.Is(err, usageplan.ErrNoQuota):
		status, text = http.StatusNotFound, "No such key in that plan"
	case errors.Is(err, ledger.ErrAdjustment):
		status, text = http.StatusBadRequest, "The delta is out of range"
	}
	reply(w, status, map[string]string{"message": text})
}
