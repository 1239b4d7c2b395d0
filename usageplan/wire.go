package usageplan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// The JSON form in which plans are written: API Gateway's, and "quotas", "location" and "inFlight", which API Gateway
// does not have.
//
// It is read by load.go and not into these types. Reading has to accept what is never written: an id that is left out,
// half a throttle, the fields of a listing. And it has to find every mistake with its path. Types for
// both would have pointers in most fields and need a decoder by reflection, which is longer than the two schemas.
type (
	planJSON struct {
		ID          string            `json:"id"`
		Name        string            `json:"name"`
		Description string            `json:"description,omitempty"`
		ProductCode string            `json:"productCode,omitempty"`
		Stages      []stageJSON       `json:"apiStages"`
		Throttle    *limitJSON        `json:"throttle,omitempty"`
		Quota       *quotaJSON        `json:"quota,omitempty"`
		Quotas      []quotaJSON       `json:"quotas,omitempty"`
		InFlight    inFlightJSON      `json:"inFlight,omitzero"`
		Tags        map[string]string `json:"tags,omitempty"`
	}
	stageJSON struct {
		API     string               `json:"apiId"`
		Name    string               `json:"stage"`
		Methods map[string]limitJSON `json:"throttle,omitempty"`
	}
	limitJSON struct {
		Rate  float64 `json:"rateLimit"`
		Burst int64   `json:"burstLimit"`
	}
	quotaJSON struct {
		Limit    int64         `json:"limit"`
		Offset   int           `json:"offset"`
		Period   ledger.Period `json:"period"`
		Location string        `json:"location,omitempty"`
	}
	inFlightJSON struct {
		Client int `json:"client,omitempty"`
		Total  int `json:"total,omitempty"`
	}
)

// MarshalJSON writes the plan in API Gateway's form. A plan with several quotas, or with one outside UTC, gets a list
// "quotas" with the "location" of each instead of "quota". A plan with a Plan.InFlight gets a field "inFlight", such as
// {"client": 4, "total": 100}. API Gateway reads neither.
func (p Plan) MarshalJSON() ([]byte, error) {
	w := planJSON{
		ID: p.ID, Name: p.Name, Description: p.Description, ProductCode: p.ProductCode, Tags: p.Tags,
		Throttle: (*limitJSON)(p.Throttle), Stages: []stageJSON{}, InFlight: inFlightJSON(p.InFlight),
	}
	for _, q := range p.Quotas {
		w.Quotas = append(w.Quotas, writeQuota(q))
	}
	if len(w.Quotas) == 1 && w.Quotas[0].Location == "" {
		w.Quota, w.Quotas = &w.Quotas[0], nil
	}
	for _, s := range p.Stages {
		stage := stageJSON{API: s.API, Name: s.Name, Methods: make(map[string]limitJSON)}
		for key, limit := range s.Methods {
			stage.Methods[key] = limitJSON(limit)
		}
		w.Stages = append(w.Stages, stage)
	}
	return json.Marshal(w)
}

func writeQuota(q ledger.Quota) quotaJSON {
	w := quotaJSON{Limit: q.Limit, Offset: q.Offset, Period: q.Period}
	if q.Location != nil && q.Location != time.UTC {
		w.Location = q.Location.String()
	}
	return w
}

// UnmarshalJSON reads exactly one plan, as strictly as [Load].
func (p *Plan) UnmarshalJSON(text []byte) error {
	plans, err := Load(bytes.NewReader(text))
	if err == nil && len(plans) != 1 {
		err = fmt.Errorf("usageplan: %w: %d plans, not one", ErrInvalid, len(plans))
	}
	if err == nil {
		*p = plans[0]
	}
	return err
}
