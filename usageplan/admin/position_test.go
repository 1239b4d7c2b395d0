package admin_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
)

// An item is what the lists have in common.
type item struct{ ID, Name string }

// each calls f with all items of a list, which it reads in pages. It returns how many pages there were.
func (p *plane) each(target string, limit int, f func(item)) (pages int) {
	p.t.Helper()
	position := ""
	for {
		var page struct {
			Item     []item
			Position *string
		}
		w := p.send("GET", fmt.Sprintf("%slimit=%d&position=%s", target, limit, position), "")
		require.Equal(p.t, 200, w.Code, w.Body)
		require.NoError(p.t, json.Unmarshal(w.Body.Bytes(), &page))
		require.LessOrEqual(p.t, len(page.Item), limit)
		pages++
		for _, i := range page.Item {
			f(i)
		}
		if page.Position == nil {
			return pages
		}
		require.Regexp(p.t, `^[A-Za-z0-9_-]+$`, *page.Position)
		position = *page.Position
	}
}

// Every list is newest first, and its pages together are the whole, without anything twice.
func TestPagesAreTheWholeList(t *testing.T) {
	p := newPlane(t, settings{})
	var want []string
	p.plan("all")
	for i := range 60 {
		name := fmt.Sprintf("n%02d", i)
		id := fmt.Sprintf("key%07d", i)
		_, err := p.keys.Create(t.Context(), apikey.Key{ID: id, Name: name, CustomerID: fmt.Sprintf("c%d", i%3)}, p.keys.Generate())
		require.NoError(t, err)
		p.join("all", id)
		_, err = p.plans.CreatePlan(t.Context(), usageplan.Plan{ID: "plan" + name, Name: name})
		require.NoError(t, err)
		want = append(want, name)
	}
	slices.Reverse(want)
	thirds := func(rest int) (some []string) {
		for _, name := range want {
			if i := (name[1]-'0')*10 + name[2] - '0'; int(i)%3 == rest {
				some = append(some, name)
			}
		}
		return some
	}
	for _, limit := range []int{1, 7, 25, 59, 60, 500} {
		for target, list := range map[string][]string{
			"/apikeys?": want, "/usageplans/all/keys?": want, "/usageplans?": append(slices.Clone(want), "plan all"),
			"/apikeys?name=n1&": want[40:50], "/usageplans/all/keys?name=n1&": want[40:50],
			"/apikeys?customerId=c1&": thirds(1), "/apikeys?customerId=none&": nil, "/apikeys?name=x&": nil,
			"/usageplans?keyId=key0000000&": {"plan all"},
		} {
			var got []string
			p.each(target, limit, func(i item) { got = append(got, i.Name) })
			require.Equal(t, list, got, "%s limit %d", target, limit)
		}
	}
	require.Equal(t, 1, p.each("/apikeys?", 60, func(item) {}), "the last page has no position")
	require.Equal(t, 25, strings.Count(p.send("GET", "/apikeys", "").Body.String(), `"id"`), "the default")
}

// A list goes on where it was, whatever is created or deleted meanwhile.
func TestPositionOutlivesChanges(t *testing.T) {
	p := newPlane(t, settings{})
	for i := range 6 {
		p.key(fmt.Sprintf("k%d", i), fmt.Sprintf("n%d", i))
		_, err := p.plans.CreatePlan(t.Context(), usageplan.Plan{ID: fmt.Sprintf("plan%d", i), Name: fmt.Sprintf("n%d", i)})
		require.NoError(t, err)
	}
	for target, remove := range map[string]func(i int) error{
		"/apikeys":    func(i int) error { return p.keys.Delete(t.Context(), fmt.Sprintf("k%d00000000", i)) },
		"/usageplans": func(i int) error { return p.plans.DeletePlan(t.Context(), fmt.Sprintf("plan%d", i)) },
	} {
		var page struct{ Position string }
		w := p.send("GET", target+"?limit=3", "")
		require.Equal(t, []string{"n5", "n4", "n3"}, names(w.Body.String()))
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &page))
		require.NoError(t, remove(3)) // the last one of the page
		require.NoError(t, remove(1))
		p.key("new", "newest")
		got := names(p.send("GET", target+"?limit=9&position="+page.Position, "").Body.String())
		require.Equal(t, []string{"n2", "n0"}, got, target)
		require.NoError(t, p.keys.Delete(t.Context(), "new0000000"))
	}
}

// If the plan is gone that a page ended with, those of the same instant still come, as after an import.
func TestPositionAmongPlansOfOneInstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, settings{})
		for i := range 3 {
			_, err := p.plans.CreatePlan(t.Context(), usageplan.Plan{ID: fmt.Sprintf("plan%d", i), Name: fmt.Sprintf("n%d", i)})
			require.NoError(t, err)
		}
		var page struct{ Position string }
		require.NoError(t, json.Unmarshal(p.send("GET", "/usageplans?limit=1", "").Body.Bytes(), &page))
		require.NoError(t, p.plans.DeletePlan(t.Context(), "plan2"))
		require.Equal(t, []string{"n1", "n0"}, names(p.send("GET", "/usageplans?position="+page.Position, "").Body.String()))
	})
}

// A position belongs to its list.
func TestPositionOfAnotherList(t *testing.T) {
	p := newPlane(t, settings{})
	for i := range 3 {
		p.key(fmt.Sprintf("k%d", i), "")
	}
	var page struct{ Position string }
	require.NoError(t, json.Unmarshal(p.send("GET", "/apikeys?limit=1", "").Body.Bytes(), &page))
	require.NotEmpty(t, page.Position)
	for _, target := range []string{"/usageplans?", "/usageplans/gold/keys?"} {
		requireBad(t, p.send("GET", target+"position="+page.Position, ""), target)
	}
}
