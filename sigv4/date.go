package sigv4

import "time"

// The layouts of a date and of its day, as in time.Time.Format. Both are in UTC.
const (
	basicFormat = "20060102T150405Z" // ISO 8601 basic format
	day         = "20060102"
)

// checkWindow refuses a signature that is too old or is dated too far in the future. It compares whole seconds, as
// AWS's texts do. It does not use time.Duration, which overflows after 292 years: a date in the year 2611 would seem to
// be now.
func (v *Verifier) checkWindow(p *parameters, now time.Time) *Error {
	maxAge, ok := v.maxAge(p)
	if !ok {
		return refuse(errExpires, p.expires)
	}
	age := now.Unix() - p.time.Unix()
	switch {
	case age > int64(maxAge/time.Second):
		return &Error{Err: errExpired, Detail: p.date, now: now.Unix(), window: maxAge}
	case -age > int64(v.config.MaxAhead/time.Second):
		return &Error{Err: errNotYetValid, Detail: p.date, now: now.Unix(), window: v.config.MaxAhead}
	}
	return nil
}

// maxAge returns how old the signature may be. It reports false if X-Amz-Expires is missing or out of range.
//
// At API Gateway a presigned URL is valid for five minutes, whatever X-Amz-Expires says; that is MaxExpires zero,
// except under S3. At other services it is valid for as long as X-Amz-Expires says.
func (v *Verifier) maxAge(p *parameters) (maxAge time.Duration, ok bool) {
	c := &v.config
	if !p.presigned {
		return c.MaxAge, true
	}
	if !p.hasExpires && !c.S3 { // several SDKs leave it out where the service has a window of its own
		if c.MaxExpires > 0 {
			return min(c.MaxAge, c.MaxExpires), true
		}
		return c.MaxAge, true
	}
	expires, ok := parseExpires(p.expires)
	if c.MaxExpires == 0 {
		return c.MaxAge, ok
	}
	return expires, ok && expires <= c.MaxExpires
}

// parseExpires parses X-Amz-Expires: a number of seconds, at least 1 and at most 604 800, which is 7 days. It refuses
// zeros in front and a sign, which strconv.Atoi accepts.
func parseExpires(s string) (time.Duration, bool) {
	if s == "" || len(s) > len("604800") || s[0] == '0' {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	d := time.Duration(n) * time.Second
	return d, d <= maxExpires
}

// parseDate parses the date. X-Amz-Date overrides the Date header, which may then have any value.
//
// Source: AWS IAM User Guide, "Elements of an AWS API request signature".
func (p *parameters) parseDate() *Error {
	var ok bool
	if p.time, ok = parseBasic(p.date); !ok {
		return refuse(errMalformedDate, p.date)
	}
	return nil
}

// parseBasic parses a date in ISO 8601 basic format, such as 20150830T123600Z. SigV4 allows no other form, and no leap
// second. It takes a third of the time that time.Parse takes, which also accepts a fraction of a second.
func parseBasic(s string) (t time.Time, ok bool) {
	if len(s) != len(basicFormat) || s[8] != 'T' || s[15] != 'Z' {
		return t, false
	}
	year, month, day := number(s[:4]), number(s[4:6]), number(s[6:8])
	hour, minute, second := number(s[9:11]), number(s[11:13]), number(s[13:15])
	if year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		uint(hour) > 23 || uint(minute) > 59 || uint(second) > 59 {
		return t, false
	}
	seconds := ((int64(days(year, month, day))*24+int64(hour))*60+int64(minute))*60 + int64(second)
	return time.Unix(seconds, 0).UTC(), true
}

// formatBasic formats a time as [basicFormat], in a quarter of the time that time.Time.Format takes.
func formatBasic(t time.Time) string {
	text := [len(basicFormat)]byte([]byte(basicFormat))
	year, month, day := t.UTC().Date()
	hour, minute, second := t.UTC().Clock()
	for i, n := range [...]int{year / 100, year, int(month), day} {
		text[2*i], text[2*i+1] = byte('0'+n/10%10), byte('0'+n%10)
	}
	for i, n := range [...]int{hour, minute, second} {
		text[2*i+9], text[2*i+10] = byte('0'+n/10), byte('0'+n%10)
	}
	return string(text[:])
}

// number returns the value of decimal digits, or -1 if another byte is among them.
func number(s string) int {
	n := 0
	for i := range len(s) {
		c := int(s[i]) - '0'
		if uint(c) > 9 {
			return -1
		}
		n = n*10 + c
	}
	return n
}

// days returns the number of days from 1970-01-01 to a date of the Gregorian calendar, in a third of the time that
// time.Date takes. Years begin in March here, so that the leap day is the last day of its year. The months before a
// month have (153*month+2)/5 days, and 719 468 days lie between 0000-03-01 and 1970-01-01.
//
// For example, 1970-01-01 is the first day of month 10 of the year 1969:
//
//	1969*365 + 492 - 19 + 4 + 306 + 1 - 1 - 719468 = 0
func days(year, month, day int) int {
	month -= 3
	if month < 0 {
		month, year = month+12, year-1
	}
	return year*365 + year/4 - year/100 + year/400 + (153*month+2)/5 + day - 1 - 719_468
}

// daysIn returns the number of days in a month of the Gregorian calendar.
func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}
