package usageplan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// What an update has changed is said for people, in the operation of its change: "name: "a" → "b"; throttle: none → 5 a
// second, burst 10". Of what may be long, only that it has changed is said.
type sayings []string

func (s *sayings) add(field, from, to string) {
	if from != to {
		*s = append(*s, field+": "+from+" → "+to)
	}
}

// addField adds the name of a field of which the values are not said.
func (s *sayings) addField(field string, changed bool) {
	if changed {
		*s = append(*s, field)
	}
}

func (s *sayings) String() string { return strings.Join(*s, "; ") }

// planChanged says what an update has changed of a plan.
func planChanged(before, after *Plan) string {
	var said sayings
	said.add("name", strconv.Quote(clip(before.Name)), strconv.Quote(clip(after.Name)))
	said.add("throttle", limitText(before.Throttle), limitText(after.Throttle))
	said.add("quota", quotasText(before.Quotas), quotasText(after.Quotas))
	said.add("in flight", before.InFlight.text(), after.InFlight.text())
	said.add("stages", stagesText(before.Stages), stagesText(after.Stages))
	said.addField("method throttles", methodsChanged(before.Stages, after.Stages))
	said.addField("description", before.Description != after.Description)
	said.addField("productCode", before.ProductCode != after.ProductCode)
	said.addField("tags", !maps.Equal(before.Tags, after.Tags))
	return said.String()
}

// methodsChanged reports whether a stage that was there and stays has other method throttles.
func methodsChanged(before, after []Stage) bool {
	return slices.ContainsFunc(before, func(s Stage) bool {
		i := findStage(after, s.API, s.Name)
		return i >= 0 && !maps.Equal(s.Methods, after[i].Methods)
	})
}

// memberChanged says what an update has changed of a membership.
func memberChanged(before, after *Member) string {
	var said sayings
	said.add("plan", strconv.Quote(clip(before.Plan)), strconv.Quote(clip(after.Plan)))
	said.add("throttle", limitText(before.Throttle), limitText(after.Throttle))
	for _, p := range []ledger.Period{ledger.Daily, ledger.Weekly, ledger.Monthly} {
		said.add("limit of a "+string(p), unitsText(before.Limits, p), unitsText(after.Limits, p))
	}
	said.add("in flight", ownInFlightText(before.InFlight), ownInFlightText(after.InFlight))
	return said.String()
}

func limitText(l *ratelimit.Limit) string {
	if l == nil {
		return "none"
	}
	return fmt.Sprintf("%v a second, burst %d", l.Rate, l.Burst)
}

func unitsText(limits map[ledger.Period]int64, p ledger.Period) string {
	n, own := limits[p]
	if !own {
		return "the plan's"
	}
	return strconv.FormatInt(n, 10)
}

// text is "4 a client, 100 in all", for example.
func (f InFlight) text() string {
	var texts []string
	if f.Client > 0 {
		texts = append(texts, fmt.Sprintf("%d a client", f.Client))
	}
	if f.Total > 0 {
		texts = append(texts, fmt.Sprintf("%d in all", f.Total))
	}
	return orNone(texts)
}

func ownInFlightText(n int) string {
	if n == 0 {
		return "the plan's"
	}
	return strconv.Itoa(n)
}

func quotasText(quotas []ledger.Quota) string {
	var texts []string
	for _, q := range quotas {
		text := fmt.Sprintf("%d a %s", q.Limit, q.Period)
		if q.Offset != 0 {
			text += fmt.Sprintf(" from day %d", q.Offset)
		}
		if q.Location != nil {
			text += " in " + q.Location.String()
		}
		texts = append(texts, text)
	}
	return orNone(texts)
}

func stagesText(stages []Stage) string {
	var texts []string
	for _, s := range stages {
		texts = append(texts, clip(s.API)+":"+clip(s.Name))
	}
	slices.Sort(texts)
	return orNone(texts)
}

func orNone(texts []string) string {
	if len(texts) == 0 {
		return "none"
	}
	return strings.Join(texts, ", ")
}
