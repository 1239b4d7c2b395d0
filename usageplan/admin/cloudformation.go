package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
)

// The resource types of templates that concern keys and plans
// (https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ApiGateway.html).
const (
	templatePlan    = "AWS::ApiGateway::UsagePlan"
	templateKey     = "AWS::ApiGateway::ApiKey"
	templatePlanKey = "AWS::ApiGateway::UsagePlanKey"
)

// spellings are API Gateway's names of a plan's properties in a template. Others have no counterpart.
var spellings = map[string]string{
	"UsagePlanName": "name", "Description": "description", "ApiStages": "apiStages", "ApiId": "apiId", "Stage": "stage",
	"Throttle": "throttle", "RateLimit": "rateLimit", "BurstLimit": "burstLimit", "Quota": "quota", "Limit": "limit",
	"Offset": "offset", "Period": "period", "Tags": "tags",
}

// numbers are the properties that are numbers. A template may give them as text.
var numbers = []string{"RateLimit", "BurstLimit", "Limit", "Offset"}

// readTemplate reads the usage plans of a CloudFormation template. A plan gets its logical id as its id, and also as
// its name if it has none: the names that CloudFormation makes up are not in the template.
//
// Keys and memberships are not taken from a template. It has neither the ids of keys nor, as a rule, their values. For
// example, of the following the plan "Gold" is imported, with what "Api" stands for as the API of its stage:
//
//	{"Resources": {"Gold": {"Type": "AWS::ApiGateway::UsagePlan", "Properties": {
//		"UsagePlanName": "gold", "ApiStages": [{"ApiId": {"Ref": "Api"}, "Stage": "prod"}]}}}}
func (m *move) readTemplate(s Source, doc node) error {
	t := template{refs: defaults(doc)}
	maps.Copy(t.refs, s.Refs)
	resources := doc.field("Resources")
	if resources.isNull() {
		resources.fail("is required")
	}
	for _, id := range resources.names() {
		n := resources.field(id)
		at := s.place(n)
		switch n.field("Type").text() {
		case templateKey, templatePlanKey:
			m.did(at, "not imported: a template has no ids and values of keys; use %s and %s", FormatKeys, FormatPlanKeys)
		case templatePlan:
			plan, err := t.plan(id, n.field("Properties"))
			if err != nil {
				m.leaveOut(at, "%v", err)
				continue
			}
			m.addPlan(at, plan)
		}
	}
	return doc.finish()
}

// defaults returns the defaults of a template's parameters.
func defaults(doc node) map[string]string {
	refs := make(map[string]string)
	parameters := doc.field("Parameters")
	for _, name := range parameters.names() {
		switch value := parameters.field(name).field("Default").value.(type) {
		case string:
			refs[name] = value
		case json.Number:
			refs[name] = value.String()
		}
	}
	return refs
}

// A template resolves what a template refers to. Other functions, such as Fn::Sub, are not evaluated: what has one is
// left out. To evaluate them all would be to write CloudFormation.
type template struct{ refs map[string]string }

// plan returns a plan in API Gateway's form.
func (t template) plan(id string, properties node) (map[string]any, error) {
	value, err := t.translate("", properties.value)
	if err != nil {
		return nil, fmt.Errorf("%s%w", properties.path, err)
	}
	plan, is := value.(map[string]any)
	if !is {
		return nil, fmt.Errorf("%s is not an object", properties.path)
	}
	if tags, is := plan["tags"].([]any); is {
		if plan["tags"], err = pairs(tags); err != nil {
			return nil, err
		}
	}
	plan["id"] = id
	if _, named := plan["name"]; !named {
		plan["name"] = id
	}
	return plan, nil
}

// pairs returns tags, which a template lists as [{"Key": …, "Value": …}], as an object.
func pairs(list []any) (map[string]any, error) {
	tags := make(map[string]any)
	for _, value := range list {
		pair, _ := value.(map[string]any)
		name, is := pair["Key"].(string)
		if _, twice := tags[name]; twice || !is || len(pair) != 2 {
			return nil, errors.New("a tag is not {Key, Value}, or given twice")
		}
		tags[name] = pair["Value"]
	}
	return tags, nil
}

// translate returns a value with API Gateway's names in it, and with what its references stand for. name is the
// property that has the value. The error begins with the path.
func (t template) translate(name string, value any) (any, error) {
	switch v := value.(type) {
	case string:
		return number(name, v), nil
	case []any:
		return t.translateList(v)
	case map[string]any:
		if ref, is := v["Ref"].(string); is && len(v) == 1 {
			return t.resolve(name, ref)
		}
		return t.translateObject(v)
	}
	return value, nil
}

