package admin_test

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// logged is a plane whose journals a test can read, or replace by ones that fail.
type logged struct {
	*plane
	keyLog, planLog *line
}

func newLogged(t *testing.T) logged {
	t.Helper()
	s := visitors
	l := logged{keyLog: &line{journal.Memory(0)}, planLog: &line{journal.Memory(0)}}
	s.keys = func(c *apikey.Config) { c.Journal, c.Pepper = l.keyLog, apikey.Secret(strings.Repeat("p", 32)) }
	s.plans = func(c *usageplan.Config) { c.Journal = l.planLog }
	l.plane = newFilled(t, s)
	return l
}

// changes returns all changes of both journals.
func (l logged) changes() (changes []journal.Change) {
	l.t.Helper()
	for _, log := range []*line{l.keyLog, l.planLog} {
		for c, err := range log.Changes(l.t.Context(), 0) {
			require.NoError(l.t, err)
			changes = append(changes, c)
		}
	}
	return changes
}

// Each change that a form makes is in a journal, by the person, the address and the request. Balances have adjustments
// instead.
func TestEveryActionIsInTheJournal(t *testing.T) {
	for _, rt := range admin.PageRoutes() {
		if rt.Method != http.MethodPost || slices.Contains(public, rt.Name) {
			continue
		}
		l := newLogged(t)
		h, _ := newPage(t, l.plane, func(c *admin.PageConfig) {
			c.Who = func(*http.Request) (string, bool) { return "lena", true }
		})
		b := newBrowser(t, h, home).get("key?key=acme000000").want(200, "Signed in as <bdi>lena</bdi>")
		require.NotContains(t, b.shown, "Sign out", "the application's own login has that")
		prepare(l.plane, rt.Name)
		before := l.changes()
		version := b.hidden("version")
		b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		form := b.fields()
		for _, name := range rt.Fields {
			form.Set(strings.TrimSuffix(name, "*"), filled[strings.TrimSuffix(name, "*")])
		}
		override(form, rt.Name, version)
		b.submit(rt.Name, form)
		require.Contains(t, []int{200, 303}, b.status, "%s: %s", rt.Name, b.shown)
		if rt.Name == "extend" || rt.Name == "set-remaining" {
			k := usageplan.QuotaKey{Plan: "gold", Client: "acme000000"}
			for a, err := range l.plans.Adjustments(t.Context(), k, time.Time{}, time.Now()) {
				require.NoError(t, err)
				require.Equal(t, []string{"lena", "why"}, []string{a.Actor, a.Reason}, rt.Name)
			}
			continue
		}
		changes := l.changes()
		require.Greater(t, len(changes), len(before), rt.Name)
		request := b.header.Get("X-Amzn-RequestId")
		for _, c := range changes {
			if !slices.ContainsFunc(before, func(of journal.Change) bool { return of.Time.Equal(c.Time) && of.Operation == c.Operation }) {
				require.Equal(t, journal.Origin{Actor: "lena", Source: "192.0.2.7", Request: request}, c.Origin, "%s: %s", rt.Name, c.Operation)
			}
		}
	}
}

// prepare makes what a form needs that newFilled has not.
func prepare(p *plane, form string) {
	p.t.Helper()
	switch form {
	case "join", "add-member": // the key is to join gold, which it leaves
		require.NoError(p.t, p.plans.RemoveMembers(p.t.Context(), "acme000000"))
	case "remove-method":
		_, err := p.plans.UpdatePlan(p.t.Context(), "gold", func(of *usageplan.Plan) error {
			of.Stages[0].Methods = served[1].Methods
			return nil
		})
		require.NoError(p.t, err)
	case "delete-plan":
		_, err := p.plans.UpdatePlan(p.t.Context(), "gold", func(of *usageplan.Plan) error {
			of.Stages = nil
			return nil
		})
		require.NoError(p.t, err)
	case "enable":
		_, err := p.keys.Update(p.t.Context(), "acme000000", func(k *apikey.Key) error {
			k.Enabled = false
			return nil
		})
		require.NoError(p.t, err)
	}
}

// override replaces values of filled that do not fit a form.
func override(form url.Values, name, version string) {
	switch name {
	case "rotate":
		form.Set("version", version)
	case "limits":
		form.Del("WEEK")
		form.Del("MONTH")
	case "add-stage":
		form.Set("stage", "demo:dev")
	case "remove-method":
		form.Set("method", "/pets/{id}/GET")
	}
}

