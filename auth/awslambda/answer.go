package awslambda

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxALB is the largest answer that an ALB takes from a function, the JSON as a whole (ALB, "Lambda functions as
// targets").
const maxALB = 1 << 20

// encode returns the answer in the format of the event's kind. It writes the JSON into one slice that is large enough
// for most answers. encoding/json would need values of three different structs, and would escape the body for HTML.
//
// A body that is valid UTF-8 is delivered as text, and any other in Base64. The bytes decide, and not the Content-Type.
// JSON can carry every text in UTF-8 unchanged, and no other bytes. A Content-Type may be wrong: a "text/plain" in
// Latin-1 would lose its letters as JSON text.
func (b *buffered) encode(p *payload) ([]byte, error) {
	if b.full {
		return nil, fmt.Errorf("%w: its body has more than the %d bytes that Lambda takes", ErrAnswer, maxAnswer)
	}
	b.sniff(b.body)
	text := utf8.Valid(b.body)
	out := make([]byte, 0, 512+len(b.body)+len(b.body)/3) // Base64 takes 4 bytes for 3; 512 for the header
	out = append(out, `{"statusCode":`...)
	out = strconv.AppendInt(out, int64(b.status), 10)
	if p.Kind == ALB { // the other kinds have no place for a description
		out = append(out, `,"statusDescription":`...)
		out = appendString(out, strconv.Itoa(b.status)+" "+http.StatusText(b.status))
	}
	out, err := appendHeader(out, b.final(), p)
	if err != nil {
		return nil, err
	}
	out = append(out, `,"body":`...)
	if text {
		out = appendString(out, string(b.body))
	} else {
		out = append(out, '"')
		out = base64.StdEncoding.AppendEncode(out, b.body)
		out = append(out, '"')
	}
	out = append(out, `,"isBase64Encoded":`...)
	out = append(strconv.AppendBool(out, !text), '}')
	if err := checkSize(p.Kind, len(out)); err != nil {
		return nil, err
	}
	return out, nil
}

// checkSize refuses an answer that is too large as JSON, although its body may be smaller: Base64 makes 4 bytes of 3,
// and a control character becomes 6. Lambda answers such an answer with 413, and then its runtime for Go ends the
// process, and with it all other invocations. An error fails this invocation only.
func checkSize(k Kind, n int) error {
	most := maxAnswer
	if k == ALB {
		most = maxALB
	}
	if n <= most {
		return nil
	}
	return fmt.Errorf("%w: it has %d bytes as JSON, and an invocation for a %s takes %d", ErrAnswer, n, k, most)
}

// appendHeader writes the fields in the form that the event's kind reads. Their order is the map's, which is random: no
// rule of HTTP depends on the order of fields with different names (RFC 9110 section 5.3), and AWS does not keep it.
//
// REST APIs, format 1.0 and ALBs with multi-value headers have lists. Format 2.0 has one text for each field, in which
// values are joined with commas, and a list of cookies. An ALB without multi-value headers has one text for each field,
// and so no place for a second cookie. Two cookies are an error there: if one of them were left out, a login could fail
// without a trace.
func appendHeader(out []byte, h http.Header, p *payload) ([]byte, error) {
	switch {
	case p.Kind == HTTP2 || p.Kind == FunctionURL:
		return appendCookies(appendTexts(out, h, "Set-Cookie"), h["Set-Cookie"]), nil
	case p.Kind == ALB && p.multiHeaders == "":
		if n := len(h["Set-Cookie"]); n > 1 {
			return nil, fmt.Errorf("%w: %d cookies, without lambda.multi_value_headers.enabled on the target group",
				ErrAnswer, n)
		}
		return appendTexts(out, h, ""), nil
	}
	out = append(out, `,"multiValueHeaders":{`...)
	eachField(h, func(name string, values []string) {
		out = append(appendString(comma(out), name), ':')
		out = appendList(out, values)
	})
	return append(out, '}'), nil
}

// appendTexts writes "headers", and leaves out one field. Format 2.0 has its cookies elsewhere: their values contain
// commas, so they cannot be joined (RFC 6265 section 3).
func appendTexts(out []byte, h http.Header, without string) []byte {
	out = append(out, `,"headers":{`...)
	eachField(h, func(name string, values []string) {
		if name == without {
			return
		}
		out = append(appendString(comma(out), name), ':', '"')
		for i, value := range values {
			if i > 0 {
				out = append(out, ", "...) // RFC 9110 section 5.3
			}
			out = appendValue(out, value)
		}
		out = append(out, '"')
	})
	return append(out, '}')
}

// appendCookies writes the list of cookies of format 2.0. AWS makes a Set-Cookie field of each element.
func appendCookies(out []byte, cookies []string) []byte {
	if len(cookies) == 0 {
		return out
	}
	return appendList(append(out, `,"cookies":`...), cookies)
}

// appendList writes the values of one field, so that AWS sends a field for each. A value such as a date or a challenge
// may contain commas, so a list is safer than one text wherever the kind takes it.
func appendList(out []byte, values []string) []byte {
	out = append(out, '[')
	for _, value := range values {
		out = append(appendValue(append(comma(out), '"'), value), '"')
	}
	return append(out, ']')
}

// comma writes a comma unless the object or list has just begun. The last byte tells that, so no caller counts.
func comma(out []byte) []byte {
	if last := out[len(out)-1]; last == '{' || last == '[' {
		return out
	}
	return append(out, ',')
}

// appendValue writes the value of a field, without the quotation marks. As in net/http, blanks and line breaks are cut
// at both ends, and line breaks become blanks elsewhere, so no value can begin another field.
func appendValue(out []byte, value string) []byte {
	return appendEscapes(out, strings.TrimFunc(value, func(c rune) bool { return c <= ' ' }), ' ')
}

// appendString writes a JSON string.
func appendString(out []byte, s string) []byte {
	return append(appendEscapes(append(out, '"'), s, 0), '"')
}

// appendEscapes writes the inside of a JSON string (RFC 8259 section 7). If control is not 0, it replaces control
// characters. Bytes that are not UTF-8 become U+FFFD, since JSON has no place for them.
//
// It is not encoding/json's, which also escapes "<", ">" and "&": in a page, each of them would take six bytes.
func appendEscapes(out []byte, s string, control byte) []byte {
	const digits = "0123456789abcdef"
	start := 0 // of what can be copied
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		out = append(out, s[start:i]...)
		switch {
		case c >= utf8.RuneSelf:
			out = append(out, "\uFFFD"...)
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case control != 0:
			out = append(out, control)
		case c == '\n':
			out = append(out, `\n`...)
		default:
			out = append(out, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
		i++
		start = i
	}
	return append(out, s[start:]...)
}
