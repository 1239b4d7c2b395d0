package admin

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
)

// The resource types of Terraform's AWS provider that concern keys and plans
// (https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/api_gateway_usage_plan).
const (
	terraformPlan    = "aws_api_gateway_usage_plan"
	terraformKey     = "aws_api_gateway_api_key"
	terraformPlanKey = "aws_api_gateway_usage_plan_key"
)

// readState reads the keys, plans and memberships of a Terraform state: the file, of version 4, or what
// `terraform show -json` prints. It takes the attributes that it knows, and ignores those that the provider computes.
// The file has {"resources": [{"type": …, "instances": [{"attributes": {…}}]}]}, and the command prints
// {"values": {"root_module": {"resources": [{"type": …, "values": {…}}], "child_modules": […]}}}. Attributes are the
// same in both. A data source is skipped: it is a copy of what another state or no state manages.
func (m *move) readState(s Source, doc node) error {
	if doc.has("values") {
		m.readModule(s, doc.field("values").field("root_module"))
		return doc.finish()
	}
	if version := doc.field("version"); version.whole() != 4 {
		version.fail("is not 4")
	}
	for _, r := range doc.field("resources").list() {
		if r.field("mode").text() == "data" {
			continue
		}
		for _, instance := range r.field("instances").list() {
			m.readResource(s, r.field("type").text(), instance.field("attributes"))
		}
	}
	return doc.finish()
}

// readModule reads a module of `terraform show -json` and the modules in it. A document is not deep enough for the
// recursion to be.
func (m *move) readModule(s Source, module node) {
	for _, r := range module.field("resources").list() {
		if r.field("mode").text() != "data" {
			m.readResource(s, r.field("type").text(), r.field("values"))
		}
	}
	for _, child := range module.field("child_modules").list() {
		m.readModule(s, child)
	}
}

// readResource reads one resource.
func (m *move) readResource(s Source, kind string, n node) {
	at := s.place(n)
	n.mistake = new(error)
	switch kind {
	case terraformPlan:
		plan := terraformPlanForm(n)
		if err := n.finish(); err != nil {
			m.leaveOut(at, "%v", err)
			return
		}
		m.addPlan(at, plan)
	case terraformKey:
		m.addKey(at, n, apikey.Entry{Value: apikey.Secret(n.field("value").text()), Key: apikey.Key{
			ID: n.field("id").text(), Name: n.field("name").text(), Description: n.field("description").text(),
			CustomerID: n.field("customer_id").text(), Enabled: n.field("enabled").truth(), Tags: n.field("tags").texts(),
			Created: n.field("created_date").time(),
		}})
	case terraformPlanKey:
		m.addMember(at, n, usageplan.Member{Plan: n.field("usage_plan_id").text(), Client: n.field("key_id").text()})
	}
}

// terraformPlanForm returns a plan in API Gateway's form.
func terraformPlanForm(n node) map[string]any {
	plan := map[string]any{
		"id": n.field("id").text(), "name": n.field("name").text(), "description": n.field("description").text(),
		"productCode": n.field("product_code").text(), "tags": n.field("tags").value,
	}
	var stages []any
	for _, s := range n.field("api_stages").list() {
		stages = append(stages, map[string]any{
			"apiId": s.field("api_id").text(), "stage": s.field("stage").text(),
			"throttle": terraformMethods(s.field("throttle")),
		})
	}
	plan["apiStages"] = stages
	if t, given := block(n.field("throttle_settings")); given {
		plan["throttle"] = terraformLimit(t)
	}
	if q, given := block(n.field("quota_settings")); given {
		plan["quota"] = map[string]any{
			"limit": q.field("limit").value, "offset": q.field("offset").value, "period": q.field("period").value,
		}
	}
	return plan
}

// block returns the only element of a block, which a state has as a list.
func block(n node) (of node, given bool) {
	list := n.list()
	if len(list) > 1 {
		n.fail("has %d blocks", len(list))
	}
	if len(list) != 1 {
		return node{}, false
	}
	return list[0], true
}

func terraformMethods(n node) map[string]any {
	methods := make(map[string]any)
	for _, m := range n.list() {
		path := m.field("path")
		if _, twice := methods[path.text()]; twice {
			path.fail("is given twice")
		}
		methods[path.text()] = terraformLimit(m)
	}
	return methods
}

