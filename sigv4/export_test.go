package sigv4

import (
	"errors"
	"slices"
	"strconv"
)

// CanonicalQuery is the canonical form of a query as it was sent.
func CanonicalQuery(raw string) (string, bool) {
	var q query
	if _, ok := q.parse(raw); !ok {
		return "", false
	}
	return string(q.appendCanonical(nil)), true
}

// CanonicalPath is the canonical form of a path as it was sent.
func CanonicalPath(path string, s3 bool) string {
	return string(appendPath(nil, path, s3))
}

var (
	NormalizePath = normalize
	IsCleanPath   = isClean
	ParseDate     = parseBasic
	FormatDate    = formatBasic
)

// CachedKeys returns how many signing keys the signer holds, and how many it can hold at most.
func (s *Signer) CachedKeys() (held, most int) { return s.keys.table.Load().held, maxKeys }

// CachedKeys returns how many signing keys the verifier holds.
func (v *Verifier) CachedKeys() int { return v.keys.table.Load().held }

// FoundByHash reports whether a table that holds one key finds it when another is asked for under its hash.
func FoundByHash(held *Key, date, scope string, asked *Key, askedDate, askedScope string) bool {
	const hash = 1<<63 | 1
	c := newKeyCache()
	c.add(hash, held, date, scope)
	return c.table.Load().find(hash, asked, askedDate, askedScope) != nil
}

// Answered returns the causes that have an answer of their own.
func Answered() (causes []error) {
	for _, a := range answers {
		causes = append(causes, a.cause)
	}
	return causes
}

// Statuses returns the different statuses that answer a cause and its variants, in order.
func Statuses(cause error) (statuses []string) {
	for _, a := range answers {
		if errors.Is(a.cause, cause) {
			statuses = append(statuses, strconv.Itoa(a.status))
		}
	}
	slices.Sort(statuses)
	return slices.Compact(statuses)
}

// S3CodesWithoutText returns S3's codes that have no text.
func S3CodesWithoutText() (missing []string) {
	for _, a := range answers {
		if s3Messages[a.s3Code] == "" {
			missing = append(missing, a.s3Code)
		}
	}
	return missing
}

var (
	Clip         = clip
	KnownAnswers = knownAnswers
)

// WithoutSteps calls f as if SHA-256 had a state of another layout.
func WithoutSteps(f func()) {
	stepwise = false
	defer func() { stepwise = true }()
	f()
}

// The private causes, which tests keep apart.
var (
	ErrTwoMechanisms          = errTwoMechanisms
	ErrAmbiguousHeader        = errAmbiguousHeader
	ErrAmbiguousQuery         = errAmbiguousQuery
	ErrMalformedTarget        = errMalformedTarget
	ErrUncleanPath            = errUncleanPath
	ErrMalformedAuthorization = errMalformedAuthorization
	ErrMissingParameter       = errMissingParameter
	ErrMalformedDate          = errMalformedDate
	ErrAlgorithm              = errAlgorithm
	ErrMalformedCredential    = errMalformedCredential
	ErrMalformedSignature     = errMalformedSignature
	ErrSignedHeaders          = errSignedHeaders
	ErrExpires                = errExpires
	ErrMalformedPayloadHash   = errMalformedPayloadHash
	ErrUnsignedHeader         = errUnsignedHeader
	ErrUnsignedPayload        = errUnsignedPayload
	ErrStreamingPayload       = errStreamingPayload
	ErrHeaderTooLarge         = errHeaderTooLarge
	ErrBodyTooLarge           = errBodyTooLarge
	ErrExpired                = errExpired
	ErrNotYetValid            = errNotYetValid
	ErrAbsentHeader           = errAbsentHeader
	ErrPayloadMismatch        = errPayloadMismatch
	ErrCredentialExpired      = errCredentialExpired
	ErrVersion2               = errVersion2
)

// CauseOfAnswer returns the cause in the row of answers that answers the error.
func CauseOfAnswer(e *Error) error { return e.answer().cause }
