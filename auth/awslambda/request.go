package awslambda

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// request makes the request that net/http's server would have made of what the client sent. The error is a
// [clientError], or wraps [ErrEvent].
func (p *payload) request(ctx context.Context, base map[string]string) (*http.Request, error) {
	body, err := p.bytes()
	if err != nil {
		return nil, err
	}
	if !isToken(p.Method) {
		return nil, errMethod
	}
	uri, u, err := p.target(base)
	if err != nil {
		return nil, err
	}
	r := &http.Request{
		Method: p.Method, URL: u, RequestURI: uri, Body: http.NoBody, ContentLength: int64(len(body)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	// The event of an ALB does not tell the protocol. HTTP/1.1 stands for it, as most handlers expect.
	if major, minor, ok := http.ParseHTTPVersion(p.protocol); ok {
		r.Proto, r.ProtoMajor, r.ProtoMinor = p.protocol, major, minor
	}
	if len(body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	if err := p.setHeader(r); err != nil {
		return nil, err
	}
	r.RemoteAddr = p.remoteAddr(r.Header)
	if !p.marks.arn { // what an authorizer's event says about the caller is what the authorizer is asked about
		ctx = NewContext(ctx, &p.Event)
	}
	return r.WithContext(ctx), nil
}

// bytes returns the body, without its Base64. The event says whether that was used. The Content-Type does not count,
// since a REST API decides by its own list of media types. So the body is what the client has signed, wherever AWS kept
// it.
func (p *payload) bytes() ([]byte, error) {
	if !p.encoded {
		return []byte(p.body), nil
	}
	body, err := base64.StdEncoding.DecodeString(p.body)
	if err != nil {
		return nil, fmt.Errorf("%w: its body: %w", ErrEvent, err)
	}
	return body, nil
}

// setHeader sets the header and the host. As in net/http, the host is not in the header.
//
// Most events have the fields twice: "multiValueHeaders" lists all values of a field, and "headers" has the last one
// only. So the lists are used where they exist. Format 2.0 has no lists. It joins values with commas and keeps cookies
// apart, because cookies must be joined with semicolons (RFC 6265 section 5.4).
//
// A field that net/http would refuse makes the whole request malformed. If it were left out, the handler would decide
// about another request than the client has sent. Transfer-Encoding stays in an authorizer's request, since nothing
// else tells that the client has sent a body.
func (p *payload) setHeader(r *http.Request) (err error) {
	fields := p.multiHeaders
	if fields == "" || p.Kind == HTTP2 || p.Kind == FunctionURL {
		fields = p.headers
	}
	r.Header = make(http.Header, 16)
	values := make([]string, 0, 24) // of all fields, in one allocation
	hosts := 0
	eachValue(fields, func(name, value string) {
		name = http.CanonicalHeaderKey(name)
		switch {
		case !isToken(name) || !isFieldValue(value) || name == "Host" && !isHost(value):
			err = errHeader
		case name == "Host":
			r.Host = value
			hosts++
		case name == "Transfer-Encoding" && !p.marks.arn: // of the connection to AWS, not of the body in the event
		case r.Header[name] != nil:
			r.Header[name] = append(r.Header[name], value)
		default:
			// Each list has the capacity 1, so a handler that appends to it gets a copy and cannot change the next
			// field.
			values = append(values, value)
			r.Header[name] = values[len(values)-1 : len(values) : len(values)]
		}
	})
	if hosts > 1 {
		return errHeader // net/http: too many Host headers
	}
	if hosts == 0 { // an event without the field still tells the domain
		r.Host = p.Domain
	}
	if cookies := p.joinedCookies(); !isFieldValue(cookies) {
		err = errHeader
	} else if cookies != "" {
		r.Header["Cookie"] = append(r.Header["Cookie"], cookies)
	}
	return err
}

// joinedCookies returns the cookies of format 2.0 in one line, as browsers send them. The members of the list are the
// client's text, so setHeader checks the line like any other value.
func (p *payload) joinedCookies() string {
	if p.Kind != HTTP2 && p.Kind != FunctionURL {
		return ""
	}
	var joined strings.Builder
	for r := (jsonReader{text: p.cookies}); r.element(); {
		if joined.Len() > 0 {
			joined.WriteString("; ")
		}
		joined.WriteString(r.string())
	}
	return joined.String()
}

// remoteAddr returns the client's address with a port, as net/http has it. Without a port, code that calls
// net.SplitHostPort would fail, or would treat all clients as one without an address. The port is 0, since it is not
// known.
//
// An ALB appends the address to X-Forwarded-For, so the last one is the ALB's own word. The addresses before it are the
// client's. The ALB adds the port only if it was told to.
func (p *payload) remoteAddr(h http.Header) string {
	if p.Kind == ALB {
		lines := h["X-Forwarded-For"]
		if len(lines) == 0 {
			return "" // a health check
		}
		last := lines[len(lines)-1]
		p.SourceIP = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
		if host, port, err := net.SplitHostPort(p.SourceIP); err == nil && net.ParseIP(host) != nil {
			p.SourceIP = host
			return net.JoinHostPort(host, port)
		}
	}
	if p.SourceIP == "" {
		return ""
	}
	return net.JoinHostPort(p.SourceIP, "0")
}

// isToken reports whether s is a token (RFC 9110 section 5.6.2), as methods and names of fields are.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !unreserved[c] && strings.IndexByte("!#$%&'*+^`|", c) < 0 {
			return false
		}
	}
	return s != ""
}

// isHost reports whether s has only characters of a host and a port (RFC 3986 section 3.2). An ALB passes on any Host. A
// handler that builds a URL of it must not get "a/b" or "a@b". The empty one is allowed, as in net/http's server.
func isHost(s string) bool {
	for i := range len(s) {
		if c := s[i]; !unreserved[c] && strings.IndexByte("!$%&'()*+,;=:[]", c) < 0 {
			return false
		}
	}
	return true
}

// isFieldValue reports whether s has no control characters but tabs (RFC 9110 section 5.5). Bytes above 0x7F are
// allowed, as obs-text. A value with a line break would become two fields when a handler copies it to another server.
func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
