package identitypool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"unicode/utf8"
)

// input is the body of a request. Its members have the names of Cognito's model. Members that the operation does not
// know are not looked at, as at AWS.
type input struct {
	pool, identity, role string            // IdentityPoolId, IdentityId and CustomRoleArn; "" if absent
	logins               map[string]string // a token by the name of its provider, not verified yet
}

// The bounds of Cognito's model (botocore's cognito-identity/2014-06-30/service-2.json). maxToken is more than package
// auth reads: what is longer than that fails in the verification, and what is longer than this has AWS's other answer.
const (
	maxID     = 55
	maxLogins = 10
	maxName   = 128   // of a provider
	maxToken  = 50000 // of a login
)

// modelForm is the pattern of both ids in Cognito's model. idForm, which New demands, is narrower.
var modelForm = regexp.MustCompile(`^[\w-]+:[0-9a-f-]+$`)

// readInput reads the JSON of a body. An empty body is an empty object, as at AWS.
func readInput(body []byte) (in input, err error) {
	if len(body) == 0 {
		return in, nil
	}
	found, err := members(body)
	if err != nil {
		return in, err
	}
	for name, to := range map[string]*string{"IdentityPoolId": &in.pool, "IdentityId": &in.identity, "CustomRoleArn": &in.role} {
		if *to, err = text(found[name]); err != nil {
			return in, err
		}
	}
	in.logins, err = readLogins(found["Logins"])
	return in, err
}

// readLogins reads the map of tokens. Its values are secret, so a refusal does not repeat them. An absent map and an
// empty one mean the same: a caller who has not signed in.
func readLogins(raw json.RawMessage) (map[string]string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	found, err := members(raw)
	if err != nil {
		return nil, err
	}
	if len(found) > maxLogins {
		return nil, constraint("Value", "logins", "have length less than or equal to 10")
	}
	logins := make(map[string]string, len(found))
	for name, raw := range found {
		token, err := text(raw)
		switch {
		case err != nil:
			return nil, err
		case name == "" || utf8.RuneCountInString(name) > maxName:
			return nil, badLogin("keys", maxName)
		case token == "" || len(token) > maxToken:
			return nil, badLogin("value", maxToken)
		}
		logins[name] = token
	}
	return logins, nil
}

// badLogin is AWS's answer to a map of tokens with a name or a token that is empty or too long.
func badLogin(part string, most int) error {
	return invalid("ValidationException", fmt.Sprintf("1 validation error detected: Value at 'logins' failed to satisfy "+
		"constraint: Map %s must satisfy constraint: [Member must have length less than or equal to %d, "+
		"Member must have length greater than or equal to 1]", part, most))
}

// members returns the members of a JSON object, undecoded. json.Unmarshal into a map would silently keep the last of
// two. It refuses a name that occurs twice: two readers of the same body could take different ones. Names are compared
// with regard to case, as at AWS.
func members(body []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(body) {
		return nil, serialization(errors.New("not UTF-8"))
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, serialization(errors.Join(errors.New("not an object"), err))
	}
	found := make(map[string]json.RawMessage)
	for d.More() {
		t, err := d.Token()
		name, _ := t.(string)
		var value json.RawMessage
		if err == nil {
			err = d.Decode(&value)
		}
		if err != nil {
			return nil, serialization(err)
		}
		if _, twice := found[name]; twice {
			return nil, serialization(fmt.Errorf("the name %q occurs twice", clip(name)))
		}
		found[name] = value
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return nil, serialization(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, serialization(errors.New("text after the object"))
	}
	return found, nil
}

// text returns a JSON text, "" for null and for a member that is absent.
func text(raw json.RawMessage) (s string, err error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	if raw[0] != '"' { // the decoder has skipped the white space before the value
		return "", serialization(errors.New("not a string"))
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", serialization(err)
	}
	return s, nil
}

// checkID checks an id by the constraints of Cognito's model. member is its name in the model. Whether the id is one of
// this pool is asked later.
func checkID(member, id string) error {
	value := fmt.Sprintf("Value '%s'", clip(id))
	switch {
	case id == "":
		return constraint("Value null", member, "not be null")
	case len(id) > maxID:
		return constraint(value, member, "have length less than or equal to 55")
	case !modelForm.MatchString(id):
		return constraint(value, member, `satisfy regular expression pattern: [\w-]+:[0-9a-f-]+`)
	}
	return nil
}

// serialization is the refusal of a body that cannot be read. AWS's has no text, so the cause is for logs only.
func serialization(err error) error {
	return &Error{Err: fmt.Errorf("%w: %w", ErrInvalid, err), Code: "SerializationException"}
}

// constraint is AWS's answer to a value that the model does not allow.
func constraint(value, member, must string) error {
	return invalid("ValidationException",
		"1 validation error detected: "+value+" at '"+member+"' failed to satisfy constraint: Member must "+must)
}
