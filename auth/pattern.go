package auth

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Pattern is a regular expression that must match a whole text. [Matching] makes it. The zero value matches nothing.
//
// It is a type of its own so that a program without patterns does not contain package regexp, which has 0.28 MB. A
// *regexp.Regexp in [Issuer] would keep the package in every program.
type Pattern struct {
	expression matcher
	err        error
}

// matcher is the part of [regexp.Regexp] that a Pattern needs.
type matcher interface{ MatchString(text string) bool }

// Matching returns a pattern of an expression of package regexp. It must match the whole text: loyalty-.* does not
// accept my-loyalty-app. [New] reports an expression that is empty or has a mistake.
func Matching(expression string) Pattern {
	if expression == "" { // usually an environment variable that is not set
		return Pattern{err: errors.New("AudiencePattern is empty")}
	}
	// Compiled alone first: "a)|(b" is invalid, but would become valid within \A(?:…)\z.
	if _, err := regexp.Compile(expression); err != nil {
		return Pattern{err: fmt.Errorf("AudiencePattern: %w", err)}
	}
	whole, err := regexp.Compile(`\A(?:` + expression + `)\z`)
	return Pattern{whole, err}
}

// The names and ids that AWS, Entra and SPIFFE prescribe are checked by hand, and not by regular expressions, for the
// same reason. To compile an expression also takes about 0.1 ms, which each start of a Lambda function would pay.

// The characters of names.
const (
	digits    = "0123456789"
	hexDigits = digits + "abcdef"
	lowerCase = "abcdefghijklmnopqrstuvwxyz"
	letters   = lowerCase + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// consistsOf reports whether s has only characters of a set, and at least one.
func consistsOf(s, set string) bool { return s != "" && strings.Trim(s, set) == "" }

// isGUID reports whether s is a GUID in lower case, such as 72f988bf-86f1-41af-91ab-2d7cd011db47.
func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if strings.IndexByte(hexDigits, c) < 0 {
				return false
			}
		}
	}
	return true
}
