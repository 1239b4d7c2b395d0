package sigv4

// CanonicalQuery is the canonical form of a query as it was sent.
func CanonicalQuery(raw string) (string, bool) {
	var q query
	if _, ok := q.parse(raw); !ok {
		return "", false
	}
	return string(q.appendCanonical(nil)), true
}

// CanonicalPath is the canonical form of a path as it was sent.
func CanonicalPath(path string, rules Rules) string { return string(appendPath(nil, path, rules)) }

var (
	NormalizePath = normalize
	IsCleanPath   = isClean
	ParseDate     = parseBasic
	FormatDate    = formatBasic
)

// CachedKeys returns how many signing keys the signer holds, and how many it can hold at most.
func (s *Signer) CachedKeys() (held, most int) { return s.keys.count(), 8 * maxSets }

// CachedKeys returns how many signing keys the verifier holds.
func (v *Verifier) CachedKeys() int { return v.keys.count() }

func (c *keyCache) count() (held int) {
	for i := range *c.table.Load() {
		for j := range (*c.table.Load())[i] {
			if (*c.table.Load())[i][j].Load() != nil {
				held++
			}
		}
	}
	return held
}

// Unanswered returns the causes without an answer of their own.
func Unanswered(causes ...error) (missing []error) {
	for _, cause := range causes {
		if (&Error{Err: cause}).answer().cause != cause {
			missing = append(missing, cause)
		}
	}
	return missing
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
