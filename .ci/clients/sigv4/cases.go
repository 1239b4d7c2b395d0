package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// signCase is a request and its signature by package sigv4. In the path and the query all but unreserved characters are
// escaped, as every signer accepts them. Params are the query's parameters without escapes.
type signCase struct {
	Method        string            `json:"method"`
	Path          string            `json:"path"`
	Query         string            `json:"query"`
	Params        [][2]string       `json:"params"`
	Headers       map[string]string `json:"headers"`
	Body          string            `json:"body"`
	Token         string            `json:"token"`
	S3            bool              `json:"s3"`
	Date          string            `json:"date"`
	Authorization string            `json:"authorization"`
	Presigned     string            `json:"presigned"` // the signature in the query of a GET without headers and body
}

func newCases(n int) []signCase {
	random := rand.New(rand.NewPCG(5, 6))
	cases := make([]signCase, n)
	for i := range cases {
		cases[i] = newCase(random)
		cases[i].sign()
	}
	return cases
}

const (
	pathAlphabet   = "abcXYZ019-._~ %+&=:,;@$!'()*é☃"
	queryAlphabet  = pathAlphabet + "/?#\""
	headerAlphabet = "abc XYZ  019-._~/,;=\""
)

func newCase(random *rand.Rand) signCase {
	text := func(from string, most int) string {
		runes := []rune(from)
		text := make([]rune, random.IntN(most+1))
		for i := range text {
			text[i] = runes[random.IntN(len(runes))]
		}
		return string(text)
	}
	c := signCase{
		Method:  []string{"GET", "PUT", "POST", "DELETE"}[random.IntN(4)],
		Headers: map[string]string{},
		Params:  [][2]string{},
		S3:      random.IntN(4) == 0,
		Date:    time.Date(2026, 1, 1+random.IntN(365), random.IntN(24), random.IntN(60), random.IntN(60), 0, time.UTC).Format("20060102T150405Z"),
	}
	for range 1 + random.IntN(3) {
		c.Path += "/x" + escape(text(pathAlphabet, 8))
	}
	if c.S3 && random.IntN(2) == 0 { // object keys, which S3 does not normalise
		c.Path += "//./a/../b/"
	}
	for range random.IntN(5) {
		c.Params = append(c.Params, [2]string{"k" + text(queryAlphabet, 3), text(queryAlphabet, 8)})
	}
	c.Query = c.query()
	for range random.IntN(4) {
		name := []string{"Accept", "Content-Type", "X-Amz-Meta-A", "X-Api-Key", "My-Header"}[random.IntN(5)]
		c.Headers[name] = "v" + text(headerAlphabet, 10) + "w"
	}
	if c.Method != "GET" && random.IntN(2) == 0 {
		c.Body = "b" + text(queryAlphabet, 100)
	}
	if random.IntN(3) == 0 {
		c.Token = "IQoJb3JpZ2luX2VjE/+" + escape(text(pathAlphabet, 20)) + "=="
	}
	return c
}

// escape escapes all but unreserved characters.
func escape(s string) string {
	return strings.NewReplacer("+", "%20", "%7E", "~").Replace(url.QueryEscape(s))
}

// query returns a sorted query, since botocore does not sort it before signing.
func (c *signCase) query() string {
	pairs := make([]string, len(c.Params))
	for i, p := range c.Params {
		pairs[i] = escape(p[0]) + "=" + escape(p[1])
	}
	slices.SortFunc(pairs, func(a, b string) int {
		an, av, _ := strings.Cut(a, "=")
		bn, bv, _ := strings.Cut(b, "=")
		return strings.Compare(an+"\x00"+av, bn+"\x00"+bv)
	})
	return strings.Join(pairs, "&")
}

func (c *signCase) request(method, body string) *http.Request {
	target := "https://" + host + c.Path
	if c.Query != "" {
		target += "?" + c.Query
	}
	r, err := http.NewRequest(method, target, strings.NewReader(body))
	check(err)
	return r
}

func (c *signCase) sign() {
	at, err := time.Parse("20060102T150405Z", c.Date)
	check(err)
	if c.Body != "" || c.S3 { // our signer sets it, so the others must sign it too
		c.Headers["X-Amz-Content-Sha256"] = hash(c.Body)
	}
	s := signer(c.S3, c.Token)
	r := c.request(c.Method, c.Body)
	for name, value := range c.Headers {
		r.Header.Set(name, value)
	}
	check(s.SignAt(r, at))
	c.Authorization = r.Header.Get("Authorization")
	presigned, err := s.PresignAt(c.request("GET", ""), time.Minute, at)
	check(err)
	u, err := url.Parse(presigned)
	check(err)
	c.Presigned = u.Query().Get("X-Amz-Signature")
}

func hash(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// signedRequest is a case that another signer has signed: the request as it would be sent.
type signedRequest struct {
	Case    int               `json:"case"`
	Method  string            `json:"method"`
	Target  string            `json:"target"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Token   string            `json:"token"`
	S3      bool              `json:"s3"`
	Date    string            `json:"date"`
}

// verifyAll reads signed requests, one a line, verifies them, and returns how many there were.
func verifyAll(in io.Reader) (n int, err error) {
	for decoder := json.NewDecoder(in); ; n++ {
		var s signedRequest
		switch err := decoder.Decode(&s); {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		}
		if err := s.verify(); err != nil {
			return n, fmt.Errorf("case %d: %s %s: %w", s.Case, s.Method, s.Target, err)
		}
	}
}

func (s *signedRequest) verify() error {
	at, err := time.Parse("20060102T150405Z", s.Date)
	if err != nil {
		return err
	}
	var wire bytes.Buffer
	fmt.Fprintf(&wire, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", s.Method, s.Target, host, len(s.Body))
	for name, value := range s.Headers {
		if !strings.EqualFold(name, "Host") && !strings.EqualFold(name, "Content-Length") {
			fmt.Fprintf(&wire, "%s: %s\r\n", name, value)
		}
	}
	wire.WriteString("\r\n" + s.Body)
	r, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		return err
	}
	_, err = verifier(s.S3, s.Token).VerifyAt(r, at)
	return err
}
