package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

const maxAnswer = 8 << 20 // bytes of an answer that is not streamed

// answer reads the upstream's answer, or has it metered while it is read. An error becomes the answer to the client.
func (c *call) answer(res *http.Response) error {
	c.answered = true
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	switch {
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		c.used = 0
		return errors.New("it has refused the gateway's key: set OPENAI_API_KEY")
	case res.StatusCode/100 != 2:
		c.used = 0
		c.settle() // before the client is told what is left
	case res.Header.Get("Content-Encoding") != "":
		return errors.New("its answer is compressed, so it cannot be counted")
	case kind == "text/event-stream":
		res.Body = c.metered(res)
		res.Header.Del("Content-Length") // it may be cut
	default:
		if err := c.whole(res); err != nil {
			return err
		}
	}
	c.tell(res.Header)
	return nil
}

// whole reads an answer that is not streamed, and settles the call before the client is told what is left. An answer
// without a usage counts as what was reserved.
func (c *call) whole(res *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("its answer has broken off: %w", err)
	}
	if len(body) > maxAnswer {
		return fmt.Errorf("its answer is longer than %d bytes", maxAnswer)
	}
	var completion struct{ Usage *usage }
	if json.Unmarshal(body, &completion) == nil {
		if total, told := completion.Usage.tokens(); told {
			c.used = total
		}
	}
	c.settle()
	res.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

type usage struct {
	Total int64 `json:"total_tokens"`
}

// tokens returns how many tokens a usage tells. Some servers report 0 if they have not counted, which tells nothing.
func (u *usage) tokens() (total int64, told bool) {
	if u == nil || u.Total < 1 || u.Total > ledger.MaxUnits {
		return 0, false
	}
	return u.Total, true
}

// tell tells the client what is left of its budget, by the RateLimit fields and as OpenAI does. The upstream's own
// fields are those of the gateway's account, and no business of the client.
func (c *call) tell(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, "X-Ratelimit-") {
			h.Del(name)
		}
	}
	c.charge.SetHeader(h)
	b, _ := c.charge.Balance(ledger.Daily)
	h.Set("X-Ratelimit-Limit-Tokens", strconv.FormatInt(b.Limit, 10))
	h.Set("X-Ratelimit-Remaining-Tokens", strconv.FormatInt(b.Remaining, 10))
	h.Set("X-Ratelimit-Reset-Tokens", time.Until(b.Reset).Round(time.Second).String())
}
