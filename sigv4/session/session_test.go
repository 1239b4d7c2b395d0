package session_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
)

const permanent, permanentSecret = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

func sealing(n byte) sigv4.Secret { return sigv4.Secret(bytes.Repeat([]byte{n}, 32)) }

func newKeys(t *testing.T, c session.Config) *session.Keys {
	t.Helper()
	if c.SealingKeys == nil {
		c.SealingKeys = []sigv4.Secret{sealing(1)}
	}
	k, err := session.New(c)
	require.NoError(t, err)
	return k
}

// julian is a session with a value in every field that Issue takes.
func julian() session.Session {
	return session.Session{
		Principal:      "arn:aws:sts::123456789012:assumed-role/Points/julian",
		Role:           "arn:aws:iam::123456789012:role/Points",
		SourceIdentity: "julian@example.com",
		Tags:           map[string]string{"team": "loyalty", "stage": "Prod", "empty": ""},
		Policy:         `{"Version":"2012-10-17","Statement":[]}`,
		Expires:        time.Now().Add(time.Hour),
	}
}

func issue(t *testing.T, k *session.Keys, s session.Session) sigv4.Credentials {
	t.Helper()
	c, err := k.Issue(s)
	require.NoError(t, err)
	return c
}

// signed returns a request that is signed with the credentials.
func signed(t *testing.T, c sigv4.Credentials) *http.Request {
	t.Helper()
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) { return c, nil }, Region: "eu-west-1",
	})
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, "/Prod/loyalty/1", nil)
	require.NoError(t, signer.Sign(r))
	return r
}

func verify(t *testing.T, k *session.Keys, r *http.Request) (sigv4.Identity, error) {
	t.Helper()
	v, err := sigv4.NewVerifier(sigv4.VerifierConfig{Keys: k.Key, Regions: []string{"eu-west-1"}})
	require.NoError(t, err)
	return v.Verify(r)
}

// What was issued is what a handler finds, on every node with the sealing key.
func TestSessionTravelsWithTheRequest(t *testing.T) {
	want := julian()
	c := issue(t, newKeys(t, session.Config{}), want)
	require.Regexp(t, "^ASIA[A-Z2-7]{16}$", c.AccessKeyID)
	require.Len(t, string(c.Secret), 40)
	require.Less(t, len(c.SessionToken), 600)
	other := newKeys(t, session.Config{})
	for range 2 { // not remembered, and remembered
		id, err := verify(t, other, signed(t, c))
		require.NoError(t, err)
		require.Equal(t, want.Principal, id.Principal)
		require.Equal(t, c.AccessKeyID, id.AccessKeyID)
		got, found := session.FromContext(sigv4.NewContext(t.Context(), id))
		require.True(t, found)
		require.WithinDuration(t, time.Now(), got.Issued, 2*time.Second)
		want.AccessKeyID, want.Issued, want.Expires = c.AccessKeyID, got.Issued, want.Expires.UTC().Truncate(time.Second)
		require.Equal(t, want, *got)
	}
}

func TestEmptyFieldsTravelAsEmpty(t *testing.T) {
	k := newKeys(t, session.Config{})
	c := issue(t, k, session.Session{Principal: "p", Expires: time.Now().Add(time.Hour)})
	id, err := verify(t, k, signed(t, c))
	require.NoError(t, err)
	s := id.Session.(*session.Session)
	require.Equal(t, session.Session{AccessKeyID: c.AccessKeyID, Principal: "p", Issued: s.Issued, Expires: s.Expires}, *s)
}

// A permanent key is the base's, with or without a base.
func TestOtherKeysAreTheBases(t *testing.T) {
	base := sigv4.Keyring{
		permanent:  {Secret: permanentSecret, Principal: "julian"},
		"ASIAELSE": {Secret: permanentSecret, SessionToken: "IQoJ", Principal: "else"},
	}
	k := newKeys(t, session.Config{Base: base.Key})
	for _, c := range []sigv4.Credentials{
		{AccessKeyID: permanent, Secret: permanentSecret},
		{AccessKeyID: "ASIAELSE", Secret: permanentSecret, SessionToken: "IQoJ"},
	} {
		id, err := verify(t, k, signed(t, c))
		require.NoError(t, err)
		require.Nil(t, id.Session)
		_, found := session.FromContext(sigv4.NewContext(t.Context(), id))
		require.False(t, found)
		_, err = verify(t, newKeys(t, session.Config{}), signed(t, c))
		require.ErrorIs(t, err, sigv4.ErrUnknownKey)
	}
}

