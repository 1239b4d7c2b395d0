package sts

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// form are the parameters of a request, by name.
type form map[string]string

// maxParameters bounds the parameters: fifty tags have a hundred.
const maxParameters = 256

// readForm reads parameters in the form of the query protocol
// (https://smithy.io/2.0/aws/protocols/aws-query-protocol.html). It refuses one that occurs twice, since two readers
// could take different ones, and a text that is not UTF-8.
func readForm(text string) (form, error) {
	f := make(form)
	if text == "" {
		return f, nil
	}
	if strings.Count(text, "&") >= maxParameters {
		return nil, malformed(fmt.Errorf("more than %d parameters", maxParameters))
	}
	// Not url.ParseQuery: it keeps all values of a name, and goes on after a mistake.
	for pair := range strings.SplitSeq(text, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if err := errors.Join(err, err2); err != nil {
			return nil, malformed(err)
		}
		if _, twice := f[name]; twice || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, malformed(fmt.Errorf("the parameter %q occurs twice, or is not UTF-8", clip(name)))
		}
		f[name] = value
	}
	return f, nil
}

// malformed is the refusal of parameters that cannot be read. The cause is for logs only.
func malformed(err error) error {
	return &Error{Err: fmt.Errorf("%w: %w", ErrInvalid, err), Code: "MalformedInput", Message: "The parameters are malformed."}
}

// A shape is what AWS's model says about a text parameter.
type shape struct {
	name     string         // in the model, which messages use
	min, max int            // characters
	pattern  string         // of AWS's, as messages repeat it; empty if there is none
	form     *regexp.Regexp // what pattern means, in Go's syntax; nil if there is none
}

// The shapes of STS's model (botocore's sts/2011-06-15/service-2.json).
var (
	nameText      = `[\w+=,.@-]*`
	nameForm      = regexp.MustCompile(`^[\w+=,.@-]*$`)
	shapeRole     = shape{"roleArn", 20, 2048, "", nil}
	shapeSession  = shape{"roleSessionName", 2, 64, nameText, nameForm}
	shapeSource   = shape{"sourceIdentity", 2, 64, nameText, nameForm}
	shapeExternal = shape{"externalId", 2, 1224, `[\w+=,.@:\/-]*`, regexp.MustCompile(`^[\w+=,.@:/-]*$`)}
	shapePolicy   = shape{"policy", 1, 2048, "[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+", regexp.MustCompile(`^[\t\n\r\x{20}-\x{ff}]+$`)}
	shapeToken    = shape{"webIdentityToken", 4, 20000, "", nil}
	shapeTagKey   = shape{"tags.member.key", 1, 128, `[\p{L}\p{Z}\p{N}_.:/=+\-@]+`, regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]+$`)}
	shapeTagValue = shape{"tags.member.value", 0, 256, `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`, regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)}
)

// check returns AWS's answer to a text that does not have the shape, which repeats the text. A token is a secret, so it
// is not repeated.
func (s *shape) check(text string) error {
	n := utf8.RuneCountInString(text)
	value := "Value '" + clip(text) + "'"
	if s.name == shapeToken.name {
		value = "Value"
	}
	switch {
	case n > s.max:
		return constraint(value, s.name, "have length less than or equal to "+strconv.Itoa(s.max))
	case n < s.min:
		return constraint(value, s.name, "have length greater than or equal to "+strconv.Itoa(s.min))
	case s.form != nil && !s.form.MatchString(text):
		return constraint(value, s.name, "satisfy regular expression pattern: "+s.pattern)
	}
	return nil
}

// required returns a parameter that must be there. An empty one is there, and fails by its length.
func (f form) required(name string, s shape) (string, error) {
	text, ok := f[name]
	if !ok {
		return "", constraint("Value null", s.name, "not be null")
	}
	return text, s.check(text)
}

// optional returns a parameter, or "" if it is not there.
func (f form) optional(name string, s shape) (string, error) {
	if text, ok := f[name]; ok {
		return text, s.check(text)
	}
	return "", nil
}

// duration returns DurationSeconds, or the usual one if it is not there. These are the bounds of any role;
// checkDuration knows those of one.
func (f form) duration() (time.Duration, error) {
	text, ok := f["DurationSeconds"]
	if !ok {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	value, name := "Value '"+clip(text)+"'", "durationSeconds"
	switch {
	case err != nil: // it repeats the whole text
		return 0, malformed(errors.New("DurationSeconds is no number"))
	case n < int(shortest/time.Second):
		return 0, constraint(value, name, "have value greater than or equal to 900")
	case n > int(longest/time.Second):
		return 0, constraint(value, name, "have value less than or equal to 43200")
	}
	return time.Duration(n) * time.Second, nil
}

// tags returns the session tags, Tags.member.1.Key and so on. The numbers begin at 1 and have no gap, which ends the
// list. If a parameter with the prefix was not read, the caller would get a session without a tag that it has asked
// for. So read, the number of parameters that the loop has used, must be the number of all of them.
func (f form) tags() (map[string]string, error) {
	tags := make(map[string]string)
	read := 0
	for i := 1; ; i++ {
		at := "Tags.member." + strconv.Itoa(i)
		key, hasKey := f[at+".Key"]
		value, hasValue := f[at+".Value"]
		if !hasKey && !hasValue {
			break
		}
		if err := errors.Join(shapeTagKey.check(key), shapeTagValue.check(value)); err != nil {
			return nil, err
		}
		if !hasKey || !hasValue || i > 50 {
			return nil, invalid("ValidationError", "A tag needs a key and a value, and at most 50 tags are allowed.")
		}
		for other := range tags {
			if strings.EqualFold(other, key) {
				return nil, invalid("InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
			}
		}
		tags[key] = value
		read += 2
	}
	for name := range f {
		if strings.HasPrefix(name, "Tags.") {
			read--
		}
	}
	if read != 0 { // a gap in the numbers, or a member that the model does not have
		return nil, malformed(errors.New("the list of tags has a gap"))
	}
	return tags, nil
}

// refuseUnsupported refuses parameters that narrow a session, or prove something, in a way that this package does not
// have. To ignore them would give the caller more than it asked for. An empty one asks for nothing: some clients send
// an empty list as "PolicyArns=".
func (f form) refuseUnsupported() error {
	for name := range f {
		for _, no := range []string{"PolicyArns", "TransitiveTagKeys", "ProvidedContexts", "SerialNumber", "TokenCode", "ProviderId"} {
			if first, _, _ := strings.Cut(name, "."); first == no && (name != no || f[name] != "") {
				return invalid("InvalidParameterValue", "The parameter "+no+" is not supported.")
			}
		}
	}
	return nil
}

// constraint is AWS's answer to a value that the model does not allow.
func constraint(value, member, must string) error {
	return invalid("ValidationError",
		"1 validation error detected: "+value+" at '"+member+"' failed to satisfy constraint: Member must "+must)
}
