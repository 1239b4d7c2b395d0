package auth

import (
	"strconv"
	"time"
)

// latest is the last second of the year 9999, the last year that RFC 3339 can write.
const latest = 253402300799

// date reads a NumericDate: seconds since 1970, optionally with a fraction (RFC 7519 section 2).
func (s *scanner) date() time.Time {
	when, ok := numericDate(s.number())
	if !ok {
		s.fail(errClaim)
	}
	return when
}

// optionalDate reads a NumericDate. It skips any other value and returns the zero time, as for a claim that is missing.
// So a rule that looks at the time, such as MaxAuthAge, refuses the token.
func (s *scanner) optionalDate() (when time.Time) {
	if c := s.peek(); c == '-' || '0' <= c && c <= '9' {
		when, _ = numericDate(s.number())
		return when
	}
	s.skip()
	return when
}

// numericDate converts the text of a JSON number. It reports false if the time is before 1970 or after latest: a larger
// number could overflow a time.Time, or could not be written as JSON. Most issuers write whole seconds, which need no
// floating point.
func numericDate(text string) (time.Time, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && 0 <= n && n <= latest {
		return time.Unix(n, 0).UTC(), true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(0 <= f && f <= latest) { // in this form NaN is refused too
		return time.Time{}, false
	}
	whole := int64(f)
	return time.Unix(whole, int64((f-float64(whole))*1e9)).UTC(), true
}
