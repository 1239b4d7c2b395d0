package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

const maxEvent = 1 << 20 // bytes of an event of a stream

// A stream is the body of a streamed answer. It holds one event at a time, and passes it on when its tokens are taken.
// See https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream.
type stream struct {
	io.Closer // the upstream's body
	*call
	request *http.Request // to the upstream
	lines   *bufio.Scanner
	event   []byte // what is left to pass on
	data    []byte // of the event
	end     error  // of the stream, after the event
	deltas  int64  // deltas with text
	text    int64  // their bytes
}

func (c *call) metered(res *http.Response) *stream {
	c.used = c.prompt
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxEvent)
	return &stream{Closer: res.Body, call: c, request: res.Request, lines: lines}
}

func (s *stream) Read(p []byte) (int, error) {
	for len(s.event) == 0 && s.end == nil {
		if err := s.next(); err != nil {
			s.event, s.end = cut(err), io.EOF
		}
	}
	if len(s.event) == 0 {
		return 0, s.end
	}
	n := copy(p, s.event)
	s.event = s.event[n:]
	return n, nil
}

// next reads the next event, and takes its tokens. An event that the client is not to see becomes empty.
func (s *stream) next() error {
	s.event, s.data = s.event[:0], s.data[:0]
	for whole := false; !whole; {
		if !s.lines.Scan() {
			if err := s.lines.Err(); err != nil {
				return errors.Join(errUpstream, err)
			}
			s.end = io.EOF
			break
		}
		line := s.lines.Bytes()
		if s.event = append(append(s.event, line...), '\n'); len(s.event) > maxEvent {
			return errors.Join(errUpstream, bufio.ErrTooLong)
		}
		if data, is := bytes.CutPrefix(line, []byte("data:")); is {
			s.data = append(append(s.data, data...), '\n')
		}
		whole = len(line) == 0
	}
	hidden, err := s.count(bytes.TrimSpace(s.data))
	if hidden {
		s.event = s.event[:0]
	}
	return err
}

// A chunk is the data of an event.
type chunk struct {
	Choices []struct {
		Delta map[string]json.RawMessage `json:"delta"`
	} `json:"choices"`
	Usage *usage `json:"usage"`
}

// count counts what an event has used, and takes it. It reports whether the event is the one with the usage, for which
// the client has not asked. By then the answer is whole, so settle takes what that event adds.
func (s *stream) count(data []byte) (hidden bool, err error) {
	var c chunk
	used := s.used
	if json.Unmarshal(data, &c) != nil && len(data) > 0 && string(data) != "[DONE]" {
		used = s.estimate(len(data)) // whatever it is, the client gets it
	}
	for _, choice := range c.Choices {
		if text := size(choice.Delta); text > 0 {
			used = s.estimate(text)
		}
	}
	if total, told := c.Usage.tokens(); told && len(c.Choices) == 0 {
		s.used = total
		return !s.wantsUsage, nil
	} else if told && (s.n == 1 || total > used) { // in the middle of several choices, it may be that of one of them
		used = total
	}
	return false, s.pay(s.request.Context(), used)
}

// size returns the bytes of text in a delta. All that a delta has counts, except the role: text is not only in content,
// but also in refusal, tool_calls, function_call, reasoning, and in what an upstream may add to them.
func size(delta map[string]json.RawMessage) (n int) {
	for name, raw := range delta {
		var text *string
		switch {
		case name == "role" || len(raw) <= len("[]"): // nothing is in it
		case json.Unmarshal(raw, &text) != nil:
			n += len(raw)
		case text != nil:
			n += len(*text)
		}
	}
	return n
}

// estimate adds the text of a delta, and returns the tokens that the request has used then.
func (s *stream) estimate(text int) int64 {
	s.deltas, s.text = s.deltas+1, s.text+int64(text)
	return max(s.used, s.prompt+max(s.deltas, s.text/4))
}
