package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
)

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
	if err := c.decode(map[string]any{
		"model": &c.model, "n": &c.n, "stream": &c.stream, "stream_options": &options,
		bounds[0]: &completion, bounds[1]: &tokens,
	}); err != nil {
		return nil, err
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

// decode reads the fields that have the names. An upstream that is written in Go would read "Max_Tokens" as well, so that
// is refused.
func (c *call) decode(into map[string]any) error {
	for name, value := range into {
		if raw, found := c.fields[name]; found && json.Unmarshal(raw, value) != nil {
			return fmt.Errorf("%w: %s has the wrong type", errRequest, name)
		}
		for field := range c.fields {
			if field != name && strings.EqualFold(field, name) {
				return fmt.Errorf("%w: %s must be written in small letters", errRequest, name)
			}
		}
	}
	return nil
}

// askForUsage makes the upstream report the usage at the end of a stream.
func (c *call) askForUsage(options map[string]any) (err error) {
	if !c.stream {
		return nil
	}
	if options == nil {
		options = make(map[string]any, 1)
	}
	maps.DeleteFunc(options, func(name string, _ any) bool { return strings.EqualFold(name, "include_usage") }) // see decode
	options["include_usage"] = true
	c.fields["stream_options"], err = json.Marshal(options)
	return err
}
