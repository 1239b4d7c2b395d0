package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/tallygate/tallygate/sigv4"
)

// An owned key is what a worker knows of a key that it has made: what was acknowledged, and the one operation that was
// not.
type owned struct {
	id, value               string
	exists, enabled, member bool
	used                    int64
	pending                 string // the operation without an answer
}

// A worker changes its own keys, and calls the API with them, until the program is killed.
type worker struct {
	name, plan     string
	api, control   string // addresses of the program
	owner, caller  *sigv4.Signer
	client         *http.Client
	keys           []*owned
	made           int
	unanswered     int    // creations, whose keys may be there
	text, nextText string // the plan's description, as it was acknowledged and as it was sent
}

// errKilled ends a life: the program has not answered.
var errKilled = errors.New("no answer")

// work makes changes and calls until there is no answer, which ends it with errKilled. A worker that plans also changes
// the plan.
func (w *worker) work(ctx context.Context, plans bool) error {
	for calls := 0; ; {
		var err error
		switch k := w.any(); {
		case plans && rand.IntN(8) == 0:
			err = w.describe(ctx)
		case k == nil || rand.IntN(5) == 0:
			err = w.create(ctx)
		case !k.member:
			body := `{"keyId":"` + k.id + `","keyType":"API_KEY"}`
			err = w.change(ctx, k, "join", http.StatusCreated, "POST", "/usageplans/"+w.plan+"/keys", body)
		case k.enabled && calls < 400 && rand.IntN(4) > 0: // 400, so that the rate rule blocks nobody
			calls++
			err = w.charge(ctx, k)
		default:
			err = w.spoil(ctx, k)
		}
		if err != nil {
			return err
		}
	}
}

// any returns one of the worker's last keys, nil if it has none.
func (w *worker) any() *owned {
	for range 8 {
		if n := len(w.keys); n > 0 {
			if k := w.keys[max(0, n-1-rand.IntN(16))]; k.exists {
				return k
			}
		}
	}
	return nil
}

func (w *worker) create(ctx context.Context) error {
	w.made++
	w.unanswered++
	body := fmt.Sprintf(`{"name":"%s-%d","enabled":true}`, w.name, w.made)
	answer, err := w.manage(ctx, http.StatusCreated, "POST", "/apikeys", body)
	if err == nil {
		w.unanswered--
		id, value := answer["id"].(string), answer["value"].(string)
		w.keys = append(w.keys, &owned{id: id, value: value, exists: true, enabled: true})
	}
	return err
}

func (w *worker) describe(ctx context.Context) error {
	w.made++
	w.nextText = fmt.Sprint("state ", w.made)
	_, err := w.manage(ctx, http.StatusOK, "PATCH", "/usageplans/"+w.plan, patching("/description", w.nextText))
	if err == nil {
		w.text = w.nextText
	}
	return err
}

func patching(path, value string) string {
	return `{"patchOperations":[{"op":"replace","path":"` + path + `","value":"` + value + `"}]}`
}

// spoil takes the key out of the plan, disables or enables it, or deletes it.
func (w *worker) spoil(ctx context.Context, k *owned) error {
	switch rand.IntN(3) {
	case 0:
		return w.change(ctx, k, "leave", http.StatusAccepted, "DELETE", "/usageplans/"+w.plan+"/keys/"+k.id, "")
	case 1:
		body := patching("/enabled", fmt.Sprint(!k.enabled))
		return w.change(ctx, k, "toggle", http.StatusOK, "PATCH", "/apikeys/"+k.id, body)
	default:
		return w.change(ctx, k, "delete", http.StatusAccepted, "DELETE", "/apikeys/"+k.id, "")
	}
}

// change makes a change of a key, and notes it when it is acknowledged.
func (w *worker) change(ctx context.Context, k *owned, operation string, status int, method, path, body string) error {
	k.pending = operation
	if _, err := w.manage(ctx, status, method, path, body); err != nil {
		return err
	}
	k.pending = ""
	switch operation {
	case "join":
		k.member = true
	case "leave":
		k.member = false
	case "toggle":
		k.enabled = !k.enabled
	case "delete":
		k.exists, k.member = false, false
	}
	return nil
}

func (w *worker) charge(ctx context.Context, k *owned) error {
	k.pending = "charge"
	_, err := w.send(ctx, w.caller, http.StatusOK, "GET", w.api+route, "", withKey(k.value))
	if err == nil {
		k.pending = ""
		k.used++
	}
	return err
}

func (w *worker) manage(ctx context.Context, status int, method, path, body string) (map[string]any, error) {
	return w.send(ctx, w.owner, status, method, w.control+path, body)
}

// send sends a request, whose answer must have the status.
func (w *worker) send(
	ctx context.Context, signer *sigv4.Signer, status int, method, url, body string, edits ...edit,
) (map[string]any, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for _, e := range edits {
		e(r)
	}
	if err := signer.Sign(r); err != nil {
		return nil, err
	}
	res, err := w.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errKilled, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	switch {
	case res.StatusCode != status:
		return nil, fmt.Errorf("%s %s: %d %s", method, url, res.StatusCode, text)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errKilled, err)
	}
	answer := make(map[string]any)
	if len(text) > 0 {
		err = json.Unmarshal(text, &answer)
	}
	return answer, err
}
