package apikey

import (
	"hash/crc32"
	"strconv"
	"strings"
)

// Prefix defines a form of values that secret scanners recognise. Such a value has 40 characters: the prefix, an
// underscore, random characters, and the CRC-32 of all these in six base62 digits. By the checksum, a verifier refuses
// a mistyped value without a lookup, and a scanner knows a leaked key from a random string without asking a server.
//
// A prefix has 2 to 6 characters: a lower-case letter, then [a-z0-9]. With 6, 27 random characters remain: 160.8 bits.
type Prefix string

const (
	minPrefix      = 2
	maxPrefix      = 6
	separator      = "_"
	lengthChecksum = 6 // 62^6 > 2^32
	base62         = digits + letters
)

// Generate returns a new random value. If the prefix does not have the required form, the error is [ErrInvalid].
func (p Prefix) Generate() (Value, error) {
	if err := p.validate(); err != nil {
		return "", err
	}
	head := string(p) + separator
	head += random(base62, lengthValue-lengthChecksum-len(head))
	sum := checksum(head)
	return Value(head + string(sum[:])), nil
}

// Pattern returns a regular expression that matches the values, for secret scanners. Its RE2 syntax is also understood
// by the scanners of GitHub, GitLab and gitleaks. A match is a value if [Prefix.Check] reports true for it.
func (p Prefix) Pattern() string {
	rest := lengthValue - len(p) - len(separator)
	return `\b` + string(p) + separator + `[0-9A-Za-z]{` + strconv.Itoa(rest) + `}\b`
}

// Check reports whether value has the form of the prefix's values, with the right checksum.
func (p Prefix) Check(value string) bool {
	if len(value) != lengthValue || !p.claims(value) || !within(value[len(p)+len(separator):], base62) {
		return false
	}
	head := value[:lengthValue-lengthChecksum]
	sum := checksum(head)
	return string(sum[:]) == value[len(head):]
}

// claims reports whether value begins with the prefix and an underscore. A verifier accepts such a value only if Check
// reports true for it. The empty prefix claims no value.
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