// While a journal does not answer, a change is a 503 that says so, in the form that was sent.
func TestJournalThatIsDown(t *testing.T) {
	l := newLogged(t)
	b := signedIn(t, l.plane).get("key?key=acme000000")
	token := b.fields()
	version := b.hidden("version")
	l.keyLog.Journal, l.planLog.Journal = down{l.keyLog.Journal}, down{l.planLog.Journal}
	for _, form := range [][]string{
		{"disable", "key", "acme000000"},
		{"edit-key", "key", "acme000000", "name", "typed"},
		{"new-key", "nonce", "n", "name", "typed"},
		{"leave", "key", "acme000000", "plan", "gold"},
		{"new-plan", "nonce", "n", "name", "typed"},
		{"remove-stage", "plan", "gold", "stage", "demo:prod"},
		{"rotate", "key", "acme000000", "version", version, "grace", "0"},
	} {
		values := b.fields(form[1:]...)
		values.Set("token", token.Get("token"))
		b.submit(form[0], values).want(http.StatusServiceUnavailable, "The store has not answered.", "look before you repeat it")
		require.Equal(t, "1", b.header.Get("Retry-After"), form[0])
		require.Contains(t, b.shown, `action="`+form[0]+`"`)
	}
	b.get("key?key=acme000000").want(200) // reading needs no journal
	l.keyLog.Journal = l.keyLog.Journal.(down).Journal
	b.get("key?key=acme000000").post("disable", "key", "acme000000").want(200, "The key is disabled")
}

// If a new key cannot be added to its plan, the page says so and shows the value all the same: the key is there.
func TestNewKeyIsShownIfItsPlanFails(t *testing.T) {
	l := newLogged(t)
	b := signedIn(t, l.plane).get("new-key")
	l.planLog.Journal = down{l.planLog.Journal}
	b.post("new-key", "nonce", b.hidden("nonce"), "name", "n", "enabled", "yes", "plan", "gold").
		want(200, "The key is created, but it is not in the plan.", "The store has not answered.")
	client, err := l.keys.VerifyKey(t.Context(), b.value())
	require.NoError(t, err)
	require.Empty(t, l.plans.Memberships(client.ID()))
}

// The application's own login names the person. The forms of one are not those of another.
func TestWhoNamesThePerson(t *testing.T) {
	who, known := "lena", true
	p := newFilled(t, visitors)
	h, links := newPage(t, p, func(c *admin.PageConfig) {
		c.Who = func(*http.Request) (string, bool) { return who, known }
	})
	b := newBrowser(t, h, home).get("key?key=acme000000").want(200, "Signed in as <bdi>lena</bdi>")
	cookie := b.client.Jar.Cookies(b.at)
	require.Len(t, cookie, 1)
	form := b.fields("key", "acme000000")
	b.submit("disable", form).want(200, "The key is disabled")
	require.Equal(t, cookie, b.client.Jar.Cookies(b.at), "one cookie for all pages")
	who = "mallory"
	b.submit("enable", form).want(403, "This form belongs to another session")
	who, known = "", true
	b.submit("enable", form).want(403, "Sign in to the application first")
	who, known = "lena", false
	b.submit("enable", form).want(403, "Sign in to the application first")
	b.submit("sign-in", url.Values{"link": {secretOf(t, links.New())}}).want(200, "Signed in as <bdi>owner</bdi>") // both are set
}

// Nobody becomes the holder of a link by signing up under the name that holders have. Without links it is a name like
// others.
func TestNameOfLinkHoldersIsReserved(t *testing.T) {
	p := newFilled(t, visitors)
	called := func(c *admin.PageConfig) {
		c.Who = func(*http.Request) (string, bool) { return "owner", true }
	}
	h, links := newPage(t, p, called)
	b := newBrowser(t, h, home).get("").want(403, "Sign in to the application first")
	b.submit("sign-in", url.Values{"link": {secretOf(t, links.New())}}).want(200, "Signed in as <bdi>owner</bdi>", "Sign out")
	h, _ = newPage(t, p, called, func(c *admin.PageConfig) { c.Links = nil })
	newBrowser(t, h, home).get("").want(200, "Signed in as <bdi>owner</bdi>")
}

// Any process of a service accepts the forms of the others: behind Who, nothing is kept in memory.
func TestFormsOfAnotherProcess(t *testing.T) {
	p := newFilled(t, visitors)
	only := func(c *admin.PageConfig) {
		c.Who, c.Links = func(*http.Request) (string, bool) { return "lena", true }, nil
	}
	first, _ := newPage(t, p, only)
	second, _ := newPage(t, p, only)
	b := newBrowser(t, first, home).get("new-key").want(200)
	form := b.fields("nonce", b.hidden("nonce"), "name", "n")
	b.client.Transport = network(second.ServeHTTP)
	b.submit("new-key", form).want(200, "is created")
	b.client.Transport = network(first.ServeHTTP)
	b.submit("new-key", form).want(409, "This was done already")
	b.get("key?key=acme000000")
	form = b.fields("key", "acme000000", "version", b.hidden("version"), "grace", "0")
	b.client.Transport = network(second.ServeHTTP)
	b.submit("rotate", form).want(200, "New value")
	b.client.Transport = network(first.ServeHTTP)
	b.submit("rotate", form).want(409, "Nothing was changed")
	b.submit("sign-in", url.Values{"link": {"x"}}).want(403)
}

