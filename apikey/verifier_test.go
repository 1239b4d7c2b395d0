package apikey_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
)

const other = "someOtherValueOfFortyCharacters012345678"

func newVerifier(t *testing.T, cfg apikey.Config) *apikey.Verifier {
	t.Helper()
	v, err := apikey.New(cfg)
	require.NoError(t, err)
	return v
}

func request(values ...string) *http.Request {
	r := httptest.NewRequest("GET", "/Prod/loyalty/1", nil)
	if values != nil {
		r.Header["X-Api-Key"] = values
	}
	return r
}

// entry returns a key of the given id whose value is made of it.
func entry(id string, edit func(*apikey.Key)) apikey.Entry {
	e := apikey.Entry{Key: apikey.Key{ID: id, Enabled: true}, Value: apikey.Secret(valueOf(id))}
	if edit != nil {
		edit(&e.Key)
	}
	return e
}

func valueOf(id string) string { return strings.Repeat(id, 4) }

func TestEachRefusalHasItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		v := newVerifier(t, apikey.Config{Prefix: "ak", Keys: []apikey.Entry{
			julian,
			entry("disabled00", func(k *apikey.Key) { k.Enabled = false }),
			entry("expired000", func(k *apikey.Key) { k.Expires = now }),
			entry("lasts00000", func(k *apikey.Key) { k.Expires = now.Add(1) }),
			entry("notyet0000", func(k *apikey.Key) { k.NotBefore = now.Add(1) }),
			entry("begins0000", func(k *apikey.Key) { k.NotBefore = now }),
			entry("epoch00000", func(k *apikey.Key) { k.Expires = time.Unix(0, 0) }),
			entry("old0000000", func(k *apikey.Key) { k.NotBefore = time.Unix(0, 0) }),
		}})
		for _, tt := range []struct {
			name   string
			values []string
			want   error
			id     string
		}{
			{"good", []string{value}, nil, "fr92a5qpbj"},
			{"good, twice the same", []string{value, value}, nil, "fr92a5qpbj"},
			{"no header", nil, apikey.ErrMissing, ""},
			{"empty", []string{""}, apikey.ErrMissing, ""},
			{"two values", []string{value, other}, apikey.ErrAmbiguous, ""},
			{"a value and an empty one", []string{value, ""}, apikey.ErrAmbiguous, ""},
			{"joined by a proxy", []string{value + ", " + value}, apikey.ErrUnknown, ""},
			{"19 characters", []string{value[:19]}, apikey.ErrMalformed, ""},
			{"129 characters", []string{strings.Repeat("a", 129)}, apikey.ErrMalformed, ""},
			{"128 characters", []string{strings.Repeat("a", 128)}, apikey.ErrUnknown, ""},
			{"other case", []string{strings.ToUpper(value)}, apikey.ErrUnknown, ""},
			{"blank after", []string{value + " "}, apikey.ErrUnknown, ""},
			{"id instead of value", []string{"fr92a5qpbjfr92a5qpbj"}, apikey.ErrUnknown, ""},
			{"unknown", []string{other}, apikey.ErrUnknown, ""},
			{"prefix without checksum", []string{"ak_0000000000000000000000000000000000000"}, apikey.ErrMalformed, ""},
			{"disabled", []string{valueOf("disabled00")}, apikey.ErrDisabled, "disabled00"},
			{"expired", []string{valueOf("expired000")}, apikey.ErrExpired, "expired000"},
			{"expires next", []string{valueOf("lasts00000")}, nil, "lasts00000"},
			{"not yet", []string{valueOf("notyet0000")}, apikey.ErrNotYetValid, "notyet0000"},
			{"from now", []string{valueOf("begins0000")}, nil, "begins0000"},
			{"expired at the epoch", []string{valueOf("epoch00000")}, apikey.ErrExpired, "epoch00000"},
			{"valid from the epoch", []string{valueOf("old0000000")}, nil, "old0000000"},
		} {
			got, err := v.Verify(request(tt.values...))
			if tt.want == nil {
				require.NoError(t, err, tt.name)
				require.Equal(t, tt.id, got.ID(), tt.name)
				continue
			}
			require.Empty(t, got.ID(), tt.name)
			e, ok := errors.AsType[*apikey.Error](err)
			require.True(t, ok, tt.name)
			require.ErrorIs(t, err, tt.want, tt.name)
			require.Equal(t, tt.id, e.KeyID, tt.name)
			require.Equal(t, http.StatusForbidden, e.StatusCode(), tt.name)
		}
	})
}

