package policy

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The values that a document gives for a condition are checked and compiled here, one function for each kind. Each
// returns what is wrong with a value, or "" if nothing is.

// number reads an integer or a decimal. It may have 15 digits: a float64 keeps as many, so two numbers that are written
// differently are never equal by rounding. Go reads more than IAM means, so the characters are checked as well: "0x10",
// "1_000", "Inf".
func number(s string) (float64, string) {
	const most = 15
	digits := 0 // those of an exponent and leading zeros count as well: nobody needs them
	for i := range len(s) {
		if '0' <= s[i] && s[i] <= '9' {
			digits++
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.Trim(s, "0123456789+-.eE") != "" {
		return 0, "is not a number"
	}
	if mantissa, _, _ := strings.Cut(lower(s), "e"); n == 0 && strings.ContainsAny(mantissa, "123456789") {
		return 0, "is too small a number" // it would be equal to zero
	}
	if digits > most {
		return 0, fmt.Sprintf("has more than %d digits", most)
	}
	return n, ""
}

// layouts are the forms of a date: "one of the W3C implementations of the ISO 8601 date formats" (IAM User Guide, "Date
// condition operators"; https://www.w3.org/TR/NOTE-datetime). Go also reads a fraction of a second with them.
var layouts = []string{"2006-01", "2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00"}

// date reads a date, or an "epoch (UNIX) time" in seconds. A date without a time is its beginning in UTC.
func date(s string) (time.Time, string) {
	const year, beyond = 4, 253_402_300_800 // the first second of the year 10000
	if consistsOf(s, "0123456789") {
		n, err := strconv.ParseInt(s, 10, 64)
		switch {
		case len(s) == year: // "2020" is a form of the W3C's, and 2020 seconds are 33 minutes after the epoch
			return time.Time{}, "is either a year or an epoch time: write the month as well"
		case err != nil || n >= beyond:
			return time.Time{}, "is no epoch time in seconds"
		}
		return time.Unix(n, 0).UTC(), ""
	}
	// time.Parse takes a comma for the point of a fraction, which the W3C's forms do not have. A time without a zone has
	// no layout here: the W3C asks for one, and a guess could be half a day off.
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil && !strings.Contains(s, ",") {
			return t.UTC(), ""
		}
	}
	return time.Time{}, "is neither a date of ISO 8601 nor an epoch time"
}

// boolean reads "true" or "false". IAM's documentation is silent about capitals, which some tools write.
func boolean(s string) (bool, string) {
	switch lower(s) {
	case "true":
		return true, ""
	case "false":
		return false, ""
	}
	return false, "is neither true nor false"
}

// binary reads bytes in base64. Each sequence of bytes has one form only: padding is needed, its bits are zero, and
// line breaks, which package base64 skips, are not allowed.
func binary(s string) (string, string) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return "", "is not base64"
	}
	return string(b), ""
}

// network reads an address or a network. IAM says that an address alone means /32; for IPv6 that is taken to mean the
// one address, /128. Bits behind the length of the network are ignored, as in "192.168.0.1/16".
func network(s string) (netip.Prefix, string) {
	n, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return n, "is neither an address nor a network"
		}
		n = netip.PrefixFrom(a, a.BitLen())
	}
	if n.Addr().Is4In6() {
		return n, "is an IPv4 address mapped into IPv6: write the IPv4 address"
	}
	return n.Masked(), ""
}