func (t template) translateList(list []any) (any, error) {
	out := make([]any, 0, len(list))
	for i, v := range list {
		v, err := t.translate("", v)
		if err != nil {
			return nil, fmt.Errorf("[%d]%w", i, err)
		}
		if v != noValue {
			out = append(out, v)
		}
	}
	return out, nil
}

func (t template) translateObject(object map[string]any) (any, error) {
	out := make(map[string]any, len(object))
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if strings.HasPrefix(name, "Fn::") {
			return nil, fmt.Errorf(" has %s, which is not evaluated", clip(name))
		}
		v, err := t.translate(name, object[name])
		if err != nil {
			return nil, fmt.Errorf(".%s%w", clip(name), err)
		}
		to, found := spellings[name]
		if !found {
			to = name
		}
		if _, twice := out[to]; twice {
			return nil, fmt.Errorf(".%s is given twice", clip(name))
		}
		if v != noValue {
			out[to] = v
		}
	}
	return out, nil
}

// noValue stands for the pseudo parameter AWS::NoValue, which removes the property that it is the value of.
var noValue any = struct{}{}

// resolve returns what a reference stands for.
func (t template) resolve(name, ref string) (any, error) {
	if ref == "AWS::NoValue" {
		return noValue, nil
	}
	text, found := t.refs[ref]
	if !found {
		return nil, fmt.Errorf(" refers to %s: Source.Refs says what it stands for", clip(ref))
	}
	return number(name, text), nil
}

// number returns the text of a property that is a number as a number, and any other text as it is.
func number(name, text string) any {
	if slices.Contains(numbers, name) && json.Valid([]byte(text)) {
		return json.Number(text)
	}
	return text
}

// The forms of a plan in a template.
type (
	templatePlanJSON struct {
		Name        string              `json:"UsagePlanName"`
		Description string              `json:",omitempty"`
		Stages      []templateStageJSON `json:"ApiStages,omitempty"`
		Throttle    *templateLimitJSON  `json:",omitempty"`
		Quota       *templateQuotaJSON  `json:",omitempty"`
		Tags        []templateTagJSON   `json:",omitempty"`
	}
	templateStageJSON struct {
		ID       string `json:"ApiId"`
		Stage    string
		Throttle map[string]templateLimitJSON `json:",omitempty"`
	}
	templateLimitJSON struct {
		BurstLimit int64
		RateLimit  float64
	}
	templateQuotaJSON struct {
		Limit  int64
		Offset int
		Period string
	}
	templateTagJSON struct{ Key, Value string }
	resourceJSON    struct {
		Type       string
		Properties any
	}
)

// writeTemplate writes a template with the usage plans. The logical id of a plan is its id, as far as a logical id can
// be: it has letters and digits only.
func (m *move) writeTemplate(_ context.Context, w *bytes.Buffer, _ string) error {
	resources := make(map[string]resourceJSON)
	for _, p := range m.exported() {
		id := logicalID(p.ID)
		if _, twice := resources[id]; twice || id == "" {
			m.leaveOut("usage plan "+p.ID, "a template cannot have its id")
			continue
		}
		resources[id] = resourceJSON{templatePlan, m.templateForm(p)}
	}
	return writeJSON(w, map[string]any{"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources})
}

// logicalID returns the letters and digits of an id.
func logicalID(id string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", c) {
			return c
		}
		return -1
	}, id)
}

func (m *move) templateForm(p usageplan.Plan) templatePlanJSON {
	w := templatePlanJSON{Name: p.Name, Description: p.Description, Throttle: templateLimit(p.Throttle)}
	for _, s := range p.Stages {
		stage := templateStageJSON{ID: s.API, Stage: s.Name, Throttle: make(map[string]templateLimitJSON)}
		for key, l := range s.Methods {
			stage.Throttle[key] = *templateLimit(&l)
		}
		w.Stages = append(w.Stages, stage)
	}
	if q := m.quota(p); q != nil {
		w.Quota = &templateQuotaJSON{q.Limit, q.Offset, string(q.Period)}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Tags)) {
		w.Tags = append(w.Tags, templateTagJSON{name, p.Tags[name]})
	}
	if p.ProductCode != "" {
		m.leaveOut("usage plan "+p.ID, "the product code")
	}
	return w
}

func templateLimit(l *ratelimit.Limit) *templateLimitJSON {
	if l == nil {
		return nil
	}
	return &templateLimitJSON{l.Burst, l.Rate}
}
