package main

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan/boltstore"
)

// Keys, memberships, plans and charges that were acknowledged are there after kill -9, under changes and load. What was
// under way is there whole or not at all.
func TestChangesSurviveKill(t *testing.T) {
	lives := 3
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		lives = 50
	}
	dir, first := t.TempDir(), time.Now().UTC().Format(time.DateOnly)
	var plan string
	inProcess(t, dir, func(_, control http.Handler) {
		plan = manage(t, control, 201, "POST", "/usageplans", `{"name":"load","quota":{"limit":1000000,"period":"DAY"},`+
			`"apiStages":[{"apiId":"airline-loyalty","stage":"Prod"}]}`)["id"].(string)
	})
	workers := make([]*worker, 4)
	for i := range workers {
		workers[i] = &worker{
			name: fmt.Sprint("w", i), plan: plan,
			owner:  signerOf(t, ownerAccessKey, ownerSecretKey, "apigateway"),
			caller: signerOf(t, accessKey, secretKey, "execute-api"),
		}
	}
	var kept, used int64 // on a busy machine, more lives may be needed until there are some
	life := 0
	for ; life < lives || life < 20*lives && (kept == 0 || used == 0); life++ {
		live(t, dir, workers)
		file, err := boltstore.Open(filepath.Join(dir, "usage.db"))
		require.NoError(t, err)
		require.NoError(t, file.Check(t.Context()), "life %d", life)
		require.NoError(t, file.Close())
		inProcess(t, dir, func(api, control http.Handler) { verify(t, api, control, workers, first) })
		kept, used = known(workers)
	}
	require.Positive(t, kept)
	require.Positive(t, used)
	t.Logf("%d lives: %d keys kept, %d charges", life, kept, used)
}

// known counts the workers' keys that exist, and the charges of all their keys.
func known(workers []*worker) (kept, used int64) {
	for _, w := range workers {
		for _, k := range w.keys {
			used += k.used
			if k.exists {
				kept++
			}
		}
	}
	return kept, used
}

// inProcess opens the folder of a program that has ended.
func inProcess(t *testing.T, dir string, f func(api, control http.Handler)) {
	t.Helper()
	s, err := openStore(dir, false)
	require.NoError(t, err)
	pool, _, err := userPool(options{})
	require.NoError(t, err)
	o := defaults()
	o.empty = true
	svc, err := newService(o, pool, s, accountLimit)
	require.NoError(t, err)
	f(svc.api, svc.owner)
	require.NoError(t, s.Close())
}

// live starts the program, lets the workers work, and kills it.
func live(t *testing.T, dir string, workers []*worker) {
	t.Helper()
	url, control, kill := child(t, "-data", dir, "-empty")
	var killed atomic.Bool
	ended := make(chan error)
	for i, w := range workers {
		w.api, w.control, w.client = url, control, &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
		go func() {
			err := w.work(t.Context(), i == 0)
			w.client.CloseIdleConnections()
			if errors.Is(err, errKilled) && killed.Load() {
				err = nil
			}
			ended <- err
		}()
	}
	time.Sleep(time.Duration(50+rand.IntN(250)) * time.Millisecond)
	killed.Store(true)
	kill()
	for range workers {
		require.NoError(t, <-ended)
	}
}

// verify compares what is kept with what the workers know, and lets them know what has become of the operations without
// an answer.
func verify(t *testing.T, api, control http.Handler, workers []*worker, first string) {
	t.Helper()
	plan := "/usageplans/" + workers[0].plan
	keys, members := listed(t, control, "/apikeys"), listed(t, control, plan+"/keys")
	for id := range members {
		require.Contains(t, keys, id, "no membership without its key")
	}
	used, strangers := charges(t, control, plan, first), len(keys)
	for _, w := range workers {
		for _, k := range w.keys {
			k.compare(t, keys, members, used[k.id])
			if k.exists {
				strangers--
			}
		}
		strangers -= w.unanswered
	}
	require.LessOrEqual(t, strangers, 0, "keys that nobody has made")
	description := manage(t, control, 200, "GET", plan, "")["description"]
	w := workers[0]
	require.Contains(t, []any{w.text, w.nextText}, cmp.Or(description, any("")), "the plan's description")
	w.text, _ = description.(string)
	callOnce(t, api, workers)
}

// listed returns a whole list by id.
func listed(t *testing.T, control http.Handler, path string) map[string]map[string]any {
	t.Helper()
	all, position := make(map[string]map[string]any), ""
	for {
		page := manage(t, control, 200, "GET", path+"?limit=500"+position, "")
		for _, item := range page["item"].([]any) {
			item := item.(map[string]any)
			all[item["id"].(string)] = item
		}
		next, is := page["position"].(string)
		if !is {
			return all
		}
		position = "&position=" + next
	}
}

// charges returns how often each key was charged since the first day.
func charges(t *testing.T, control http.Handler, plan, first string) map[string]int64 {
	t.Helper()
	used := make(map[string]int64)
	today := time.Now().UTC().Format(time.DateOnly)
	answer := manage(t, control, 200, "GET", plan+"/usage?startDate="+first+"&endDate="+today, "")
	require.NotContains(t, answer, "position")
	for id, days := range answer["values"].(map[string]any) {
		for _, day := range days.([]any) {
			used[id] += int64(day.([]any)[0].(float64))
		}
	}
	return used
}

// compare compares what is kept of the key with what is known of it.
func (k *owned) compare(t *testing.T, keys, members map[string]map[string]any, used int64) {
	t.Helper()
	key, exists := keys[k.id]
	_, member := members[k.id]
	enabled := exists && key["enabled"].(bool)
	switch k.pending {
	case "delete": // the memberships go first
		k.exists, k.member = exists, member
	case "join", "leave":
		k.member = member
	case "toggle":
		k.enabled = enabled
	case "charge":
		require.LessOrEqual(t, used, k.used+1)
		require.GreaterOrEqual(t, used, k.used)
		k.used = used
	}
	k.pending = ""
	require.Equal(t, k.exists, exists, k.id)
	require.Equal(t, k.member, member, k.id)
	require.Equal(t, k.exists && k.enabled, enabled, k.id)
	require.Equal(t, k.used, used, k.id)
}

// callOnce calls the API with the newest key of each worker that may call: its value is kept too.
func callOnce(t *testing.T, api http.Handler, workers []*worker) {
	t.Helper()
	for _, w := range workers {
		for _, k := range slices.Backward(w.keys) {
			if k.exists && k.enabled && k.member {
				res := send(api, http.MethodGet, route, withKey(k.value), signed(t, accessKey, secretKey, 0))
				requireAnswer(t, res, 200, "", ok)
				k.used++
				break
			}
		}
	}
}
