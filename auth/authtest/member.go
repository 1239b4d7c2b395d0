package authtest

import (
	"cmp"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"
)

// member is a user of a pool.
type member struct {
	name, subject  string // no subject: there is no such user
	status         string // as Cognito names it: UNCONFIRMED, FORCE_CHANGE_PASSWORD, CONFIRMED
	attributes     map[string]string
	groups         []string
	salt, verifier *big.Int // of the password; see srp.go
	message        string   // what was sent to the user; see Code
	created, sent  time.Time
}

// find returns a user. One who does not exist has a verifier of no password, and always the same salt, so that no answer
// to a sign-in tells who exists (PreventUserExistenceErrors in Cognito).
func (p *Pool) find(name string) *member {
	if m := p.users[name]; m != nil {
		return m
	}
	salt := hash([]byte(p.decoy), []byte(name))
	return &member{name: name, salt: salt.Rsh(salt, 128), verifier: hash([]byte(p.decoy))}
}

func (p *Pool) signUp(r *request) (any, error) {
	m := &member{name: r.Username, status: "UNCONFIRMED", attributes: make(map[string]string)}
	if err := p.add(m, r.Password, userAttributes, r.UserAttributes, "User already exists"); err != nil {
		return nil, err
	}
	return map[string]any{"UserConfirmed": false, "UserSub": m.subject, "CodeDeliveryDetails": m.sendCode()}, nil
}

// adminCreateUser adds a user with a temporary password, or gives another one to a user who has not changed the first.
func (p *Pool) adminCreateUser(r *request) (any, error) {
	m, now := r.member, time.Now()
	password := cmp.Or(r.TemporaryPassword, rand.Text()[:12]+"-a9A")
	var err error
	switch r.MessageAction {
	case "RESEND":
		err = p.invite(m, password)
	case "", "SUPPRESS":
		m = &member{name: r.Username, status: forceChange, created: now, attributes: make(map[string]string)}
		err = p.add(m, password, adminAttributes, r.UserAttributes, "User account already exists")
	default:
		err = invalid("1 validation error detected: Value '%.32s' at 'messageAction' failed to satisfy constraint: "+
			"Member must satisfy enum value set: [RESEND, SUPPRESS]", r.MessageAction)
	}
	if err != nil {
		return nil, err
	}
	if m.sent = now; r.MessageAction != "SUPPRESS" {
		m.message = password
	}
	return map[string]any{"User": map[string]any{
		"Username": m.name, "Attributes": m.list(), "Enabled": true, "UserStatus": m.status,
		"UserCreateDate": m.created.Unix(), "UserLastModifiedDate": m.sent.Unix(),
	}}, nil
}

// forceChange is the status of a user who has a temporary password.
const forceChange = "FORCE_CHANGE_PASSWORD"

// invite gives another temporary password to a user who has one. The attributes of the request are ignored.
func (p *Pool) invite(m *member, password string) error {
	switch {
	case m.subject == "":
		return refusal{"UserNotFoundException", "User does not exist."}
	case m.status != forceChange:
		return refusal{"UnsupportedUserStateException", "Resend not possible. Status is not FORCE_CHANGE_PASSWORD"}
	}
	return p.setPassword(m, password)
}

// add adds a user, unless there is one of that name or the pool is full.
func (p *Pool) add(m *member, password, writable string, attributes []attribute, exists string) error {
	if p.users[m.name] != nil {
		return refusal{"UsernameExistsException", exists}
	}
	if len(p.users) >= maxUsers {
		return errLimit
	}
	for _, a := range attributes {
		if err := m.set(writable, a.Name, a.Value); err != nil {
			return err
		}
	}
	m.subject = uuid(p.issuer.url + " " + m.name)
	if err := p.setPassword(m, password); err != nil {
		return err
	}
	p.users[m.name] = m
	return nil
}

// The standard attributes that a user may set, and that the administrator may:
// https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-settings-attributes.html
const (
	userAttributes = "address birthdate email family_name gender given_name locale middle_name name nickname " +
		"phone_number picture preferred_username profile updated_at website zoneinfo"
	adminAttributes = userAttributes + " email_verified phone_number_verified"
)

