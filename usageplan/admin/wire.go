package admin

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// The JSON forms of the answers, as API Gateway writes them. What is not set is left out, and never null. The names are
// those of the wire: lists are "item", usage is "values", where SDKs say items.
//
// Lists that are empty are written as [], and tags that are empty, but not nil, as {}. Which answers have tags is part
// of the recorded rules: CreateApiKey and CreateUsagePlan if there are any, Get and Update always, lists never.
type (
	keyJSON struct {
		ID          string            `json:"id"`
		Value       string            `json:"value,omitempty"`
		Name        string            `json:"name,omitempty"`
		CustomerID  string            `json:"customerId,omitempty"`
		Description string            `json:"description,omitempty"`
		Enabled     bool              `json:"enabled"`
		Created     seconds           `json:"createdDate"`
		Updated     seconds           `json:"lastUpdatedDate"`
		StageKeys   []string          `json:"stageKeys"`
		Tags        map[string]string `json:"tags,omitzero"`
	}
	planKeyJSON struct {
		ID    string `json:"id"`
		Type  string `json:"type"`
		Value string `json:"value,omitempty"`
		Name  string `json:"name,omitempty"`
	}
	planJSON struct {
		ID          string            `json:"id"`
		Name        string            `json:"name"`
		Description string            `json:"description,omitempty"`
		Stages      []stageJSON       `json:"apiStages"`
		Throttle    *limitJSON        `json:"throttle,omitempty"`
		Quota       *quotaJSON        `json:"quota,omitempty"`
		Quotas      []quotaJSON       `json:"quotas,omitempty"`
		InFlight    inFlightJSON      `json:"inFlight,omitzero"`
		ProductCode string            `json:"productCode,omitempty"`
		Tags        map[string]string `json:"tags,omitzero"`
	}
	stageJSON struct {
		API     string               `json:"apiId"`
		Name    string               `json:"stage"`
		Methods map[string]limitJSON `json:"throttle,omitempty"`
	}
	limitJSON struct {
		Burst int64   `json:"burstLimit"`
		Rate  decimal `json:"rateLimit"`
	}
	quotaJSON struct {
		Limit    int64         `json:"limit"`
		Offset   int           `json:"offset"`
		Period   ledger.Period `json:"period"`
		Location string        `json:"location,omitempty"`
	}
	usageJSON struct {
		Plan     string                `json:"usagePlanId"`
		Start    string                `json:"startDate"`
		End      string                `json:"endDate"`
		Position string                `json:"position,omitempty"`
		Values   map[string][][2]int64 `json:"values"`
	}
	pageJSON[T any] struct {
		Items    []T    `json:"item"`
		Position string `json:"position,omitempty"`
	}
	idsJSON struct {
		IDs      []string `json:"ids"`
		Warnings []string `json:"warnings"`
	}
	tagsJSON struct {
		Tags map[string]string `json:"tags"`
	}
)

// seconds is a time as API Gateway writes it, Unix seconds. It is always there: Terraform's provider fails on a key
// without createdDate.
type seconds time.Time

func (t seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, time.Time(t).Unix(), 10), nil
}

// decimal is a number that is written with a point, even if it is whole: 1.0. API Gateway writes rates so, and a client
// in a language with two types of numbers may tell them apart by it.
type decimal float64

func (d decimal) MarshalJSON() ([]byte, error) {
	text := strconv.FormatFloat(float64(d), 'f', -1, 64)
	if math.Trunc(float64(d)) == float64(d) {
		text += ".0"
	}
	return []byte(text), nil
}

// writeKey returns the form of a key without its value and tags, which only some answers show.
func writeKey(k apikey.Key) keyJSON {
	return keyJSON{
		ID: k.ID, Name: k.Name, CustomerID: k.CustomerID, Description: k.Description, Enabled: k.Enabled,
		Created: seconds(k.Created), Updated: seconds(k.Updated), StageKeys: []string{},
	}
}

// writePlanKey returns the form of a usage plan key. The value is "" if it is not known.
func writePlanKey(k apikey.Key, value apikey.Secret) planKeyJSON {
	return planKeyJSON{ID: k.ID, Type: keyType, Value: string(value), Name: k.Name}
}

// writePlan returns the form of a plan without its tags. A plan with several quotas, or with one outside UTC, is none
// of API Gateway's: it has "quotas" and "location", as [usageplan.Plan.MarshalJSON] writes them, and so is "inFlight".
// SDKs skip these.
func writePlan(p usageplan.Plan) planJSON {
	w := planJSON{
		ID: p.ID, Name: p.Name, Description: p.Description, ProductCode: p.ProductCode,
		Stages: make([]stageJSON, 0, len(p.Stages)), InFlight: inFlightJSON(p.InFlight),
	}
	if p.Throttle != nil {
		l := writeLimit(*p.Throttle)
		w.Throttle = &l
	}
	for _, s := range p.Stages {
		w.Stages = append(w.Stages, stageJSON{s.API, s.Name, writeLimits(s.Methods)})
	}
	for _, q := range p.Quotas {
		w.Quotas = append(w.Quotas, writeQuota(q))
	}
	if len(w.Quotas) == 1 {
		w.Quota, w.Quotas = &w.Quotas[0], nil
	}
	return w
}

// writeLimit returns the form of a throttle.
func writeLimit(l ratelimit.Limit) limitJSON { return limitJSON{l.Burst, decimal(l.Rate)} }

// writeLimits returns the form of method throttles. The keys have API Gateway's form, in whatever spelling the plan has
// them. If two spellings stand for one method, which no valid plan has, both are shown.
func writeLimits(methods map[string]ratelimit.Limit) map[string]limitJSON {
	w := make(map[string]limitJSON, len(methods))
	for _, spelling := range slices.Sorted(maps.Keys(methods)) {
		key, err := parseMethodKey(strings.TrimPrefix(spelling, "/"))
		if _, twice := w[key]; twice || err != nil {
			key = spelling
		}
		w[key] = writeLimit(methods[spelling])
	}
	return w
}

// writeQuota returns the form of a quota. Its offset is always shown, even if it is 0.
func writeQuota(q ledger.Quota) quotaJSON {
	w := quotaJSON{Limit: q.Limit, Offset: q.Offset, Period: q.Period}
	if q.Location != nil && q.Location != time.UTC {
		w.Location = q.Location.String()
	}
	return w
}

// shown returns tags for an answer that always has them.
func shown(tags map[string]string) map[string]string {
	if tags == nil {
		return map[string]string{}
	}
	return tags
}