// What a form has made and was then deleted is not made again by a reload, with a journal or without: not in another
// process either, as far as there can be one. The form that is shown then makes another.
func TestReloadDoesNotBringBackWhatWasDeleted(t *testing.T) {
	for name, p := range map[string]*plane{"journal": newLogged(t).plane, "memory": newFilled(t, visitors)} {
		only := func(c *admin.PageConfig) {
			c.Who, c.Links = func(*http.Request) (string, bool) { return "lena", true }, nil
		}
		h, _ := newPage(t, p, only)
		b := newBrowser(t, h, home).get("new-key").want(200)
		form := b.fields("nonce", b.hidden("nonce"), "name", "reloaded")
		b.submit("new-key", form).want(200, "is created")
		id := regexp.MustCompile(`key\?key=([a-z0-9]{10})`).FindStringSubmatch(b.shown)[1]
		require.NoError(t, p.keys.Delete(t.Context(), id))
		if name == "journal" {
			second, _ := newPage(t, p, only)
			b.client.Transport = network(second.ServeHTTP)
		}
		b.submit("new-key", form).want(409, "The key that it made has been deleted", `value="reloaded"`)
		_, found := p.keys.Key(id)
		require.False(t, found, name)
		b.post("new-key", "nonce", b.hidden("nonce"), "name", "reloaded").want(200, "is created")

		b.get("new-plan").want(200)
		form = b.fields("nonce", b.hidden("nonce"), "name", "reloaded", "limit", "5", "period", "DAY")
		b.submit("new-plan", form).want(200, "The plan is created")
		plan := b.at.Query().Get("plan")
		require.NoError(t, p.plans.DeletePlan(t.Context(), plan))
		b.submit("new-plan", form).want(409, "The plan that it made has been deleted")
		_, found = p.plans.Plan(plan)
		require.False(t, found, name)
	}
}

func TestPageNeedsAControlPlaneAndALogin(t *testing.T) {
	_, err := admin.Page(admin.PageConfig{})
	require.ErrorIs(t, err, admin.ErrNotConfigured)
	require.EqualError(t, err, "admin: the server is not configured: PageConfig.Control is required\n"+
		"admin: the server is not configured: PageConfig needs Who or Links")
	_, err = admin.Page(admin.PageConfig{Control: new(admin.Server), Links: new(admin.OwnerLinks)})
	require.ErrorIs(t, err, admin.ErrNotConfigured)
}

// Two submissions of one form at the same time make one key, one plan, one extension and one value.
func TestDoubleClicksCountOnce(t *testing.T) {
	p := newFilled(t, visitors)
	b := signedIn(t, p).get("key?key=acme000000")
	cookies := b.client.Jar.Cookies(b.at)
	send := func(to string, form url.Values) (statuses []int) {
		results := make(chan int)
		for range 8 {
			go func() {
				r, _ := http.NewRequestWithContext(t.Context(), "POST", home+to, strings.NewReader(form.Encode()))
				r.Header.Set("Content-Type", formType)
				r.AddCookie(cookies[0])
				res, _ := network(b.server.ServeHTTP).RoundTrip(r)
				_, _ = io.Copy(io.Discard, res.Body)
				results <- res.StatusCode
			}()
		}
		for range 8 {
			statuses = append(statuses, <-results)
		}
		slices.Sort(statuses)
		return statuses
	}
	once := []int{200, 409, 409, 409, 409, 409, 409, 409}
	form := b.fields("key", "acme000000", "version", b.hidden("version"), "grace", "0")
	require.Equal(t, once, send("rotate", form))
	require.Equal(t, once, send("new-key", b.fields("nonce", "one")))
	require.EqualValues(t, 2, p.keys.Stats().Keys)
	send("new-plan", b.fields("nonce", "one", "name", "n"))
	require.EqualValues(t, 3, p.plans.Stats().Plans)
	send("extend", b.fields("key", "acme000000", "plan", "gold", "period", "DAY", "nonce", "one", "units", "5", "reason", "why"))
	balance, err := p.plans.Balance(t.Context(), usageplan.QuotaKey{Plan: "gold", Client: "acme000000"})
	require.NoError(t, err)
	require.EqualValues(t, 5, balance.Adjustments)
}
