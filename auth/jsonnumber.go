package auth

import "strconv"

// number reads a JSON number (RFC 8259 section 6) and returns it as written. It does not convert it, because most
// numbers are skipped.
//
// A number of more than maxNumber characters is a mistake, and so is one beyond the largest float64, about 1.8·10³⁰⁸.
// Another reader of the text may refuse it or take it for infinity.
func (s *scanner) number() string {
	start := s.at
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++ // no digit may follow: 01 is not a JSON number, and the caller expects no digit here
	} else {
		s.digits()
	}
	if s.peek() == '.' {
		s.at++
		s.digits()
	}
	large := false
	if c := s.peek(); c == 'e' || c == 'E' {
		large = s.exponent()
	}
	if s.err != nil {
		return ""
	}
	text := s.text[start:s.at]
	if len(text) > maxNumber || large && !s.finite(text) {
		s.fail(errRange)
	}
	return text
}

// exponent reads an exponent and reports whether the number may exceed a float64. Only then must it be parsed, which is
// slow. It takes an exponent of three digits that is not negative. Example of the largest number with two: 29 nines in
// front of e99 are 32 characters together, and less than 10¹²⁸.
func (s *scanner) exponent() (large bool) {
	s.at++
	c := s.peek()
	if c == '+' || c == '-' {
		s.at++
	}
	start := s.at
	s.digits()
	return s.at-start > 2 && c != '-'
}

// digits reads one digit or more.
func (s *scanner) digits() {
	i := s.at
	for i < len(s.text) && s.text[i]-'0' <= 9 { // a byte below '0' wraps around to a large one
		i++
	}
	if i == s.at {
		s.fail(errJSON)
		return
	}
	s.at = i
}

// finite reports whether a float64 can represent the number. Parsing is charged as many values.
func (s *scanner) finite(number string) bool {
	s.charge(parseCost)
	_, err := strconv.ParseFloat(number, 64) // an error if the result is infinite
	return err == nil
}
