package awslambda

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// maxAnswer is the largest answer that Lambda takes from a function, the JSON as a whole (Lambda quotas, "Invocation
// payload": 6 MB). It also bounds the body that is kept in memory, since the JSON is never shorter.
const maxAnswer = 6 << 20

// sniffed is how many bytes http.DetectContentType reads.
const sniffed = 512

// head is the status and the header of an answer, by the rules of net/http's server. It is the part that [buffered] and
// [streamed] writers share.
type head struct {
	header   http.Header // the handler's
	sent     http.Header // the header as it was at WriteHeader; nil while the handler cannot have changed it since
	status   int         // 0 until WriteHeader
	bodiless bool        // the request was HEAD
	unsent   []byte      // of the body of a HEAD request, the first bytes, by which its type is found
	declared int64       // Content-Length, or -1
	written  int64       // by the handler
}

func newHead(p *payload) head {
	return head{header: make(http.Header, 8), bodiless: p.Method == http.MethodHead}
}

// Header implements [http.ResponseWriter]. Changes after WriteHeader have no effect. So the first call after it copies
// the header before the handler can change it. Few handlers make such a call, so most answers need no copy.
func (h *head) Header() http.Header {
	if h.status != 0 && h.sent == nil {
		h.sent = h.header.Clone()
	}
	return h.header
}

// final returns the header that counts.
func (h *head) final() http.Header {
	if h.sent != nil {
		return h.sent
	}
	return h.header
}

// WriteHeader implements [http.ResponseWriter]. Informational answers cannot be delivered and have no effect. As in
// net/http, a second call has no effect, and a status outside of 100 to 999 panics.
func (h *head) WriteHeader(status int) {
	switch {
	case status < 100 || status > 999:
		panic(fmt.Sprintf("awslambda: invalid status %d", status))
	case status < 200 || h.status != 0:
		return
	}
	h.status, h.declared = status, -1
	if text := h.header.Get("Content-Length"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			h.header.Del("Content-Length") // as net/http does
			return
		}
		h.declared = n
	}
}

// count checks that n more bytes may be written, and reports whether they belong to the answer. The answer to HEAD has
// no body, but handlers may write one.
func (h *head) count(n int) (keep bool, err error) {
	if h.status == 0 {
		h.WriteHeader(http.StatusOK)
	}
	if !h.mayHaveBody() {
		return false, http.ErrBodyNotAllowed
	}
	if h.written += int64(n); h.declared >= 0 && h.written > h.declared {
		return false, http.ErrContentLength
	}
	return !h.bodiless, nil
}

// mayHaveBody reports whether an answer with this status can have a body (RFC 9110 sections 15.3.5 and 15.4.5).
func (h *head) mayHaveBody() bool {
	return h.status != http.StatusNoContent && h.status != http.StatusNotModified
}

// drop discards a part of the body of a HEAD request, except for the first bytes, which sniff needs.
func (h *head) drop(p string) { h.unsent = append(h.unsent, p[:min(len(p), sniffed-len(h.unsent))]...) }

// sniff sets the Content-Type that the handler did not set, as net/http does. first are the first bytes of the body.
// An answer that can have no body loses the fields that would describe one, also as in net/http.
func (h *head) sniff(first []byte) {
	header := h.final()
	if !h.mayHaveBody() {
		delete(header, "Content-Length")
		if h.status == http.StatusNotModified {
			delete(header, "Content-Type")
		}
		return
	}
	if h.bodiless {
		first = h.unsent
	}
	if _, ok := header["Content-Type"]; !ok && len(first) > 0 && header.Get("Content-Encoding") == "" {
		header.Set("Content-Type", http.DetectContentType(first[:min(len(first), sniffed)]))
	}
}

// end completes the answer when the handler has returned. An answer that is shorter than declared is an error: net/http
// would close the connection, so that the client sees that something is missing.
func (h *head) end() error {
	if h.status == 0 {
		h.WriteHeader(http.StatusOK)
	}
	if h.bodiless {
		if header := h.final(); h.declared < 0 && h.written > 0 {
			header.Set("Content-Length", strconv.FormatInt(h.written, 10))
		}
		return nil
	}
	if h.declared > h.written && h.mayHaveBody() {
		return fmt.Errorf("%w: it has written %d of %d bytes", ErrAborted, h.written, h.declared)
	}
	return nil
}

// buffered is the [http.ResponseWriter] of an answer that is delivered as a whole.
type buffered struct {
	head
	body []byte
	full bool
}

// Write implements [http.ResponseWriter].
func (b *buffered) Write(p []byte) (int, error) {
	return write(b, p)
}

// WriteString implements [io.StringWriter], so that io.WriteString copies once.
func (b *buffered) WriteString(s string) (int, error) {
	return write(b, s)
}

// write appends to the body. It does not keep what exceeds the bound. Then encode refuses the whole answer, since a
// part of it would look complete.
func write[T string | []byte](b *buffered, p T) (int, error) {
	keep, err := b.count(len(p))
	switch {
	case err != nil:
		return 0, err
	case !keep:
		b.drop(string(p[:min(len(p), sniffed)]))
		return len(p), nil
	case b.full || len(p) > maxAnswer-len(b.body):
		b.full = true
		return 0, ErrAnswer
	}
	b.body = append(b.body, p...)
	return len(p), nil
}

// eachField calls do for each field that is to be sent. Names that are no tokens are left out, as in net/http, so a
// handler that repeats a client's text cannot make a field of it.
//
// Trailers and the fields of a connection are left out: AWS has its own connection to the client, and no answer of a
// function has trailers.
func eachField(h http.Header, do func(name string, values []string)) {
	for name, values := range h {
		if len(values) == 0 || !isToken(name) || strings.HasPrefix(name, http.TrailerPrefix) {
			continue
		}
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Trailer", "Transfer-Encoding", "Upgrade":
			continue
		}
		do(name, values)
	}
}