func terraformLimit(n node) map[string]any {
	return map[string]any{"rateLimit": n.field("rate_limit").value, "burstLimit": n.field("burst_limit").value}
}

// The forms of a state file, as far as this package writes them.
type (
	stateJSON struct {
		Version   int                 `json:"version"`
		Terraform string              `json:"terraform_version"`
		Serial    int                 `json:"serial"`
		Lineage   string              `json:"lineage"`
		Outputs   map[string]any      `json:"outputs"`
		Resources []stateResourceJSON `json:"resources"`
	}
	stateResourceJSON struct {
		Mode      string              `json:"mode"`
		Type      string              `json:"type"`
		Name      string              `json:"name"`
		Provider  string              `json:"provider"`
		Instances []stateInstanceJSON `json:"instances"`
	}
	stateInstanceJSON struct {
		Schema     int            `json:"schema_version"`
		Attributes map[string]any `json:"attributes"`
	}
)

// provider is the address of Terraform's AWS provider. With its endpoint set to this control plane, Terraform goes on to
// manage what the state has.
const provider = `provider["registry.terraform.io/hashicorp/aws"]`

// writeState writes a state file with the keys, plans and memberships, oldest first. A key is named by its id. A plan is
// named by its number, because an id of a plan need not be a name.
func (m *move) writeState(ctx context.Context, w *bytes.Buffer, _ string) error {
	keys := slices.Collect(m.Keys.Keys())
	slices.Reverse(keys)
	values, err := m.reveal(ctx, keys)
	if err != nil {
		return err
	}
	state := stateJSON{Version: 4, Terraform: "1.0.0", Serial: 1, Outputs: map[string]any{}}
	state.Resources = []stateResourceJSON{} // not null
	add := func(kind, name string, attributes map[string]any) {
		state.Resources = append(state.Resources, stateResourceJSON{
			"managed", kind, name, provider, []stateInstanceJSON{{0, attributes}},
		})
	}
	for _, k := range keys {
		add(terraformKey, "key_"+k.ID, map[string]any{
			"id": k.ID, "name": k.Name, "description": k.Description, "customer_id": k.CustomerID, "enabled": k.Enabled,
			"value": string(values[k.ID]), "tags": k.Tags, "created_date": k.Created.Format(time.RFC3339),
		})
		m.did("key "+k.ID, "%q", clip(k.Name))
	}
	for i, p := range slices.Backward(m.exported()) {
		add(terraformPlan, fmt.Sprintf("plan_%d", i), m.stateForm(p))
		members, err := m.planMembers(p.ID)
		if err != nil {
			return err
		}
		for j, k := range slices.Backward(members) {
			add(terraformPlanKey, fmt.Sprintf("plan_%d_key_%d", i, j), map[string]any{
				"id": k.Client, "key_id": k.Client, "key_type": keyType, "usage_plan_id": p.ID,
			})
		}
	}
	return writeJSON(w, state)
}

// stateForm returns the attributes of a plan.
func (m *move) stateForm(p usageplan.Plan) map[string]any {
	stages, throttle, quota := []any{}, []any{}, []any{}
	for _, s := range p.Stages {
		methods := []any{}
		for _, key := range slices.Sorted(maps.Keys(s.Methods)) {
			l := s.Methods[key]
			methods = append(methods, map[string]any{"path": key, "rate_limit": l.Rate, "burst_limit": l.Burst})
		}
		stages = append(stages, map[string]any{"api_id": s.API, "stage": s.Name, "throttle": methods})
	}
	if l := p.Throttle; l != nil {
		throttle = append(throttle, map[string]any{"rate_limit": l.Rate, "burst_limit": l.Burst})
	}
	if q := m.quota(p); q != nil {
		quota = append(quota, map[string]any{"limit": q.Limit, "offset": q.Offset, "period": q.Period})
	}
	return map[string]any{
		"id": p.ID, "name": p.Name, "description": p.Description, "product_code": p.ProductCode, "tags": p.Tags,
		"api_stages": stages, "throttle_settings": throttle, "quota_settings": quota,
	}
}
