package admin_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// only returns the id of the only key.
func (p *plane) only() string {
	p.t.Helper()
	keys := slices.Collect(p.keys.Keys())
	require.Len(p.t, keys, 1)
	return keys[0].ID
}

// The answers of API Gateway that were recorded; see control-plane.md §3.
func TestKeyAnswers(t *testing.T) {
	p := newPlane(t, settings{})
	const value = "0123456789abcdefghij0123456789"
	w := p.send("POST", "/apikeys", `{"value":"`+value+`"}`)
	id := p.only()
	created := w.Body.String()
	require.Equal(t, 201, w.Code)
	require.Equal(t, `{"id":"`+id+`","value":"`+value+`","enabled":false,"createdDate":0,"lastUpdatedDate":0,"stageKeys":[]}`,
		dates.ReplaceAllString(created, `Date":0`), "disabled by default; without a name and tags, none are shown")

	shown := `{"id":"` + id + `","enabled":false,"createdDate":0,"lastUpdatedDate":0,"stageKeys":[],"tags":{}}`
	p.want("GET", "/apikeys/"+id, "", 200, shown)
	p.want("GET", "/apikeys/"+id+"?includeValue=true", "", 200, shown) // the value is not sealed, so it is left out
	p.want("GET", "/apikeys", "", 200, `{"item":[`+strings.Replace(shown, `,"tags":{}`, "", 1)+`]}`)
	p.want("PATCH", "/apikeys/"+id, `{"patchOperations":[{"op":"replace","path":"/name","value":"n"},{"op":"replace","path":"/enabled","value":"true"},
		{"op":"replace","path":"/description","value":"<d>"},{"op":"replace","path":"/customerId","value":"c"}]}`, 200,
		`{"id":"`+id+`","name":"n","customerId":"c","description":"<d>","enabled":true,"createdDate":0,"lastUpdatedDate":0,"stageKeys":[],"tags":{}}`)
	p.want("PATCH", "/apikeys/"+id, `{"patchOperations":[{"op":"replace","path":"/enabled","value":"not-a-boolean"}]}`, 200,
		`{"id":"`+id+`","name":"n","customerId":"c","description":"<d>","enabled":false,"createdDate":0,"lastUpdatedDate":0,"stageKeys":[],"tags":{}}`)
	p.want("DELETE", "/apikeys/"+id, "", 202, "")
	p.want("GET", "/apikeys", "", 200, `{"item":[]}`)
}

func TestCreateKeyWithEverything(t *testing.T) {
	p := newPlane(t, settings{})
	w := p.send("POST", "/apikeys", `{"name":"n","description":"d","enabled":true,"generateDistinctId":true,"value":"","stageKeys":[],
		"customerId":"c","tags":{"a":"b"}}`)
	require.Equal(t, 201, w.Code, w.Body)
	require.Regexp(t, `^{"id":"[a-z0-9]{10}","value":"[A-Za-z0-9]{40}","name":"n","customerId":"c","description":"d","enabled":true,`+
		`"createdDate":\d{10},"lastUpdatedDate":\d{10},"stageKeys":\[\],"tags":{"a":"b"}}$`, w.Body.String())
	w = p.send("POST", "/apikeys", `{"name":"","description":null,"enabled":null,"tags":{}}`)
	require.Regexp(t, `^{"id":"[a-z0-9]{10}","value":"[A-Za-z0-9]{40}","enabled":false,"createdDate":\d{10},"lastUpdatedDate":\d{10},"stageKeys":\[\]}$`,
		w.Body.String(), "what is empty is left out")
}

func TestValueIsShownIfSealed(t *testing.T) {
	sealer, err := apikey.NewSealer(apikey.Secret(strings.Repeat("k", 32)))
	require.NoError(t, err)
	p := newPlane(t, settings{keys: func(c *apikey.Config) { c.Sealer = sealer }})
	const value = "0123456789abcdefghij0123456789"
	require.Equal(t, 201, p.send("POST", "/apikeys", `{"name":"n","value":"`+value+`"}`).Code)
	id := p.only()
	p.plan("gold")
	rest := `"enabled":false,"createdDate":0,"lastUpdatedDate":0,"stageKeys":[]`
	p.want("GET", "/apikeys/"+id+"?includeValue=true", "", 200, `{"id":"`+id+`","value":"`+value+`","name":"n",`+rest+`,"tags":{}}`)
	p.want("GET", "/apikeys/"+id, "", 200, `{"id":"`+id+`","name":"n",`+rest+`,"tags":{}}`)
	p.want("GET", "/apikeys?includeValues=true", "", 200, `{"item":[{"id":"`+id+`","value":"`+value+`","name":"n",`+rest+`}]}`)
	p.want("PATCH", "/apikeys/"+id, `{"patchOperations":[]}`, 200, `{"id":"`+id+`","name":"n",`+rest+`,"tags":{}}`)
	planKey := `{"id":"` + id + `","type":"API_KEY","value":"` + value + `","name":"n"}`
	p.want("POST", "/usageplans/gold/keys", `{"keyId":"`+id+`","keyType":"API_KEY"}`, 201, planKey)
	p.want("GET", "/usageplans/gold/keys/"+id, "", 200, planKey)
	p.want("GET", "/usageplans/gold/keys", "", 200, `{"item":[`+planKey+`]}`)
}