func TestRefusalsLookAlike(t *testing.T) {
	v := newVerifier(t, apikey.Config{Keys: []apikey.Entry{
		julian,
		entry("disabled00", func(k *apikey.Key) { k.Enabled = false }),
		entry("expired000", func(k *apikey.Key) { k.Expires = time.Now() }),
		entry("notyet0000", func(k *apikey.Key) { k.NotBefore = time.Now().Add(time.Hour) }),
	}})
	h := v.Handler(greet)
	for _, values := range [][]string{
		nil,
		{""},
		{other},
		{value, other},
		{"x"},
		{valueOf("disabled00")},
		{valueOf("expired000")},
		{valueOf("notyet0000")},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request(values...))
		require.Equal(t, http.StatusForbidden, w.Code)
		require.Equal(t, `{"message":"Forbidden"}`, w.Body.String())
		require.Regexp(t, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, w.Header().Get("X-Amzn-RequestId"))
		w.Header().Del("X-Amzn-RequestId")
		require.Equal(t, http.Header{
			"Content-Type":     {"application/json"},
			"X-Amzn-Errortype": {"ForbiddenException"},
		}, w.Header())
	}
}

func TestZeroVerifierRefuses(t *testing.T) {
	for name, v := range map[string]*apikey.Verifier{"zero": new(apikey.Verifier), "nil": nil} {
		t.Run(name, func(t *testing.T) {
			require.True(t, v.Present(request(value)))
			_, err := v.VerifyKey(t.Context(), value)
			require.ErrorIs(t, err, apikey.ErrNotConfigured)
			_, err = v.Verify(request(value))
			require.ErrorIs(t, err, apikey.ErrNotConfigured)
			_, err = v.Authenticate(request(value))
			require.ErrorIs(t, err, apikey.ErrNotConfigured)
			_, err = v.Create(t.Context(), apikey.Key{}, value)
			require.ErrorIs(t, err, apikey.ErrNotConfigured)
			_, err = v.Update(t.Context(), "fr92a5qpbj", nil)
			require.ErrorIs(t, err, apikey.ErrNotConfigured)
			_, err = v.Rotate(t.Context(), "fr92a5qpbj", value, 0)
			require.ErrorIs(t, err, apikey.ErrNotConfigured)
			require.ErrorIs(t, v.Delete(t.Context(), "fr92a5qpbj"), apikey.ErrNotConfigured)
			_, err = importFile(t.Context(), v, strings.NewReader("Name,Key"), apikey.ImportOptions{})
			require.ErrorIs(t, err, apikey.ErrNotConfigured)
			_, ok := v.Key("fr92a5qpbj")
			require.False(t, ok)
			for range v.Keys() {
				t.Error("a zero verifier has a key")
			}
			w := httptest.NewRecorder()
			v.Handler(greet).ServeHTTP(w, request(value))
			require.Equal(t, http.StatusInternalServerError, w.Code)
			require.Equal(t, `{"message":"Internal server error"}`, w.Body.String())
			require.Equal(t, "ApiConfigurationException", w.Header().Get("X-Amzn-ErrorType"))
		})
	}
}

