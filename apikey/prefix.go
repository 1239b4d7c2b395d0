package apikey

import (
	"hash/crc32"
	"strconv"
	"strings"
)

// Prefix names the scannable form of a value: the prefix, an underscore, random characters, and the CRC-32 of all
// before it in six base62 digits, 40 characters in all. The checksum lets a verifier refuse a mistyped or invented
// value without a lookup, and lets a secret scanner tell a leaked key from a look-alike without asking anyone.
//
// A prefix is 2 to 6 characters: a lower-case letter, then [a-z0-9]. Six leave 27 random characters, 160.8 bits.
type Prefix string

const (
	minPrefix      = 2
	maxPrefix      = 6
	separator      = "_"
	lengthChecksum = 6 // 62^6 > 2^32
	base62         = digits + letters
)

// Generate returns a fresh value. A prefix of a wrong form is [ErrInvalid].
func (p Prefix) Generate() (Value, error) {
	if err := p.validate(); err != nil {
		return "", err
	}
	head := string(p) + separator
	head += random(base62, lengthValue-lengthChecksum-len(head))
	sum := checksum(head)
	return Value(head + string(sum[:])), nil
}

// Pattern returns the regular expression of the values, for secret scanners: RE2 syntax, which the scanners of
// GitHub, GitLab and gitleaks read too. What matches is a key if [Prefix.Check] says so.
func (p Prefix) Pattern() string {
	rest := lengthValue - len(p) - len(separator)
	return `\b` + string(p) + separator + `[0-9A-Za-z]{` + strconv.Itoa(rest) + `}\b`
}

// Check reports whether value has the form, checksum included.
func (p Prefix) Check(value string) bool {
	if len(value) != lengthValue || !p.claims(value) || !within(value[len(p)+len(separator):], base62) {
		return false
	}
	head := value[:lengthValue-lengthChecksum]
	sum := checksum(head)
	return string(sum[:]) == value[len(head):]
}

// claims reports whether value begins as the values of a set prefix do, so that Check must hold for it.
func (p Prefix) claims(value string) bool {
	return p != "" && strings.HasPrefix(value, string(p)) && strings.HasPrefix(value[len(p):], separator)
}

func (p Prefix) validate() error {
	if len(p) < minPrefix || len(p) > maxPrefix || !within(string(p), lower+digits) || !within(string(p[:1]), lower) {
		return invalid("API key prefix must be 2 to 6 characters of [a-z0-9] and begin with a letter")
	}
	return nil
}

// checksum returns the CRC-32 (IEEE) of head in six base62 digits, most significant first.
func checksum(head string) (out [lengthChecksum]byte) {
	sum := ^uint32(0)
	for i := range len(head) { // crc32.ChecksumIEEE would put a copy of head on the heap
		sum = crc32.IEEETable[byte(sum)^head[i]] ^ sum>>8
	}
	sum = ^sum
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = base62[sum%62]
		sum /= 62
	}
	return out
}
