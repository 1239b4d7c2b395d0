package admin_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A model is what a control plane has, in the simplest form.
type model struct {
	keys, plans []string            // ids, newest first
	stage       map[string]string   // of a plan; "" if it opens none
	members     map[string][]string // of a plan, newest first
}

// taken reports whether the key is in the plan, or in another one for the same stage.
func (m *model) taken(key, plan string) bool {
	return slices.ContainsFunc(m.plans, func(p string) bool {
		return slices.Contains(m.members[p], key) && (p == plan || m.stage[p] == m.stage[plan] && m.stage[p] != "")
	})
}

func (m *model) pick(r *rand.Rand, ids []string) string {
	if len(ids) == 0 || r.IntN(20) == 0 {
		return "none"
	}
	return ids[r.IntN(len(ids))]
}

// Random requests have the statuses of the model, and the lists show what it has.
func TestServerAgainstAModel(t *testing.T) {
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 0))
		p := newPlane(t, settings{})
		m := &model{stage: map[string]string{}, members: map[string][]string{}}
		for range 300 {
			m.step(t, p, r)
		}
		m.compare(t, p)
	}
}

// step makes one random request.
func (m *model) step(t *testing.T, p *plane, r *rand.Rand) {
	t.Helper()
	key, plan := m.pick(r, m.keys), m.pick(r, m.plans)
	hasKey, hasPlan := slices.Contains(m.keys, key), slices.Contains(m.plans, plan)
	switch r.IntN(7) {
	case 0:
		m.keys = slices.Insert(m.keys, 0, m.create(t, p, "/apikeys", `{"name":"k"}`))
	case 1:
		id := m.create(t, p, "/usageplans", `{"name":"p","quota":{"limit":5,"period":"DAY"}}`)
		m.plans = slices.Insert(m.plans, 0, id)
	case 2, 3:
		want := status(hasKey && hasPlan, 201, 404)
		if want == 201 && m.taken(key, plan) {
			want = 409
		}
		require.Equal(t, want, p.send("POST", "/usageplans/"+plan+"/keys", `{"keyId":"`+key+`","keyType":"API_KEY"}`).Code)
		if want == 201 {
			m.members[plan] = slices.Insert(m.members[plan], 0, key)
		}
	case 4:
		is := slices.Contains(m.members[plan], key)
		require.Equal(t, status(is, 202, 404), p.send("DELETE", "/usageplans/"+plan+"/keys/"+key, "").Code)
		m.members[plan] = without(m.members[plan], key)
	case 5:
		m.patch(t, p, r, plan)
	case 6:
		if r.IntN(2) == 0 {
			require.Equal(t, status(hasKey, 202, 404), p.send("DELETE", "/apikeys/"+key, "").Code)
			m.keys = without(m.keys, key)
			for _, of := range m.plans {
				m.members[of] = without(m.members[of], key)
			}
			return
		}
		want := status(hasPlan, 202, 404)
		if m.stage[plan] != "" {
			want = 400
		}
		require.Equal(t, want, p.send("DELETE", "/usageplans/"+plan, "").Code)
		if want == 202 {
			m.plans = without(m.plans, plan)
			delete(m.members, plan)
		}
	}
}

// create makes something and returns its id.
func (m *model) create(t *testing.T, p *plane, target, body string) string {
	t.Helper()
	w := p.send("POST", target, body)
	require.Equal(t, 201, w.Code, w.Body)
	id, _, _ := strings.Cut(strings.TrimPrefix(w.Body.String(), `{"id":"`), `"`)
	return id
}

// patch replaces the stage of a plan. It is a conflict if a member is in another plan for the new one.
func (m *model) patch(t *testing.T, p *plane, r *rand.Rand, plan string) {
	t.Helper()
	stage := []string{"", "demo:prod", "other:prod"}[r.IntN(3)]
	var ops []string
	if m.stage[plan] != "" {
		ops = append(ops, `{"op":"remove","path":"/apiStages","value":"`+m.stage[plan]+`"}`)
	}
	if stage != "" {
		ops = append(ops, `{"op":"add","path":"/apiStages","value":"`+stage+`"}`)
	}
	want := status(slices.Contains(m.plans, plan), 200, 404)
	for _, other := range m.plans {
		for _, key := range m.members[plan] {
			if other != plan && stage != "" && m.stage[other] == stage && slices.Contains(m.members[other], key) {
				want = 409
			}
		}
	}
	w := p.send("PATCH", "/usageplans/"+plan, `{"patchOperations":[`+strings.Join(ops, ",")+`]}`)
	require.Equal(t, want, w.Code, w.Body)
	if want == 200 {
		m.stage[plan] = stage
	}
}

// compare reads everything, in pages.
func (m *model) compare(t *testing.T, p *plane) {
	t.Helper()
	require.Equal(t, m.keys, p.ids("/apikeys?"))
	require.Equal(t, m.plans, p.ids("/usageplans?"))
	for _, plan := range m.plans {
		require.ElementsMatch(t, m.members[plan], p.ids("/usageplans/"+plan+"/keys?"))
		body := p.send("GET", "/usageplans/"+plan, "").Body.String()
		api, stage, opens := strings.Cut(m.stage[plan], ":")
		require.Equal(t, opens, strings.Contains(body, fmt.Sprintf(`"apiStages":[{"apiId":"%s","stage":"%s"}]`, api, stage)), body)
	}
	for _, key := range m.keys {
		var in []string
		for _, plan := range m.plans {
			if slices.Contains(m.members[plan], key) {
				in = append(in, plan)
			}
		}
		require.Equal(t, in, p.ids("/usageplans?keyId="+key+"&"))
	}
}

// ids reads all pages of a list.
func (p *plane) ids(target string) (ids []string) {
	p.t.Helper()
	p.each(target, 7, func(item item) { ids = append(ids, item.ID) })
	return ids
}

func status(ok bool, yes, no int) int {
	if ok {
		return yes
	}
	return no
}

func without(ids []string, id string) []string {
	return slices.DeleteFunc(ids, func(s string) bool { return s == id })
}