func TestNewReportsEveryMistake(t *testing.T) {
	_, err := apikey.New(apikey.Config{
		Pepper: apikey.Secret("short"),
		Prefix: "AK",
		Keys: []apikey.Entry{
			{Key: apikey.Key{Name: "no id"}, Value: value},
			julian,
			julian,
			{Key: apikey.Key{ID: "fr92a5qpb1"}, Value: "short"},
			{Key: apikey.Key{ID: "fr92a5qpb2"}, Value: value},
		},
		Sealer:  &apikey.Sealer{},
		Journal: broken{},
	})
	require.EqualError(t, err, strings.Join([]string{
		"apikey: Pepper of 5 bytes, want 32 or more",
		"apikey: invalid: API key prefix must be 2 to 6 characters of [a-z0-9] and begin with a letter",
		"apikey: Sealer has no keys; make it with NewSealer",
		"apikey: the journal cannot be read: journal: no usable answer from the store: connection reset",
		"apikey: Keys[0]: invalid: a declared key needs an ID",
		"apikey: Keys[2]: API key exists already (key fr92a5qpbj)",
		"apikey: Keys[3]: invalid: API Key value should be at least 20 characters",
		"apikey: Keys[4]: API key exists already (key fr92a5qpbj)",
	}, "\n"))
}

func TestConfigIsCopied(t *testing.T) {
	tags := map[string]string{"team": "loyalty"}
	cfg := apikey.Config{
		Pepper: apikey.Secret(strings.Repeat("p", 32)),
		Keys:   []apikey.Entry{entry("fr92a5qpbj", func(k *apikey.Key) { k.Tags = tags })},
	}
	v := newVerifier(t, cfg)
	cfg.Keys[0].Key.Enabled, tags["team"] = false, "other"
	c, err := v.VerifyKey(t.Context(), valueOf("fr92a5qpbj"))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"team": "loyalty"}, c.Key().Tags)
}

func TestSourceReplacesTheHeader(t *testing.T) {
	type usageIdentifierKey struct{}
	v := newVerifier(t, apikey.Config{
		Keys: []apikey.Entry{julian},
		Source: func(r *http.Request) (string, bool) {
			s, ok := r.Context().Value(usageIdentifierKey{}).(string)
			if !ok {
				return value, false // what comes with false does not count
			}
			return s, ok
		},
	})
	r := request(value) // in the header, which is not read
	require.False(t, v.Present(r))
	_, err := v.Verify(r)
	require.ErrorIs(t, err, apikey.ErrMissing)

	r = request(other).WithContext(context.WithValue(t.Context(), usageIdentifierKey{}, value))
	require.True(t, v.Present(r))
	c, err := v.Verify(r)
	require.NoError(t, err)
	require.Equal(t, "fr92a5qpbj", c.ID())
}

func TestPresentIsTrueForBadKeysToo(t *testing.T) {
	v := newVerifier(t, apikey.Config{})
	require.False(t, v.Present(request()))
	require.True(t, v.Present(request(other)))
	require.True(t, v.Present(request("")), "a field without a value is there, and must verify")
}

func TestErrorHandlerAnswersWithHeadersSet(t *testing.T) {
	var got error
	v := newVerifier(t, apikey.Config{ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
		got = err
		w.WriteHeader(http.StatusTeapot)
	}})
	w := httptest.NewRecorder()
	v.Handler(greet).ServeHTTP(w, request(other))
	require.Equal(t, http.StatusTeapot, w.Code)
	require.ErrorIs(t, got, apikey.ErrUnknown)

	logged := httptest.NewRecorder()
	got.(http.Handler).ServeHTTP(logged, request(other))
	require.Equal(t, http.StatusForbidden, logged.Code)
}

