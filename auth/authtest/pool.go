package authtest

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

// The bounds of a pool's memory. A user has little more than what was in the two requests that can set attributes.
const (
	maxUsers   = 10_000
	maxSignIns = 100_000
	maxBody    = 1 << 15 // of a request
)

// Pool is a small Cognito user pool for tests and demonstrations. It must not be used in production: its users are lost
// when the program ends, nothing limits how often a password or a code is tried, and any caller can act as its
// administrator, because it does not verify signatures. It speaks the wire format of Cognito's API, so AWS's SDKs,
// aws-cli and amazon-cognito-identity-js work with it. The package documentation lists what it can do.
//
// A Pool keeps everything in memory, at most 10 000 users. Of a password it keeps only the verifier of SRP. It serves one
// request at a time, so it is safe for concurrent use. The zero value refuses every request.
type Pool struct {
	issuer   *Issuer
	id, name string // eu-west-1_aQYCzHwCz and aQYCzHwCz
	clients  map[string]string
	aead     cipher.AEAD
	decoy    string // a secret of which the salts of users that do not exist are made

	mu      sync.Mutex
	users   map[string]*member
	signIns map[string]signIn // those that have not ended
}

var poolID = regexp.MustCompile(`^[a-z0-9-]+_([0-9a-zA-Z]+)$`)

