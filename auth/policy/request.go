package policy

import (
	"net/netip"
	"time"
)

// Request is what a policy decides about: who does what to which resource, and under which conditions. A field that is
// zero is a condition key that the request does not have, unless the field says otherwise. An evaluation only reads it.
type Request struct {
	// Action is what the caller wants to do. Empty means [Invoke].
	Action string

	// Resource is the ARN of the method, such as
	// "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/loyalty/1".
	Resource string

	// Principal is the ARN of the caller: of a user ("arn:aws:iam::123456789012:user/julian"), or of a session
	// ("arn:aws:sts::123456789012:assumed-role/clerk/julian"). Empty means that the caller is anonymous. It gives the
	// keys aws:PrincipalAccount, aws:PrincipalType and, for a user, aws:username.
	Principal string

	// SessionIssuer is the ARN of the role, or of the federated user, whose session the caller uses
	// ("arn:aws:iam::123456789012:role/clerk"). Empty means that the caller is no session, or that the role has no path.
	// The key aws:PrincipalArn is this ARN. If it is empty, the key is that of Principal, or of the role in Principal.
	SessionIssuer string

	// PrincipalTags are the tags of the caller, for the keys aws:PrincipalTag/…. Their names are compared without
	// regard to case, so no two may differ in case only.
	PrincipalTags map[string]string

	// SourceIP is the client's address, for aws:SourceIp. Do not decide about a request whose address could not be
	// parsed: NotIpAddress holds for an absent key.
	SourceIP netip.Addr

	// SourceVPCE is the id of the VPC endpoint that the request came through, for aws:SourceVpce.
	SourceVPCE string

	// Time is when the request came, for aws:CurrentTime and aws:EpochTime. Zero means now.
	Time time.Time

	// SecureTransport says whether the request came by TLS, for aws:SecureTransport, which every request has.
	SecureTransport bool

	// UserAgent is what the client calls itself, for aws:UserAgent.
	UserAgent string

	// Values are the values of all other keys: AWS's that have no field, such as aws:userid, and the application's
	// own. A value is a string, []string, float64, int, int64, [time.Time], bool, [netip.Addr] or []byte, as the type
	// of the key asks. Where it is of another type, nil, a zero netip.Addr or a zero time.Time, no statement with this
	// condition allows, and each that denies applies. So leave a key out if the request does not have it. The map may be
	// shared by many requests.
	Values map[string]any
}

// timed returns r, or a copy with the time of now if r has none: an explanation asks the evaluator many times, and all
// must see one time.
func (r *Request) timed() *Request {
	if !r.Time.IsZero() {
		return r
	}
	c := *r
	c.Time = time.Now()
	return &c
}

// long reports whether r may have a text for which an index by blocks pays.
func (r *Request) long() bool {
	return max(len(r.Resource), len(r.UserAgent), len(r.Principal), len(r.SessionIssuer)) > few ||
		len(r.Values) > 0 || len(r.PrincipalTags) > 0
}