// In a dry run, a refused request goes on with its body, without a proof, even an outer one, and no header is set.
func TestAllowDespitePassesWithoutProof(t *testing.T) {
	outer := newVerifier(t, apikey.Config{Keys: []apikey.Entry{julian}})
	var asked []error
	allow := true
	inner := newVerifier(t, apikey.Config{
		Keys:         []apikey.Entry{entry("disabled00", func(k *apikey.Key) { k.Enabled = false })},
		AllowDespite: func(_ *http.Request, err error) bool { asked = append(asked, err); return allow },
	})
	served := 0
	h := outer.Handler(inner.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served++
		_, proof := apikey.FromContext(r.Context())
		_, id := apikey.ID(r)
		_, customer := apikey.CustomerID(r)
		require.False(t, proof || id || customer)
		require.Empty(t, w.Header())
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.Equal(t, "body", string(body))
	})))
	send := func() int {
		r := httptest.NewRequest("POST", "/", strings.NewReader("body"))
		r.Header.Set("X-API-Key", value)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	require.Equal(t, http.StatusOK, send())
	require.Equal(t, 1, served)
	require.Len(t, asked, 1)
	require.ErrorIs(t, asked[0], apikey.ErrUnknown)

	_, err := inner.Authenticate(request(value))
	require.ErrorIs(t, err, apikey.ErrUnknown, "Authenticate still refuses")
	_, err = inner.Verify(request(value))
	require.ErrorIs(t, err, apikey.ErrUnknown)
	require.Len(t, asked, 1, "and does not ask")

	allow = false
	require.Equal(t, http.StatusForbidden, send())
	require.Equal(t, 1, served)

	w := httptest.NewRecorder()
	(&apikey.Verifier{}).Handler(greet).ServeHTTP(w, request(value))
	require.Equal(t, http.StatusInternalServerError, w.Code)
}

func TestAnonymousRemovesTheProof(t *testing.T) {
	v := newVerifier(t, apikey.Config{Keys: []apikey.Entry{julian}})
	r := request(value)
	require.Same(t, r, v.Anonymous(r))
	verified, err := v.Authenticate(r)
	require.NoError(t, err)
	_, found := apikey.ID(v.Anonymous(verified))
	require.False(t, found)
	_, found = apikey.ID(verified)
	require.True(t, found)
}

// Outer layers see the pattern that an inner mux has matched.
func TestPatternOfInnerMuxIsCopiedBack(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("GET /Prod/loyalty/{customerId}", greet)
	for name, cfg := range map[string]apikey.Config{
		"verified":     {Keys: []apikey.Entry{julian}},
		"despite all":  {AllowDespite: func(*http.Request, error) bool { return true }},
		"over a proof": {AllowDespite: func(*http.Request, error) bool { return true }},
	} {
		r := request(value)
		if name == "over a proof" {
			client, err := apikey.NewClient(julian.Key)
			require.NoError(t, err)
			r = r.WithContext(apikey.NewContext(r.Context(), client))
		}
		newVerifier(t, cfg).Handler(mux).ServeHTTP(httptest.NewRecorder(), r)
		require.Equal(t, "GET /Prod/loyalty/{customerId}", r.Pattern, name)
	}
}

func TestCustomerIDIsFalseWithoutCustomer(t *testing.T) {
	v := newVerifier(t, apikey.Config{Keys: []apikey.Entry{
		julian,
		entry("customer00", func(k *apikey.Key) { k.CustomerID = "acme" }),
		entry("tagged0000", func(k *apikey.Key) { k.Tags = map[string]string{"a": "b"} }),
	}})
	for value, want := range map[string]string{value: "", valueOf("customer00"): "acme", valueOf("tagged0000"): ""} {
		r, err := v.Authenticate(request(value))
		require.NoError(t, err)
		got, found := apikey.CustomerID(r)
		require.Equal(t, want, got)
		require.Equal(t, want != "", found)
	}
	_, found := apikey.CustomerID(request())
	require.False(t, found)
}

func TestContextCarriesTheClient(t *testing.T) {
	v := newVerifier(t, apikey.Config{Keys: []apikey.Entry{julian}})
	r, err := v.Authenticate(request(value))
	require.NoError(t, err)
	id, ok := apikey.ID(r)
	require.True(t, ok)
	require.Equal(t, "fr92a5qpbj", id)
	c, ok := apikey.FromContext(r.Context())
	require.True(t, ok)
	require.Equal(t, "julianwood", c.Key().Name)
	require.Equal(t, "fr92a5qpbj", c.ID())

	want := apikey.Key{
		ID: "abcdefghij", Name: "n", Description: "d", CustomerID: "c", Tags: map[string]string{"a": "b"},
		Created: time.Unix(1, 0).UTC(), Updated: time.Unix(2, 0).UTC(), NotBefore: time.Unix(3, 0).UTC(), Expires: time.Unix(4, 0).UTC(), LastUsed: time.Unix(5, 0).UTC(),
	}
	made, err := apikey.NewClient(want)
	require.NoError(t, err)
	require.Equal(t, want, made.Key())
	for _, client := range []apikey.Client{c, made} {
		back, ok := apikey.FromContext(apikey.NewContext(t.Context(), client))
		require.True(t, ok)
		require.Equal(t, client, back, "NewContext and FromContext are inverse")
	}
	_, err = apikey.NewClient(apikey.Key{})
	require.ErrorIs(t, err, apikey.ErrInvalid)

	for name, ctx := range map[string]context.Context{
		"empty":            t.Context(),
		"zero":             apikey.NewContext(t.Context(), apikey.Client{}),
		"zero over a good": apikey.NewContext(r.Context(), apikey.Client{}),
	} {
		c, ok := apikey.FromContext(ctx)
		require.False(t, ok, name)
		require.Zero(t, c.Key(), name)
		_, ok = apikey.ID(request().WithContext(ctx))
		require.False(t, ok, name)
	}
}