// NewPool returns a pool without users, whose tokens are signed by issuer. The last part of the issuer's URL must be the
// pool's id, as in https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz. clients has the id of each app client
// and its secret, which is empty for a client without one. Every client may use every flow.
func NewPool(issuer *Issuer, clients map[string]string) (*Pool, error) {
	var mistakes []error
	if len(clients) == 0 {
		mistakes = append(mistakes, errors.New("authtest: the pool has no app client"))
	}
	var id []string
	if issuer == nil {
		mistakes = append(mistakes, errors.New("authtest: the pool has no issuer"))
	} else if id = poolID.FindStringSubmatch(path.Base(issuer.URL())); id == nil {
		mistakes = append(mistakes, fmt.Errorf("authtest: %q does not end in the id of a user pool", issuer.URL()))
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	key := sha256.Sum256([]byte(rand.Text()))
	block, _ := aes.NewCipher(key[:])              // a key of this length never fails,
	aead, _ := cipher.NewGCMWithRandomNonce(block) // nor does AES
	return &Pool{
		issuer: issuer, id: id[0], name: id[1], clients: maps.Clone(clients), aead: aead, decoy: rand.Text(),
		users: make(map[string]*member), signIns: make(map[string]signIn),
	}, nil
}

// Code returns what Cognito would have sent to the user by e-mail: the code that confirms the sign-up, or the temporary
// password that the administrator has given. It is empty after it was used, and if there is no such user.
func (p *Pool) Code(username string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.users[username]; m != nil {
		return m.message
	}
	return ""
}

// operation is an operation of the API, with the members that a request for it must have.
type operation struct {
	needs string
	run   func(*Pool, *request) (any, error)
}

var operations = map[string]operation{
	"SignUp":                    {"ClientId Username Password", (*Pool).signUp},
	"ConfirmSignUp":             {"ClientId Username ConfirmationCode", (*Pool).confirmSignUp},
	"ResendConfirmationCode":    {"ClientId Username", (*Pool).resendCode},
	"InitiateAuth":              {"ClientId AuthFlow", (*Pool).flow},
	"RespondToAuthChallenge":    {"ClientId ChallengeName Username", (*Pool).flow},
	"GetTokensFromRefreshToken": {"ClientId RefreshToken", (*Pool).refresh},
	"RevokeToken":               {"ClientId Token", (*Pool).revokeToken},
	"GetUser":                   {"AccessToken", (*Pool).getUser},
	"GlobalSignOut":             {"AccessToken", (*Pool).globalSignOut},
	"AdminCreateUser":           {"UserPoolId Username", (*Pool).adminCreateUser},
	"AdminAddUserToGroup":       {"UserPoolId Username GroupName", (*Pool).adminAddUserToGroup},
}

// request has the members that any operation reads, under AWS's names:
// https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_Operations.html
type request struct {
	ClientId, UserPoolId, Username, Password, GroupName, ConfirmationCode, AuthFlow, ChallengeName string
	AccessToken, RefreshToken, Token, Session, TemporaryPassword, MessageAction                    string
	SecretHash, ClientSecret                                                                       string
	AuthParameters, ChallengeResponses                                                             map[string]string
	UserAttributes                                                                                 []attribute

	member *member // whom the request is about; see find
	ticket ticket  // of the refresh token
}

type attribute struct{ Name, Value string }

// refusal is an error of Cognito's API.
type refusal struct {
	Type    string `json:"__type"`
	Message string `json:"message,omitempty"`
}

func (r refusal) Error() string { return r.Type + ": " + r.Message }

var errLimit = refusal{"LimitExceededException", "A pool of package authtest holds no more."}

// ServeHTTP answers the operations of the pool's API by POST at any path, and anything else as [Issuer.ServeHTTP] does.
// So the pool serves its own key set.
func (p *Pool) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.issuer != nil && r.Method != http.MethodPost {
		p.issuer.ServeHTTP(w, r)
		return
	}
	answer, err := p.serve(r)
	status := http.StatusOK
	if err != nil {
		refused, ok := errors.AsType[refusal](err)
		if status = http.StatusBadRequest; !ok { // an error of the issuer
			status, refused = http.StatusInternalServerError, refusal{Type: "InternalErrorException"}
		}
		w.Header().Set("x-amzn-ErrorType", refused.Type+":")
		answer = refused
	}
	text, _ := json.Marshal(answer) // what the operations return always encodes
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("x-amzn-RequestId", uuid(rand.Text()))
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// serve reads a request and carries it out. One without a signature cannot be the administrator's.
func (p *Pool) serve(r *http.Request) (any, error) {
	name, _ := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "AWSCognitoIdentityProviderService.")
	op, ok := operations[name]
	isSigned := strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	switch {
	case p.issuer == nil:
		return nil, errors.New("authtest: the pool was not made by NewPool")
	case !ok:
		return nil, refusal{Type: "UnknownOperationException"}
	case strings.HasPrefix(name, "Admin") && !isSigned:
		return nil, refusal{"MissingAuthenticationTokenException", "Missing Authentication Token"}
	}
	q := new(request)
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil || json.Unmarshal(body, q) != nil {
		return nil, refusal{Type: "SerializationException"}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.read(q, strings.Fields(op.needs)); err != nil {
		return nil, err
	}
	return op.run(p, q)
}

// read checks the members of a request, and finds whom it is about. Some operations have the user's name and the refresh
// token in a map.
func (p *Pool) read(r *request, needs []string) (err error) {
	r.Username = cmp.Or(r.Username, r.AuthParameters["USERNAME"], r.ChallengeResponses["USERNAME"])
	r.SecretHash = cmp.Or(r.SecretHash, r.AuthParameters["SECRET_HASH"], r.ChallengeResponses["SECRET_HASH"])
	r.Token = cmp.Or(r.Token, r.RefreshToken, r.AuthParameters["REFRESH_TOKEN"])
	for _, name := range needs {
		if err := fits(name, reflect.ValueOf(*r).FieldByName(name).String()); err != nil {
			return err
		}
	}
	r.ticket = p.open(base64.RawURLEncoding.DecodeString(r.Token))
	r.member = p.find(cmp.Or(r.Username, r.ticket.User))
	switch needs[0] {
	case "ClientId":
		return p.client(r)
	case "AccessToken":
		r.member, err = p.bearer(r.AccessToken)
		return err
	}
	if r.UserPoolId != p.id {
		return refusal{"ResourceNotFoundException", "User pool " + r.UserPoolId + " does not exist."}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return refusal{"InvalidParameterException", fmt.Sprintf(format, args...)}
}

// nameForm is the pattern of UsernameType and GroupNameType: no spaces and no control characters.
const nameForm = `[\p{L}\p{M}\p{S}\p{N}\p{P}]+`

var isName = regexp.MustCompile("^" + nameForm + "$").MatchString

// fits checks a member by the constraints of AWS's API model: UsernameType and others.
func fits(name, value string) error {
	name = strings.ToLower(name[:1]) + name[1:]
	const form = "1 validation error detected: Value %sat '%s' failed to satisfy constraint: Member must %s"
	switch {
	case value == "":
		return invalid(form, "null ", name, "not be null")
	case utf8.RuneCountInString(value) > 128 && name != "password" && !strings.HasSuffix(name, "oken"):
		return invalid(form, "", name, "have length less than or equal to 128")
	case (name == "username" || name == "groupName") && !isName(value):
		return invalid(form, "", name, "satisfy regular expression pattern: "+nameForm)
	}
	return nil
}

// client checks the app client and its secret. Most operations do not send the secret but a hash for each user name:
// https://docs.aws.amazon.com/cognito/latest/developerguide/signing-up-users-in-your-app.html#cognito-user-pools-computing-secret-hash
func (p *Pool) client(r *request) error {
	secret, ok := p.clients[r.ClientId]
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(r.member.name + r.ClientId))
	want := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	switch {
	case !ok:
		return refusal{"ResourceNotFoundException", "User pool client " + r.ClientId + " does not exist."}
	case secret == "", hmac.Equal([]byte(r.ClientSecret), []byte(secret)), hmac.Equal([]byte(r.SecretHash), []byte(want)):
		return nil
	case r.SecretHash == "":
		text := "Client " + r.ClientId + " is configured with secret but SECRET_HASH was not received"
		return refusal{"NotAuthorizedException", text}
	}
	return refusal{"NotAuthorizedException", "Unable to verify secret hash for client " + r.ClientId}
}