// set sets an attribute. Any custom attribute is accepted. No unknown name is, because each becomes a claim of the ID
// token.
func (m *member) set(writable, name, value string) error {
	custom, ok := strings.CutPrefix(name, "custom:")
	known := ok && isName(custom) || slices.Contains(strings.Fields(writable), name)
	if !known || len(name) > 32 || len(value) > 2048 {
		return invalid("Attributes did not conform to the schema: %.32s", name)
	}
	m.attributes[name] = value
	return nil
}

// list returns the attributes as Cognito lists them.
func (m *member) list() []attribute {
	all := []attribute{{"sub", m.subject}}
	for _, name := range slices.Sorted(maps.Keys(m.attributes)) {
		all = append(all, attribute{name, m.attributes[name]})
	}
	return all
}

// setPassword replaces the password by one that fits Cognito's default policy:
// https://docs.aws.amazon.com/cognito/latest/developerguide/managing-users-passwords.html
func (p *Pool) setPassword(m *member, password string) error {
	for _, rule := range policy {
		if !rule.demand.MatchString(password) {
			return refusal{"InvalidPasswordException", "Password did not conform with policy: Password " + rule.text}
		}
	}
	m.salt = random(16)
	m.verifier = verifierOf(p.name, m.name, password, m.salt)
	return nil
}

var policy = []struct {
	demand *regexp.Regexp
	text   string
}{
	{regexp.MustCompile(`^\S{8,256}$`), "not long enough"},
	{regexp.MustCompile(`[A-Z]`), "must have uppercase characters"},
	{regexp.MustCompile(`[a-z]`), "must have lowercase characters"},
	{regexp.MustCompile(`[0-9]`), "must have numeric characters"},
	{regexp.MustCompile(`[[:punct:]]`), "must have symbol characters"},
}

// sendCode makes a code that confirms the user, and tells to where Cognito would have sent it.
func (m *member) sendCode() any {
	n, _ := rand.Int(rand.Reader, big.NewInt(1_000_000)) // never fails
	m.message, m.sent = fmt.Sprintf("%06d", n), time.Now()
	return map[string]string{"AttributeName": "email", "DeliveryMedium": "EMAIL", "Destination": "***@***"}
}

func (p *Pool) confirmSignUp(r *request) (any, error) {
	m := r.member
	switch {
	case m.subject == "" || m.status == "UNCONFIRMED" && time.Since(m.sent) > 24*time.Hour:
		return nil, refusal{"ExpiredCodeException", "Invalid code provided, please request a code again."}
	case m.status != "UNCONFIRMED":
		return nil, refusal{"NotAuthorizedException", "User cannot be confirmed. Current status is " + m.status}
	case subtle.ConstantTimeCompare([]byte(m.message), []byte(r.ConfirmationCode)) != 1:
		return nil, refusal{"CodeMismatchException", "Invalid verification code provided, please try again."}
	}
	m.status, m.message = "CONFIRMED", ""
	if m.attributes["email"] != "" {
		m.attributes["email_verified"] = "true"
	}
	return struct{}{}, nil
}

// resendCode makes another code. Cognito does not tell who exists, but who is confirmed.
func (p *Pool) resendCode(r *request) (any, error) {
	if r.member.subject != "" && r.member.status != "UNCONFIRMED" {
		return nil, invalid("User is already confirmed.")
	}
	return map[string]any{"CodeDeliveryDetails": r.member.sendCode()}, nil
}

// adminAddUserToGroup adds a user to a group. Unlike in Cognito, a group exists as soon as it has a user.
func (p *Pool) adminAddUserToGroup(r *request) (any, error) {
	switch {
	case r.member.subject == "":
		return nil, refusal{"UserNotFoundException", "User does not exist."}
	case slices.Contains(r.member.groups, r.GroupName):
	case len(r.member.groups) >= 100: // AWS's quota
		return nil, errLimit
	default:
		r.member.groups = append(r.member.groups, r.GroupName)
	}
	return struct{}{}, nil
}