// Every sealing key opens, and the first one seals. A removed one ends its sessions.
func TestSealingKeysRotate(t *testing.T) {
	old := newKeys(t, session.Config{SealingKeys: []sigv4.Secret{sealing(1)}})
	both := newKeys(t, session.Config{SealingKeys: []sigv4.Secret{sealing(2), sealing(1)}})
	renewed := newKeys(t, session.Config{SealingKeys: []sigv4.Secret{sealing(2)}})
	before, after := issue(t, old, julian()), issue(t, both, julian())
	for _, tt := range []struct {
		name string
		keys *session.Keys
		c    sigv4.Credentials
		want error
	}{
		{"old token, both keys", both, before, nil},
		{"new token, both keys", both, after, nil},
		{"new token, new key", renewed, after, nil},
		{"old token, new key", renewed, before, sigv4.ErrUnknownKey},
		{"new token, old key", old, after, sigv4.ErrUnknownKey},
	} {
		_, err := verify(t, tt.keys, signed(t, tt.c))
		require.ErrorIs(t, err, tt.want, tt.name)
	}
}

// Nothing but the very token that was issued, with its access key id and secret, passes.
func TestForgedTokensAreRefused(t *testing.T) {
	k := newKeys(t, session.Config{Base: sigv4.Keyring{permanent: {Secret: permanentSecret}}.Key})
	mine, yours := issue(t, k, julian()), issue(t, k, julian())
	foreign := issue(t, newKeys(t, session.Config{SealingKeys: []sigv4.Secret{sealing(9)}}), julian())
	for range 2 { // unknown, and remembered since the end of the first round
		for name, edit := range map[string]func(*sigv4.Credentials){
			"no token":                     func(c *sigv4.Credentials) { c.SessionToken = "" },
			"another session's token":      func(c *sigv4.Credentials) { c.SessionToken = yours.SessionToken },
			"another session's secret":     func(c *sigv4.Credentials) { c.Secret = yours.Secret },
			"another session's id":         func(c *sigv4.Credentials) { c.AccessKeyID = yours.AccessKeyID },
			"another service's token":      func(c *sigv4.Credentials) { *c = foreign },
			"a permanent key with a token": func(c *sigv4.Credentials) { c.AccessKeyID, c.Secret = permanent, permanentSecret },
			"the prefix alone":             func(c *sigv4.Credentials) { c.SessionToken = "TGs1." },
			"a byte more":                  func(c *sigv4.Credentials) { c.SessionToken += "A" },
			"a byte less":                  func(c *sigv4.Credentials) { c.SessionToken = c.SessionToken[:len(c.SessionToken)-1] },
			"padding":                      func(c *sigv4.Credentials) { c.SessionToken += "=" },
			"another version":              func(c *sigv4.Credentials) { c.SessionToken = "TGs2." + c.SessionToken[5:] },
			"5 000 bytes":                  func(c *sigv4.Credentials) { c.SessionToken = sigv4.Secret("TGs1." + strings.Repeat("A", 5000)) },
		} {
			c := mine
			edit(&c)
			_, err := verify(t, k, signed(t, c))
			require.Error(t, err, name)
			require.True(t, errors.Is(err, sigv4.ErrUnknownKey) || errors.Is(err, sigv4.ErrSignatureMismatch), "%s: %v", name, err)
			require.Equal(t, http.StatusForbidden, err.(interface{ StatusCode() int }).StatusCode(), name)
		}
		_, err := verify(t, k, signed(t, mine))
		require.NoError(t, err)
		_, err = verify(t, k, signed(t, yours))
		require.NoError(t, err)
	}
}

// A change of any byte of a token makes it invalid.
func TestEachByteOfATokenCounts(t *testing.T) {
	k := newKeys(t, session.Config{})
	c := issue(t, k, julian())
	for i := range c.SessionToken {
		for _, b := range []byte("A_\n") {
			changed := []byte(c.SessionToken)
			if changed[i] == b {
				continue
			}
			changed[i] = b
			_, err := k.Key(t.Context(), sigv4.Scope{AccessKeyID: c.AccessKeyID, SessionToken: sigv4.Secret(changed)})
			require.ErrorIs(t, err, sigv4.ErrUnknownKey, "byte %d", i)
		}
		longer := c.SessionToken[:i] + "\n" + c.SessionToken[i:]
		_, err := k.Key(t.Context(), sigv4.Scope{AccessKeyID: c.AccessKeyID, SessionToken: longer})
		require.ErrorIs(t, err, sigv4.ErrUnknownKey, "a line end at %d", i)
	}
}

func TestSessionExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeys(t, session.Config{})
		c := issue(t, k, julian())
		time.Sleep(time.Hour - time.Second)
		_, err := verify(t, k, signed(t, c))
		require.NoError(t, err)
		time.Sleep(time.Second)
		for _, keys := range []*session.Keys{k, newKeys(t, session.Config{})} {
			_, err = verify(t, keys, signed(t, c))
			require.ErrorIs(t, err, sigv4.ErrSessionToken)
			require.Equal(t, "ExpiredTokenException", err.(interface{ ErrorCode() string }).ErrorCode())
		}
	})
}

func TestRevokedSessionIsRefused(t *testing.T) {
	var revoked bool
	var failure error
	k := newKeys(t, session.Config{Revoked: func(_ context.Context, s *session.Session) (bool, error) {
		require.Equal(t, julian().Principal, s.Principal)
		return revoked, failure
	}})
	c := issue(t, k, julian())
	_, err := verify(t, k, signed(t, c))
	require.NoError(t, err)
	revoked = true
	_, err = verify(t, k, signed(t, c))
	require.ErrorIs(t, err, sigv4.ErrUnknownKey)
	failure = errors.New("the list cannot be read")
	_, err = verify(t, k, signed(t, c))
	require.ErrorIs(t, err, sigv4.ErrUnavailable)
	require.ErrorIs(t, err, failure)
}

func TestIssueRefusesAllMistakesAtOnce(t *testing.T) {
	k := newKeys(t, session.Config{})
	tags := make(map[string]string)
	for i := range 51 {
		tags[strings.Repeat("n", i+1)] = ""
	}
	for name, tt := range map[string]struct {
		edit func(*session.Session)
		want []string
	}{
		"zero":       {func(s *session.Session) { *s = session.Session{} }, []string{"Principal", "Expires is not in the future"}},
		"now":        {func(s *session.Session) { s.Expires = time.Now() }, []string{"Expires is not in the future"}},
		"37 hours":   {func(s *session.Session) { s.Expires = time.Now().Add(37 * time.Hour) }, []string{"36h"}},
		"51 tags":    {func(s *session.Session) { s.Tags = tags }, []string{"51 pairs"}},
		"empty name": {func(s *session.Session) { s.Tags = map[string]string{"": "v"} }, []string{"Tags"}},
		"two cases":  {func(s *session.Session) { s.Tags = map[string]string{"Team": "a", "team": "b"} }, []string{`"team" stands there in two spellings`}},
		"long value": {func(s *session.Session) { s.Tags = map[string]string{"n": strings.Repeat("é", 257)} }, []string{"Tags"}},
		"4 KiB":      {func(s *session.Session) { s.Policy = strings.Repeat("p", 3000) }, []string{"at most 4096"}},
	} {
		s := julian()
		tt.edit(&s)
		c, err := k.Issue(s)
		require.ErrorIs(t, err, session.ErrInvalid, name)
		require.Zero(t, c, name)
		for _, text := range tt.want {
			require.ErrorContains(t, err, text, name)
		}
	}
	s := julian()
	s.Policy = strings.Repeat("p", 2048) // the longest that AssumeRole takes
	_, err := verify(t, k, signed(t, issue(t, k, s)))
	require.NoError(t, err)
}

func TestNewReportsAllMistakesAtOnce(t *testing.T) {
	_, err := session.New(session.Config{SealingKeys: []sigv4.Secret{"short", sealing(1), sealing(1)}, CacheSize: -1})
	require.ErrorIs(t, err, session.ErrNotConfigured)
	for _, text := range []string{"SealingKeys[0] has 5 bytes", "SealingKeys[2] stands there twice", "CacheSize is -1"} {
		require.ErrorContains(t, err, text)
	}
	require.NotContains(t, err.Error(), "short")
	_, err = session.New(session.Config{})
	require.ErrorContains(t, err, "SealingKeys is required")
}

func TestZeroKeysRefuse(t *testing.T) {
	for _, k := range []*session.Keys{nil, {}} {
		_, err := k.Key(t.Context(), sigv4.Scope{AccessKeyID: permanent})
		require.ErrorIs(t, err, session.ErrNotConfigured)
		_, err = k.Issue(julian())
		require.ErrorIs(t, err, session.ErrNotConfigured)
	}
}