func TestKeyNameIsACaseSensitivePrefix(t *testing.T) {
	p := newPlane(t, settings{})
	for i, name := range []string{"client-1", "Client-2", "my-client", "client-3", ""} {
		p.key(fmt.Sprintf("%d", i), name)
	}
	for prefix, want := range map[string]string{"client": "client-3 client-1", "Client": "Client-2", "lient": "", "client-3": "client-3", "CLIENT": ""} {
		require.Equal(t, want, strings.Join(names(p.send("GET", "/apikeys?name="+prefix, "").Body.String()), " "), prefix)
	}
}

// A deleted key takes its memberships along.
func TestDeletedKeyLeavesNoMembership(t *testing.T) {
	p := newPlane(t, settings{})
	id := p.key("a", "a")
	p.plan("gold")
	p.join("gold", id)
	p.want("DELETE", "/apikeys/"+id, "", 202, "")
	require.Empty(t, p.plans.Memberships(id))
	p.refuse("DELETE", "/apikeys/"+id, "", 404, "NotFoundException", "Invalid API Key identifier specified")
}

const file = "Name,key,description,Enabled,usageplanIds\n" +
	"a, aaaaaaaaaaaaaaaaaaaa1 ,first,TRUE,\"gold,silver\"\n" +
	"b,bbbbbbbbbbbbbbbbbbbb2,,false,none\n" +
	"c,short,,,\n" +
	"d,dddddddddddddddddddd4,,,'gold'\n"

func TestImport(t *testing.T) {
	p := newPlane(t, settings{})
	p.plan("gold")
	_, err := p.plans.CreatePlan(t.Context(), usageplan.Plan{ID: "silver", Name: "s"})
	require.NoError(t, err)
	p.refuse("POST", "/apikeys?mode=import&format=csv&failonwarnings=true", file, 400, "BadRequestException",
		"Line 3: Invalid Usage Plan ID specified; Line 4: API Key value should be at least 20 characters")
	require.Empty(t, slices.Collect(p.keys.Keys()), "all or nothing")

	w := p.send("POST", "/apikeys?mode=import&format=csv&failonwarnings=false", file)
	require.Equal(t, 201, w.Code, w.Body)
	require.Regexp(t, `^{"ids":\["[a-z0-9]{10}","[a-z0-9]{10}"\],"warnings":\["Line 3: Invalid Usage Plan ID specified","Line 4: API Key value should be at least 20 characters"\]}$`, w.Body.String())
	plans := map[string][]string{}
	for k := range p.keys.Keys() {
		for _, m := range p.plans.Memberships(k.ID) {
			plans[k.Name] = append(plans[k.Name], m.Plan)
		}
		slices.Sort(plans[k.Name])
	}
	require.Equal(t, map[string][]string{"a": {"gold", "silver"}, "d": {"gold"}}, plans)

	again := p.send("POST", "/apikeys?mode=import&format=csv", file)
	require.Equal(t, w.Body.String(), again.Body.String(), "to repeat an import changes nothing")
	p.refuse("POST", "/apikeys?mode=import&format=csv", "Name,Value\na,b\n", 400, "BadRequestException", "Missing required column 'Key'")
}

// A key that is added to a plan while it is deleted leaves no membership.
func TestKeyDeletedWhileItJoins(t *testing.T) {
	p := newPlane(t, settings{})
	p.plan("gold")
	for i := range 300 {
		id := p.key(fmt.Sprintf("k%d", i), "")
		var both sync.WaitGroup
		both.Go(func() {
			if w := p.send("POST", "/usageplans/gold/keys", `{"keyId":"`+id+`","keyType":"API_KEY"}`); w.Code != 201 && w.Code != 404 {
				t.Error(w.Body)
			}
		})
		both.Go(func() {
			if w := p.send("DELETE", "/apikeys/"+id, ""); w.Code != 202 {
				t.Error(w.Body)
			}
		})
		both.Wait()
		require.Empty(t, p.plans.Memberships(id))
	}
}

// A value that cannot be opened any more is a fault of the server, and not a value that was never kept.
func TestValueOfALostSealingKey(t *testing.T) {
	sealer := func(key string) *apikey.Sealer {
		s, err := apikey.NewSealer(apikey.Secret(strings.Repeat(key, 32)))
		require.NoError(t, err)
		return s
	}
	j := journal.Memory(0)
	with := func(s *apikey.Sealer) settings {
		return settings{keys: func(c *apikey.Config) { c.Journal, c.Pepper, c.Sealer = j, apikey.Secret(strings.Repeat("p", 32)), s }}
	}
	id := newPlane(t, with(sealer("o"))).key("a", "a")
	p := newPlane(t, with(sealer("n")))
	p.refuse("GET", "/apikeys/"+id+"?includeValue=true", "", 500, "InternalFailure", "Internal server error")
	require.Equal(t, 200, p.send("GET", "/apikeys/"+id, "").Code)
}

// Who may import keys may not add them to plans by that.
func TestImportAsksAboutPlans(t *testing.T) {
	p := newPlane(t, settings{admin: func(c *admin.Config) {
		c.Authorize = func(_ *http.Request, a admin.Action) error {
			if a.Operation == "CreateUsagePlanKey" && a.Resource == "arn:aws:apigateway:eu-west-1::/usageplans/gold/keys" {
				return errors.New("not allowed")
			}
			return nil
		}
	}})
	p.plan("gold")
	w := p.send("POST", "/apikeys?mode=import&format=csv", "name,key,usageplanids\na,aaaaaaaaaaaaaaaaaaaa1,gold\nb,bbbbbbbbbbbbbbbbbbbb1,\n")
	require.Equal(t, 201, w.Code)
	require.Contains(t, w.Body.String(), `"warnings":["Line 2: Invalid Usage Plan ID specified"]`)
	require.Empty(t, p.plans.Memberships(p.only()))
}
