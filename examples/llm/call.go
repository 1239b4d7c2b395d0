package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"

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
