package auth

import "strconv"

// number reads a JSON number and returns it as written. A number that a float64 cannot represent is a mistake.
func (s *scanner) number() string {
	start := s.at
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
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

// exponent reads an exponent and reports whether the number may exceed a float64, whose maximum is about 10³⁰⁸. That
// takes an exponent of three digits that is not negative: with two digits, the 32 characters of a number can reach
// 10¹³⁰ at most.
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

func (s *scanner) digits() {
	i := s.at
	for i < len(s.text) && s.text[i]-'0' <= 9 {
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
