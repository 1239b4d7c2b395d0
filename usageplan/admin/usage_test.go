package admin_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// inDecember runs f in a bubble whose clock is a noon of UTC.
func inDecember(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)))
		f(t)
	})
}

// The body that was recorded of API Gateway on 2026-09-13: one pair for each day, idle ones too, and what is left is
// carried on through the month.
func TestUsageOfAMonth(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, settings{})
		key := p.key("a", "a")
		p.plan("gold", ledger.Quota{Limit: 1000, Period: ledger.Monthly})
		p.join("gold", key)
		p.take(key, 3)
		time.Sleep(24 * time.Hour)
		time.Sleep(24 * time.Hour) // the 1st
		p.take(key, 2)
		p.want("GET", "/usageplans/gold/usage?startDate=2026-11-28&endDate=2026-12-02", "", 200,
			`{"usagePlanId":"gold","startDate":"2026-11-28","endDate":"2026-12-02","values":{"`+key+`":[[0,1000],[3,997],[0,997],[2,998],[0,998]]}}`)
		p.want("GET", "/usageplans/gold/usage?startDate=2026-12-01&endDate=2026-12-01&keyId="+key, "", 200,
			`{"usagePlanId":"gold","startDate":"2026-12-01","endDate":"2026-12-01","values":{"`+key+`":[[2,998]]}}`)
	})
}

func TestUpdateUsageSetsWhatRemains(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, settings{})
		key := p.key("a", "a")
		p.plan("gold", daily)
		p.join("gold", key)
		p.take(key, 10)
		remaining := func(n string) string {
			return `{"patchOperations":[{"op":"replace","path":"/remaining","value":"` + n + `"}]}`
		}
		answer := func(pair string) string {
			return `{"usagePlanId":"gold","startDate":"2026-11-29","endDate":"2026-11-29","values":{"` + key + `":[` + pair + `]}}`
		}
		p.want("PATCH", "/usageplans/gold/keys/"+key+"/usage", `{"patchOperations":[]}`, 200, answer("[10,0]"))
		p.want("PATCH", "/usageplans/gold/keys/"+key+"/usage", remaining("5"), 200, answer("[10,5]"))
		p.take(key, 1)
		p.want("GET", "/usageplans/gold/usage?startDate=2026-11-29&endDate=2026-11-29", "", 200, answer("[11,4]"))
		p.want("PATCH", "/usageplans/gold/keys/"+key+"/usage", remaining("0"), 200, answer("[11,0]"))
		for _, bad := range []string{"", "-1", "x", "1.5", "9223372036854775807", "99999999999999999999"} {
			requireBad(t, p.send("PATCH", "/usageplans/gold/keys/"+key+"/usage", remaining(bad)), bad)
		}
		var made []ledger.Change
		for c, err := range p.plans.Adjustments(t.Context(), usageplan.QuotaKey{Plan: "gold", Client: key}, time.Now(), time.Now()) {
			require.NoError(t, err)
			made = append(made, c)
		}
		require.Len(t, made, 2)
		require.Equal(t, owner, made[0].Actor, "the ledger says who did it")
		time.Sleep(24 * time.Hour)
		p.want("GET", "/usageplans/gold/usage?startDate=2026-11-30&endDate=2026-11-30", "", 200,
			`{"usagePlanId":"gold","startDate":"2026-11-30","endDate":"2026-11-30","values":{"`+key+`":[[0,10]]}}`)
	})
}

func TestUsageWithoutAQuota(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, settings{})
		key := p.key("a", "a")
		p.plan("free")
		p.join("free", key)
		p.take(key, 7)
		p.want("GET", "/usageplans/free/usage?startDate=2026-11-28&endDate=2026-11-29", "", 200,
			`{"usagePlanId":"free","startDate":"2026-11-28","endDate":"2026-11-29","values":{"`+key+`":[[0,0],[7,0]]}}`)
		p.refuse("PATCH", "/usageplans/free/keys/"+key+"/usage", `{"patchOperations":[{"op":"replace","path":"/remaining","value":"1"}]}`,
			400, "BadRequestException", "Usage Plan free has no quota")
	})
}

// A quota per day that becomes one per month keeps the days of before.
func TestUsageOutlivesItsPeriod(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, settings{})
		key := p.key("a", "a")
		p.plan("gold", daily)
		p.join("gold", key)
		p.take(key, 7)
		time.Sleep(24 * time.Hour)
		require.Equal(t, 200, p.send("PATCH", "/usageplans/gold", `{"patchOperations":[{"op":"replace","path":"/quota/period","value":"MONTH"},
			{"op":"replace","path":"/quota/limit","value":"100"}]}`).Code)
		p.take(key, 2)
		w := p.send("GET", "/usageplans/gold/usage?startDate=2026-11-29&endDate=2026-11-30", "")
		require.Contains(t, w.Body.String(), `[[7,100],[2,98]]`)
	})
}

