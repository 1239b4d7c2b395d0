package auth

import (
	"slices"
	"strings"
)

// claimSet is a token while it is verified, and afterwards what all copies of its [Token] share. It does not change any
// more once [Verifier.Verify] has returned the Token.
//
// It contains the Token too, so that a verified token is one allocation, and so that a request's context can carry a
// pointer to it. Nothing outside this package gets that pointer: a caller that changed a field through it would change
// the token of every other request.
type claimSet struct {
	Token
	payload string // the decoded claims set, in which most strings are

	clientID, authorized      string // client_id (of a load balancer: the header's client) and azp
	tokenUse, typ             string // the claims token_use and typ, which are marks of the token's use
	user, poolUser            string // username and cognito:username
	tenant                    string // tid
	scope                     string // separated by single spaces
	audience, groups, cognito []string
	audienceList              bool          // aud was written as an array
	oddSubject                bool          // sub is there, but is no string
	lookalikes                claimNames    // claims that occur in another letter case
	aws                       *AWSPrincipal // of AWSIdentity, else nil
}

// newClaimSet returns an empty claims set whose Token already refers to it, so that Claims works on a token that is
// still being verified; see principal.
func newClaimSet(payload string) *claimSet {
	t := &claimSet{payload: payload}
	t.shared = t
	return t
}

// refuse returns the refusal of a token whose signature is valid. The Error has its own copy of the Token, since its
// holder may change it.
func (t *claimSet) refuse(cause error) *Error {
	token := t.Token
	return &Error{Err: cause, Token: &token}
}

// refuseScope returns the refusal of a token that lacks a demanded scope.
func (t *claimSet) refuseScope(demanded []string) *Error {
	e := t.refuse(ErrScope)
	e.Scopes = slices.Clone(demanded)
	return e
}

// size is the memory of the token's strings and lists, in bytes. An element of a list takes 16. Most strings are part
// of the payload, whose buffer may be larger than it is. Strings with escapes are separate, and so are joined scopes.
func (t *claimSet) size() int {
	n := bufferSize(len(t.payload)) + len(t.ID) + len(t.scope) + 16*(len(t.audience)+len(t.groups)+len(t.cognito))
	if strings.IndexByte(t.payload, '\\') >= 0 {
		n += len(t.payload)
	}
	if t.aws != nil { // separate strings, and two maps
		n += len(t.payload) + 64*(len(t.aws.Tags)+len(t.aws.RequestTags)) + 256
	}
	return n
}

// derive sets the fields of the Token that depend on several claims. mark must have set Use before.
func (t *claimSet) derive() {
	switch {
	case t.clientID != "":
		t.Client = t.clientID
	case t.authorized != "":
		t.Client = t.authorized
	case t.Use == "id" && len(t.audience) == 1:
		t.Client = t.audience[0]
	}
	if t.Username = t.user; t.user == "" || t.Use == "id" && t.poolUser != "" {
		t.Username = t.poolUser
	}
}

// name sets the ID. [New] accepts no issuer with white space, so the first space or tab in an ID ends the issuer, and
// says whether a subject or a client follows. If sub is not a string it may still name a user. The token then gets no
// ID, since the ID of the client would be wrong.
func (t *claimSet) name(issuer string) {
	switch {
	case strings.ContainsAny(issuer, " \t"):
	case t.Subject != "":
		t.ID = issuer + " " + t.Subject
	case t.Use == "access" && t.clientID != "" && !t.oddSubject:
		t.ID = issuer + "\t" + t.clientID
	}
}

// hasScope is [Token.HasScope]. It splits the text each time, without an allocation: a list of scopes would have to be
// allocated for every token, and few routes look at it.
func (t *claimSet) hasScope(scope string) bool {
	for word := range strings.SplitSeq(t.scope, " ") {
		if word == scope && word != "" {
			return true
		}
	}
	return false
}

func (t *claimSet) inGroup(group string) bool { return slices.Contains(t.groups, group) }
