package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tallygate/tallygate/sigv4"
)

// ErrInvalid is wrapped by every error about a [Session] that is to be issued.
var ErrInvalid = errors.New("session: invalid session")

// A Session is what temporary credentials stand for. The session token has all of it, encrypted.
//
// The verifier hands out one *Session to all requests of the same credentials. It must not be modified.
type Session struct {
	// AccessKeyID is that of the credentials. It is set by [Keys.Issue].
	AccessKeyID string

	// Principal names the holder, and becomes [sigv4.Identity].Principal. It is required. AWS's form for an assumed role
	// is "arn:aws:sts::123456789012:assumed-role/ROLE/SESSION". Limits count by it, so two callers must not have the
	// same one.
	Principal string

	// Role is what was assumed, such as "arn:aws:iam::123456789012:role/Points". It may be empty.
	Role string

	// SourceIdentity names the person or the program behind the principal. It stays the same through a chain of roles
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_monitor.html). It may be
	// empty.
	SourceIdentity string

	// Tags are the session tags, at most 50 pairs. A name has 1 to 128 characters, a value at most 256. No two names
	// differ in letter case only, because policies compare them without regard to case
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html).
	Tags map[string]string

	// Policy is the session policy, as JSON. It narrows what the role may do, but only where the application hands it to
	// package policy, in the field Session of its Set: nothing reads it by itself. It may be empty.
	Policy string

	// Issued is when the session was issued, in whole seconds. It is set by [Keys.Issue]. Policies know it as
	// aws:TokenIssueTime.
	Issued time.Time

	// Expires is when the credentials expire. It is required, and at most 36 hours away: the longest that AWS grants
	// (https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html). It is cut to whole seconds.
	Expires time.Time
}

// The bounds of a session. The fields of [Session] name their sources.
const (
	longest  = 36 * time.Hour
	maxTags  = 50  // pairs
	maxName  = 128 // characters of a tag's name
	maxValue = 256 // characters of its value
)

// FromContext returns the session of a verified request. It reports false if the request was not verified, or was
// signed with other credentials than those of a [Keys].
func FromContext(ctx context.Context) (*Session, bool) {
	id, _ := sigv4.FromContext(ctx)
	s, ok := id.Session.(*Session)
	return s, ok
}

// validate returns every mistake of a session that is issued now. It does not read Policy: package session knows
// nothing of policies. Whether the token would be too long is known only when it is sealed.
func (s *Session) validate(now time.Time) error {
	var mistakes []error
	wrong := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...))
	}
	if s.Principal == "" {
		wrong("Principal is required")
	}
	switch {
	case !s.Expires.After(now):
		wrong("Expires is not in the future")
	case s.Expires.Sub(now) > longest:
		wrong("Expires is more than %v away", longest)
	}
	if len(s.Tags) > maxTags {
		wrong("Tags has %d pairs, at most %d are allowed", len(s.Tags), maxTags)
	}
	seen := make(map[string]bool, len(s.Tags))
	for name, value := range s.Tags {
		small := strings.ToLower(name)
		if seen[small] {
			wrong("Tags: %.64q stands there in two spellings", small)
		}
		seen[small] = true
		if n := utf8.RuneCountInString(name); n == 0 || n > maxName || utf8.RuneCountInString(value) > maxValue {
			wrong("Tags: the name %.64q is empty, or it or its value is too long", name)
		}
	}
	return errors.Join(mistakes...)
}