// The days of a quota are those of its own midnight.
func TestUsageByTheQuotasMidnight(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		auckland, err := time.LoadLocation("Pacific/Auckland")
		require.NoError(t, err)
		p := newPlane(t, settings{})
		key := p.key("a", "a")
		p.plan("gold", ledger.Quota{Limit: 10, Period: ledger.Daily, Location: auckland})
		p.join("gold", key)
		p.take(key, 1) // 01:00 on the 30th, there
		p.want("GET", "/usageplans/gold/usage?startDate=2026-11-29&endDate=2026-11-30", "", 200,
			`{"usagePlanId":"gold","startDate":"2026-11-29","endDate":"2026-11-30","values":{"`+key+`":[[0,10],[1,9]]}}`)
		p.want("PATCH", "/usageplans/gold/keys/"+key+"/usage", `{}`, 200,
			`{"usagePlanId":"gold","startDate":"2026-11-30","endDate":"2026-11-30","values":{"`+key+`":[[1,9]]}}`)
	})
}

// Two quotas may have midnights at different times. Each counts its own days, and the first one is shown.
func TestUsageOfQuotasInTwoPlaces(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		for _, name := range []string{"Pacific/Auckland", "Pacific/Kiritimati", "Pacific/Pago_Pago"} {
			place, err := time.LoadLocation(name)
			require.NoError(t, err)
			p := newPlane(t, settings{})
			key := p.key("a", "a")
			p.plan("gold", ledger.Quota{Limit: 10, Period: ledger.Daily, Location: place}, ledger.Quota{Limit: 100, Period: ledger.Monthly})
			p.join("gold", key)
			p.take(key, 1)
			here := time.Now().In(place)
			w := p.send("GET", "/usageplans/gold/usage?startDate="+here.AddDate(0, 0, -1).Format(time.DateOnly)+
				"&endDate="+here.AddDate(0, 0, 1).Format(time.DateOnly), "")
			require.Contains(t, w.Body.String(), `[[0,10],[1,9],[0,10]]`, name)
		}
	})
}

// All that have used the plan are listed: keys that have left it, keys that are gone, and clients of the default plan.
func TestUsageOfThoseThatAreNoMembers(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, settings{plans: func(c *usageplan.Config) {
			c.Plans = []usageplan.Plan{{ID: "gold", Name: "g", Quotas: []ledger.Quota{daily}, Stages: []usageplan.Stage{{API: "demo", Name: "prod"}}}}
			c.Default = "gold"
		}})
		left, gone, guest, idle := p.key("left", "l"), p.key("gone", "g"), p.key("guest", "g"), p.key("idle", "i")
		p.join("gold", left, gone, idle)
		p.take(left, 1)
		p.take(gone, 2)
		p.take(guest, 3)
		p.want("DELETE", "/usageplans/gold/keys/"+left, "", 202, "")
		p.want("DELETE", "/apikeys/"+gone, "", 202, "")
		const days = "startDate=2026-11-29&endDate=2026-11-29"
		all := `{"` + gone + `":[[2,8]],"` + guest + `":[[3,7]],"` + idle + `":[[0,10]],"` + left + `":[[1,9]]}`
		p.want("GET", "/usageplans/gold/usage?"+days, "", 200, `{"usagePlanId":"gold","startDate":"2026-11-29","endDate":"2026-11-29","values":`+all+`}`)
		for key, value := range map[string]string{left: `{"` + left + `":[[1,9]]}`, gone: `{"` + gone + `":[[2,8]]}`, idle: `{"` + idle + `":[[0,10]]}`, "none": `{}`} {
			p.want("GET", "/usageplans/gold/usage?"+days+"&keyId="+key, "", 200, `{"usagePlanId":"gold","startDate":"2026-11-29","endDate":"2026-11-29","values":`+value+`}`)
		}
		for limit := 1; limit <= 5; limit++ {
			got, pages := p.usage("gold", days, limit)
			require.JSONEq(t, all, got, "limit %d", limit)
			require.Equal(t, (4+limit-1)/limit, pages, "no page is empty")
		}
	})
}

// usage reads all pages of GetUsage and returns their values.
func (p *plane) usage(plan, days string, limit int) (values string, pages int) {
	p.t.Helper()
	all, position := map[string]json.RawMessage{}, ""
	for {
		var page struct {
			Values   map[string]json.RawMessage
			Position string
		}
		w := p.send("GET", fmt.Sprintf("/usageplans/%s/usage?%s&limit=%d&position=%s", plan, days, limit, position), "")
		require.Equal(p.t, 200, w.Code, w.Body)
		require.NoError(p.t, json.Unmarshal(w.Body.Bytes(), &page))
		require.LessOrEqual(p.t, len(page.Values), limit)
		pages++
		for id, v := range page.Values {
			require.NotContains(p.t, all, id, "listed twice")
			all[id] = v
		}
		if position = page.Position; position == "" {
			text, err := json.Marshal(all)
			require.NoError(p.t, err)
			return string(text), pages
		}
	}
}

// Without a limit, GetUsage gives every key, because aws-cli would lose all pages but the first.
func TestUsageIsCompleteWithoutALimit(t *testing.T) {
	p := newPlane(t, settings{})
	p.plan("gold", daily)
	const n = 1234
	for i := range n {
		p.join("gold", p.key(fmt.Sprintf("k%04d", i), ""))
	}
	today := day(time.Now())
	var page struct {
		Values   map[string][][2]int64
		Position string
	}
	for _, limit := range []string{"", "&limit=0", "&limit=501"} {
		w := p.send("GET", "/usageplans/gold/usage?startDate="+today+"&endDate="+today+limit, "")
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &page))
		require.Len(t, page.Values, n)
		require.Empty(t, page.Position)
	}
}
