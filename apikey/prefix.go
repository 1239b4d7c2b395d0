package apikey

import (
	"hash/crc32"
	"strconv"
	"strings"
)

// A prefix defines the form of values that secret scanners recognise; see [Config].Prefix. The empty prefix defines
// none.
//
// For example, a value of the prefix "air" is air_, 30 random characters, and the CRC-32 of these 34 characters in six
// base62 digits: 40 characters in all. A prefix of 6 characters leaves 27 random ones: 160.8 bits.
type prefix string

const (
	minPrefix      = 2
	maxPrefix      = 6
	separator      = "_"
	lengthChecksum = 6 // 62^6 > 2^32
	base62         = digits + letters
)

func (p prefix) validate() error {
	if len(p) < minPrefix || len(p) > maxPrefix || !within(string(p), lower+digits) || !within(string(p[:1]), lower) {
		return invalid("API key prefix must be 2 to 6 characters of [a-z0-9] and begin with a letter")
	}
	return nil
}

func (p prefix) generate() Secret {
	head := string(p) + separator
	head += random(base62, lengthValue-lengthChecksum-len(head))
	sum := checksum(head)
	return Secret(head + string(sum[:]))
}

// Pattern returns a regular expression for secret scanners, which matches the values that [Verifier.Generate] returns.
// Its RE2 syntax is also understood by the scanners of GitHub, GitLab and gitleaks. [Verifier.VerifyKey] tells whether
// a match is the value of a key. Without [Config].Prefix, the pattern is that of any word of 40 letters and digits,
// which much else has, such as a git commit's hash.
func (v *Verifier) Pattern() string {
	if v == nil || v.prefix == "" {
		return `\b[0-9A-Za-z]{` + strconv.Itoa(lengthValue) + `}\b`
	}
	rest := lengthValue - len(v.prefix) - len(separator)
	return `\b` + string(v.prefix) + separator + `[0-9A-Za-z]{` + strconv.Itoa(rest) + `}\b`
}

// claims reports whether value begins with the prefix and an underscore. A verifier accepts such a value only if it has
// the checksum. The empty prefix claims no value.
func (p prefix) claims(value string) bool {
	return p != "" && strings.HasPrefix(value, string(p)) && strings.HasPrefix(value[len(p):], separator)
}

// has reports whether value has the form of the prefix's values, with the right checksum.
func (p prefix) has(value string) bool {
	if len(value) != lengthValue || !p.claims(value) || !within(value[len(p)+len(separator):], base62) {
		return false
	}
	head := value[:lengthValue-lengthChecksum]
	sum := checksum(head)
	return string(sum[:]) == value[len(head):]
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
