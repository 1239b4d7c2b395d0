package ratelimit

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// A Field is one policy and its service limit in the IETF header fields RateLimit-Policy and RateLimit
// (draft-ietf-httpapi-ratelimit-headers-11).
type Field struct {
	// Name identifies the policy: printable ASCII. A Field without a name, or with another, is left out.
	Name string
	// Unit is what Quota and Remaining count (parameter qu): "content-bytes", "concurrent-requests", or another that
	// has been registered since (section 10.3 of the draft) or that the clients know. "" and "requests" are requests: a
	// client reads an item without qu as requests (section 3.1), so a limit whose unit has no name must not send a
	// Field. A Unit that is not printable ASCII leaves the Field out.
	Unit string
	// Quota is what the policy grants in one Window (parameters q and w, the latter in seconds, rounded up). A Window
	// of 0 or less is left out.
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

// requests is the unit of a policy that names none, section 3.1 of the draft.
const requests = "requests"

// maxInteger is the largest integer of a structured field, RFC 9651 section 3.3.1. Larger values are sent as this.
const maxInteger = 999_999_999_999_999

// SetFields sets the policies in RateLimit-Policy and RateLimit, as one line of each. It leaves the lines of other
// limits as they are: both fields are lists, and a list may have several lines (RFC 9651 section 3.1). Only a line that
// begins with the same policy is replaced. The slices that it stores belong to the response, so a handler may write to
// them.
func SetFields(h http.Header, fields ...Field) {
	var l *lines // made when there is something to say
	for i := range fields {
		f := &fields[i]
		if f.Name == "" || !printable(f.Name) || !printable(f.Unit) {
			continue
		}
		if l == nil {
			l = new(lines)
		}
		l.policy.addPolicy(f)
		l.limit.addLimit(f)
	}
	if l != nil {
		setLine(h, policyField, l.policy.values())
		setLine(h, limitField, l.limit.values())
	}
}

// lines are the two fields that one call sets, in one object, so that they cost one allocation.
type lines struct{ policy, limit line }

// A line is the value of a field while it is written: the text, and the slice of one string that http.Header stores.
type line struct {
	value [1]string
	text  []byte
	space [80]byte
}

// name begins an item of the list.
func (l *line) name(s string) {
	if l.text == nil {
		l.text = l.space[:0]
	} else {
		l.text = append(l.text, ", "...)
	}
	l.quote(s)
}

func (l *line) quote(s string) {
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

func (l *line) addPolicy(f *Field) {
	l.name(f.Name)
	l.parameter(";q=", f.Quota)
	if f.Unit != "" && f.Unit != requests {
		l.text = append(l.text, ";qu="...)
		l.quote(f.Unit)
	}
	if f.Window > 0 {
		l.parameter(";w=", seconds(f.Window))
	}
}

func (l *line) addLimit(f *Field) {
	l.name(f.Name)
	l.parameter(";r=", f.Remaining)
	if f.Reset != Never {
		l.parameter(";t=", seconds(f.Reset))
	}
}

// values returns the line as http.Header stores it. The text is not written to after this, so the string may share its
// memory.
func (l *line) values() []string {
	l.value[0] = unsafe.String(unsafe.SliceData(l.text), len(l.text))
	return l.value[:]
}

// setLine adds v, which is one line, to a field, in the place of a line that begins with the same policy. It does not
// write to the slices that it finds: another layer may have set one that it shares between responses.
func setLine(h http.Header, field string, v []string) {
	if len(h[field]) == 0 {
		h[field] = v
		return
	}
	name := policyName(v[0])
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

// policyName returns the string, with its quotes, that a line of SetFields begins with. It may contain semicolons.
func policyName(line string) string {
	end := 1
	for ; line[end] != '"'; end++ {
		if line[end] == '\\' {
			end++
		}
	}
	return line[:end+1]
}

// printable reports whether s can be a string of a structured field, RFC 9651 section 3.3.3.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// seconds is d in whole seconds, rounded up.
func seconds(d time.Duration) int64 {
	n := int64(d / time.Second)
	if d%time.Second > 0 {
		n++
	}
	return n
}

// field describes the limit under s, and the state of the bucket in d.
func (s *segment) field(name, unit string, d Decision) Field {
	f := Field{Name: name, Unit: unit, Quota: d.Limit, Remaining: d.Remaining, Reset: d.ResetAfter}
	if rate := s.limit.Rate; rate > 0 {
		// Rounded to microseconds, so that the error of the division does not become a whole second by rounding up.
		f.Window = max(time.Duration(math.Round(float64(s.limit.Burst)/rate*1e6))*time.Microsecond, 1)
	}
	return f
}

// setFields sets the IETF fields, if f has a name, and the X-RateLimit fields for d, if x is set. The
// response owns the values, as it does after SetFields.
func setFields(h http.Header, f Field, x bool, d *Decision) {
	SetFields(h, f)
	if !x {
		return
	}
	h[xLimitField] = decimal(d.Limit)
	h[xRemainingField] = decimal(d.Remaining)
	if d.ResetAfter != Never {
		h[xResetField] = decimal(seconds(d.ResetAfter))
	}
}

// decimal is n as a header's value.
func decimal(n int64) []string { return []string{strconv.FormatInt(n, 10)} }
