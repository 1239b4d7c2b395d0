package usageplan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// The JSON forms in which plans and members are written: API Gateway's, and "quotas", "location" and a member's
// "throttle" and "limits", which API Gateway does not have.
//
// They are read by load.go and not into these types. Reading has to accept what is never written: an id that is left
// out, half a throttle, productCode, the fields of a listing. And it has to find every mistake with its path. Types for
// both would have pointers in most fields and need a decoder by reflection, which is longer than the two schemas.
type (
	planJSON struct {
		ID          string            `json:"id"`
		Name        string            `json:"name"`
		Description string            `json:"description,omitempty"`
		Stages      []stageJSON       `json:"apiStages"`
		Throttle    *limitJSON        `json:"throttle,omitempty"`
		Quota       *quotaJSON        `json:"quota,omitempty"`
		Quotas      []quotaJSON       `json:"quotas,omitempty"`
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
	memberJSON struct {
		Plan     string                  `json:"usagePlanId"`
		Client   string                  `json:"keyId"`
		Type     string                  `json:"keyType"`
		Throttle *limitJSON              `json:"throttle,omitempty"`
		Limits   map[ledger.Period]int64 `json:"limits,omitempty"`
	}
)

// MarshalJSON writes the plan in API Gateway's form. A plan with several quotas, or with one outside UTC, gets a list
// "quotas" with the "location" of each instead of "quota". API Gateway does not read that list.
func (p Plan) MarshalJSON() ([]byte, error) {
	w := planJSON{
		ID: p.ID, Name: p.Name, Description: p.Description, Tags: p.Tags,
		Throttle: (*limitJSON)(p.Throttle), Stages: []stageJSON{},
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

// MarshalJSON writes the member as a CreateUsagePlanKey body, and adds the plan's id and the member's overrides.
func (m Member) MarshalJSON() ([]byte, error) {
	return json.Marshal(memberJSON{m.Plan, m.Client, keyType, (*limitJSON)(m.Throttle), m.Limits})
}

// UnmarshalJSON reads the form of MarshalJSON, as strictly as [Load].
func (m *Member) UnmarshalJSON(text []byte) error {
	doc, err := readJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("usageplan: %w: member: %w", ErrInvalid, err)
	}
	member := doc.member()
	if err := doc.finish(); err != nil {
		return err
	}
	*m = member
	return nil
}

// UnmarshalJSON reads the form that [json.Marshal] writes, as strictly as [Load].
func (c *Change) UnmarshalJSON(text []byte) error {
	doc, err := readJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("usageplan: %w: change: %w", ErrInvalid, err)
	}
	doc.known("putPlan", "deletePlan", "putMember", "deleteMember")
	change := Change{DeletePlan: doc.field("deletePlan").text()}
	if n := doc.field("putPlan"); !n.isNull() {
		p := n.plan()
		change.PutPlan = &p
	}
	if n := doc.field("putMember"); !n.isNull() {
		m := n.member()
		change.PutMember = &m
	}
	if n := doc.field("deleteMember"); !n.isNull() {
		m := n.member()
		change.DeleteMember = &m
	}
	if err := doc.finish(); err != nil {
		return err
	}
	*c = change
	return nil
}
