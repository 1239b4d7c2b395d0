package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"

	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

const (
	maxBody = 8 << 20 // bytes of a request, which may have pictures
	maxOpen = 100     // requests of a key whose bodies are read, or that run: the plan can decide only when it has the body
	maxN    = 128     // choices, as at OpenAI
	maxWish = 1 << 30 // tokens of an answer

	fewest = 16   // tokens of an answer that are worth a request
	usual  = 4096 // tokens of an answer without a bound
	step   = 256  // tokens that a stream without a bound reserves at first
)

// A call is one request for a completion. It belongs to the goroutine of the request.
type call struct {
	fields     map[string]json.RawMessage // of the request's body
	model      string
	n          int64 // choices
	stream     bool
	wantsUsage bool   // the client has asked for the event with the usage
	wish       *int64 // tokens of each choice; nil if there is no bound
	prompt     int64  // tokens, estimated

	charge   usageplan.Charge
	used     int64 // tokens, as far as is known
	answered bool  // by the upstream
	settled  bool
}

// bounds are the names of wish in the body. The first is the present one.
var bounds = [...]string{"max_completion_tokens", "max_tokens"}

// read reads the body of a request. What it does not look at is passed on as it is.
func read(w http.ResponseWriter, r *http.Request) (*call, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, errTooLarge
	}
	c := &call{n: 1, prompt: int64(len(body)+3) / 4}
	if err != nil || json.Unmarshal(body, &c.fields) != nil || c.fields == nil {
		return nil, fmt.Errorf("%w: the body is not a JSON object", errRequest)
	}
	var tokens, completion *int64
	var options map[string]any
	for name, into := range map[string]any{
		"model": &c.model, "n": &c.n, "stream": &c.stream, "stream_options": &options,
		bounds[0]: &completion, bounds[1]: &tokens,
	} {
		if raw, found := c.fields[name]; found && json.Unmarshal(raw, into) != nil {
			return nil, fmt.Errorf("%w: %s has the wrong type", errRequest, name)
		}
		for field := range c.fields { // an upstream in Go would read "Max_Tokens" as well
			if field != name && strings.EqualFold(field, name) {
				return nil, fmt.Errorf("%w: %s has small letters", errRequest, name)
			}
		}
	}
	if c.wish = completion; c.wish == nil {
		c.wish = tokens
	}
	if c.n < 1 || c.n > maxN || c.wish != nil && (*c.wish < 1 || *c.wish > maxWish) || completion != nil && tokens != nil {
		return nil, fmt.Errorf("%w: n or the bound of tokens is out of range, or there are two bounds", errRequest)
	}
	c.wantsUsage, _ = options["include_usage"].(bool)
	return c, c.askForUsage(options)
}

// askForUsage makes the upstream report the usage at the end of a stream.
func (c *call) askForUsage(options map[string]any) (err error) {
	if !c.stream {
		return nil
	}
	if options == nil {
		options = make(map[string]any, 1)
	}
	options["include_usage"] = true
	c.fields["stream_options"], err = json.Marshal(options)
	return err
}

// most is what the request reserves if the budget has it.
func (c *call) most() int64 {
	switch {
	case c.wish != nil:
		return c.prompt + c.n**c.wish
	case c.stream:
		return c.prompt + c.n*step
	}
	return c.prompt + c.n*usual
}

// least is what the budget must have.
func (c *call) least() int64 { return min(c.prompt+c.n*fewest, c.most()) }

// lowered returns the body for the upstream, which is asked for no more than was reserved. Only a stream without a
// bound gets none, because it can be cut.
func (c *call) lowered() []byte {
	if c.wish != nil || !c.stream {
		name := bounds[0]
		if raw, old := c.fields[bounds[1]]; old && string(raw) != "null" {
			name = bounds[1]
		}
		c.fields[name], _ = json.Marshal((c.charge.Units() - c.prompt) / c.n)
	}
	body, _ := json.Marshal(c.fields) // it was read as JSON
	return body
}

// pay takes the tokens of an answer that has used so many with its prompt, as far as they are not reserved. If that
// fails, the answer must not go on, and what was used before counts.
func (c *call) pay(ctx context.Context, used int64) error {
	if more := used - c.charge.Units(); more > 0 {
		if err := c.charge.More(ctx, more); err != nil {
			return err
		}
	}
	c.used = used
	return nil
}

// settle replaces what was reserved by what was used. Beyond the budget it counts what the budget has.
func (c *call) settle() {
	if c.settled {
		return
	}
	c.settled = true
	err := c.charge.Settle(context.Background(), c.used)
	if err != nil && !errors.Is(err, ledger.ErrForgiven) {
		log.Printf("settling %d tokens of %s: %v", c.used, c.charge.Client, err)
	}
}
