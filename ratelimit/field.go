package ratelimit

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// A Field is one policy and its service limit in the IETF header fields RateLimit-Policy and RateLimit
// (draft-ietf-httpapi-ratelimit-headers-11).
type Field struct {
	// Name identifies the policy: printable ASCII. A Field without a name, or with another, is left out.
	Name string
	// Quota is what the policy grants in one Window (parameters q and w, the latter in seconds, rounded up). A Window of
	// 0 or less is left out.
	Quota  int64
	Window time.Duration
	// Remaining is what is left of it (r), and Reset the time until the quota is whole again (t, in seconds, rounded
	// up). A Reset of [Never] is left out.
	Remaining int64
	Reset     time.Duration
}

// The names as [http.Header] keeps them.
const (
	policyField     = "Ratelimit-Policy"
	limitField      = "Ratelimit"
	xLimitField     = "X-Ratelimit-Limit"
	xRemainingField = "X-Ratelimit-Remaining"
	xResetField     = "X-Ratelimit-Reset"
)

// maxInteger is the largest integer of a structured field, RFC 9651 section 3.3.1. Larger values are sent as this.
const maxInteger = 999_999_999_999_999

// SetFields sets the policies in RateLimit-Policy and RateLimit, as one line of each. What another limit has set there
// stays: both fields are lists, and a list may stand on several lines (RFC 9651 section 3.1). Only a line that begins with
// the same policy is replaced.
func SetFields(h http.Header, fields ...Field) {
	var policy, limit line
	for _, f := range fields {
		if f.Name == "" || !printable(f.Name) {
			continue
		}
		policy.addPolicy(f)
		limit.addLimit(f)
	}
	if len(policy.text) > 0 {
		setLine(h, policyField, policy.values())
		setLine(h, limitField, limit.values())
	}
}

// A line is a field's value under construction. It is one object, the text and the slice that a header wants of it.
type line struct {
	value [1]string
	text  []byte
	space [80]byte
}

func (l *line) name(s string) {
	if l.text == nil {
		l.text = l.space[:0]
	} else {
		l.text = append(l.text, ", "...)
	}
	l.text = append(l.text, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' { // RFC 9651 section 4.1.6
			l.text = append(l.text, '\\')
		}
		l.text = append(l.text, s[i])
	}
	l.text = append(l.text, '"')
}

func (l *line) parameter(name string, n int64) {
	l.text = append(l.text, name...)
	l.text = strconv.AppendInt(l.text, min(max(n, 0), maxInteger), 10)
}

func (l *line) addPolicy(f Field) {
	l.name(f.Name)
	l.parameter(";q=", f.Quota)
	if f.Window > 0 {
		l.parameter(";w=", seconds(f.Window))
	}
}

func (l *line) addLimit(f Field) {
	l.name(f.Name)
	l.parameter(";r=", f.Remaining)
	if f.Reset != Never {
		l.parameter(";t=", seconds(f.Reset))
	}
}

// values is the line as a header's value. The text is not written to any more, so it may be a string in place.
func (l *line) values() []string {
	l.value[0] = unsafe.String(unsafe.SliceData(l.text), len(l.text))
	return l.value[:]
}

// setLine adds v, which is one line, to a field, in the place of a line that begins with the same policy. It does not write
// to the slices that it finds, which answers may share.
func setLine(h http.Header, field string, v []string) {
	if len(h[field]) == 0 {
		h[field] = v
		return
	}
	name, _, _ := strings.Cut(v[0], ";")
	for i, old := range h[field] {
		if rest, ok := strings.CutPrefix(old, name); ok && strings.HasPrefix(rest, ";") {
			lines := slices.Clone(h[field])
			lines[i] = v[0]
			h[field] = lines
			return
		}
	}
	h[field] = append(slices.Clip(h[field]), v[0])
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// seconds is d in whole seconds, rounded up.
func seconds(d time.Duration) int64 {
	n := int64(d / time.Second)
	if d%time.Second > 0 {
		n++
	}
	return n
}

// fields are the values that depend on a limit only. All answers under a segment share them.
type fields struct {
	policy, limit []string
}

// field describes the limit under s, and the state of the bucket that d tells.
func (s *segment) field(name string, d Decision) Field {
	f := Field{Name: name, Quota: d.Limit, Remaining: d.Remaining, Reset: d.ResetAfter}
	if rate := s.limit.Rate; rate > 0 {
		f.Window = time.Duration(math.Ceil(float64(s.limit.Burst) / rate * 1e9))
	}
	return f
}

// lines are what RateLimit has said lately under one name, for answers to share: most answers have the same few numbers of
// tokens left as others a moment ago. Each line stands where its numbers send it, and gives way to the next that is sent there.
type lines struct {
	name string
	said [1024]atomic.Pointer[said]
}

type said struct {
	line
	remaining int64
	reset     time.Duration // in whole seconds
}

func (l *lines) limit(d *Decision) []string {
	reset := d.ResetAfter
	if reset != Never {
		reset = time.Duration(seconds(reset)) * time.Second
	}
	at := &l.said[uint64(d.Remaining+37*int64(reset/time.Second))%uint64(len(l.said))]
	s := at.Load()
	if s == nil || s.remaining != d.Remaining || s.reset != reset {
		s = &said{remaining: d.Remaining, reset: reset}
		s.addLimit(Field{Name: l.name, Remaining: d.Remaining, Reset: reset})
		s.values()
		at.Store(s)
	}
	return s.value[:]
}

func (s *segment) rendered(lines *lines) *fields {
	if f := s.fields.Load(); f != nil {
		return f
	}
	f := &fields{limit: decimal(s.limit.Burst)}
	if lines != nil {
		l := new(line)
		l.addPolicy(s.field(lines.name, Decision{Limit: s.limit.Burst}))
		f.policy = l.values()
	}
	s.fields.Store(f)
	return f
}

// setFields sets on h the IETF fields, unless l is nil, and with x the X-RateLimit fields. An infinite rate has nothing to say.
func (o outcome) setFields(h http.Header, l *lines, x bool) {
	if o.seg == nil || o.seg.unlimited() {
		return
	}
	var d Decision
	o.tell(0, &d)
	f := o.seg.rendered(l)
	if l != nil {
		setLine(h, limitField, l.limit(&d))
		setLine(h, policyField, f.policy)
	}
	if x {
		h[xLimitField] = f.limit
		h[xRemainingField] = decimal(d.Remaining)
		if d.ResetAfter != Never {
			h[xResetField] = decimal(seconds(d.ResetAfter))
		}
	}
}

// decimal is n as a header's value. The first 4096 numbers are kept and shared by all answers.
func decimal(n int64) []string {
	if small := decimals(); n >= 0 && n < int64(len(small)) {
		return small[n : n+1 : n+1]
	}
	return []string{strconv.FormatInt(n, 10)}
}

var decimals = sync.OnceValue(func() []string {
	small := make([]string, 4096)
	for i := range small {
		small[i] = strconv.Itoa(i)
	}
	return small
})