func TestLastUsedIsTheLastAcceptance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, apikey.Config{Keys: []apikey.Entry{julian, entry("disabled00", func(k *apikey.Key) { k.Enabled = false })}})
		c, err := v.VerifyKey(t.Context(), value)
		require.NoError(t, err)
		first := time.Now()
		require.Equal(t, first.Truncate(time.Second).UTC(), c.Key().LastUsed)

		time.Sleep(90 * time.Second)
		_, err = v.Rotate(t.Context(), "fr92a5qpbj", other, time.Hour)
		require.NoError(t, err)
		k, _ := v.Key("fr92a5qpbj")
		require.Equal(t, first.Truncate(time.Second).UTC(), k.LastUsed, "a change is no use")
		_, err = v.VerifyKey(t.Context(), value)
		require.NoError(t, err)
		k, _ = v.Key("fr92a5qpbj")
		require.Equal(t, time.Now().Truncate(time.Second).UTC(), k.LastUsed, "the earlier value counts for the same key")
		require.Equal(t, k.LastUsed, c.Key().LastUsed, "and for those who verified before")

		_, err = v.VerifyKey(t.Context(), valueOf("disabled00"))
		require.ErrorIs(t, err, apikey.ErrDisabled)
		k, _ = v.Key("disabled00")
		require.Zero(t, k.LastUsed)
	})
}

// A secret is printed and encoded as REDACTED, alone and inside of what contains it.
func TestSecretsAreMasked(t *testing.T) {
	secret := apikey.Secret(strings.Repeat("secret", 6))
	cfg := apikey.Config{Pepper: secret, Keys: []apikey.Entry{{Key: julian.Key, Value: secret}}}
	entry := cfg.Keys[0]
	written := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%08.3s"} {
		written[verb] = fmt.Sprintf(verb, secret)
		require.Equal(t, "REDACTED", written[verb], verb)
		written[verb+" of a pointer"] = fmt.Sprintf(verb, &secret)
		written[verb+" of what contains it"] = fmt.Sprintf(verb+verb+verb, cfg, &cfg, entry)
	}
	var text, object bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&object, nil)} {
		slog.New(h).Info("message", "secret", secret, "entry", entry, "config", cfg)
	}
	written["slog as text"], written["slog as JSON"] = text.String(), object.String()
	inJSON, err := json.Marshal(map[string]any{"secret": secret, "entry": entry})
	require.NoError(t, err)
	inXML, err := xml.Marshal(secret)
	require.NoError(t, err)
	var inGob bytes.Buffer
	require.NoError(t, gob.NewEncoder(&inGob).Encode(struct {
		Secret apikey.Secret
		Entry  apikey.Entry
	}{secret, entry}))
	written["JSON"], written["XML"], written["gob"] = string(inJSON), string(inXML), inGob.String()
	for how, s := range written {
		for _, shown := range []string{"secretsec", "115 101 99 114", "7365637265", "7365637265747365"} {
			require.NotContains(t, strings.ToLower(s), shown, how)
		}
		require.NotContains(t, s, base64.StdEncoding.EncodeToString([]byte("secretsecret")), how)
	}
}
