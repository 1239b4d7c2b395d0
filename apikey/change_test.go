package apikey_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
)

var pepper = apikey.Secret("a pepper of thirty-two bytes or more")

func edit(enabled bool) func(*apikey.Key) error {
	return func(k *apikey.Key) error {
		k.Enabled = enabled
		return nil
	}
}

func TestCreateReturnsWhatIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, apikey.Config{Prefix: "ak"})
		now := time.Now().UTC()
		k, err := v.Create(t.Context(), apikey.Key{Name: "a", LastUsed: now}, value)
		require.NoError(t, err)
		require.Regexp(t, `^[a-z0-9]{10}$`, k.ID)
		require.Equal(t, apikey.Key{ID: k.ID, Name: "a", Created: now, Updated: now}, k)
		got, ok := v.Key(k.ID)
		require.True(t, ok)
		require.Equal(t, k, got)

		created := now.Add(-time.Hour)
		k, err = v.Create(t.Context(), apikey.Key{ID: "abcdefghij", Created: created}, other)
		require.NoError(t, err)
		require.Equal(t, created, k.Created)
	})
}

func TestCreateRefusesMistakes(t *testing.T) {
	v := newVerifier(t, apikey.Config{Prefix: "ak", Keys: []apikey.Entry{julian}})
	long := func(n int) string { return strings.Repeat("é", n) }
	now := time.Now()
	for _, tt := range []struct {
		name    string
		key     apikey.Key
		value   apikey.Secret
		status  int
		message string
	}{
		{"short value", apikey.Key{}, "aaaaaaaaaaaaaaaaaaa", 400, "API Key value should be at least 20 characters"},
		{"no value", apikey.Key{}, "", 400, "API Key value should be at least 20 characters"},
		{"long value", apikey.Key{}, apikey.Secret(strings.Repeat("a", 129)), 400, "API Key value exceeds maximum size of 128 characters"},
		{"blank in value", apikey.Key{}, "aaaaaaaaaaaaaaaaaaaa a", 400, "API Key value must be visible ASCII characters without a comma"},
		{"comma in value", apikey.Key{}, "aaaaaaaaaaaaaaaaaaaa,a", 400, "API Key value must be visible ASCII characters without a comma"},
		{"not ASCII", apikey.Key{}, "aaaaaaaaaaaaaaaaaaaaé", 400, "API Key value must be visible ASCII characters without a comma"},
		{"no checksum", apikey.Key{}, "ak_aaaaaaaaaaaaaaaaaaaa", 400, "API Key value has the prefix ak_ but not its checksum"},
		{"value taken", apikey.Key{}, value, 409, "API Key already exists"},
		{"id taken", apikey.Key{ID: "fr92a5qpbj"}, other, 409, "API Key already exists"},
		{"short id", apikey.Key{ID: "fr92a5qpb"}, other, 400, "Invalid API Key identifier specified"},
		{"upper id", apikey.Key{ID: "FR92A5QPBJ"}, other, 400, "Invalid API Key identifier specified"},
		{"long name", apikey.Key{Name: long(1025)}, other, 400, "Invalid API Key name, can be at most 1024 characters."},
		{"name not UTF-8", apikey.Key{Name: "\xff"}, other, 400, "Invalid API Key name, can be at most 1024 characters."},
		{"long description", apikey.Key{Description: long(125_001)}, other, 400, "Invalid API Key description specified."},
		{"long customer", apikey.Key{CustomerID: long(1025)}, other, 400, "Invalid API Key customer identifier, can be at most 1024 characters."},
		{"reserved tag", apikey.Key{Tags: map[string]string{"aws:x": ""}}, other, 400, "Invalid API Key tags specified."},
		{"empty tag", apikey.Key{Tags: map[string]string{"": ""}}, other, 400, "Invalid API Key tags specified."},
		{"long tag", apikey.Key{Tags: map[string]string{long(129): ""}}, other, 400, "Invalid API Key tags specified."},
		{"long tag value", apikey.Key{Tags: map[string]string{"a": long(257)}}, other, 400, "Invalid API Key tags specified."},
		{"ends before it starts", apikey.Key{NotBefore: now, Expires: now}, other, 400, "Invalid API Key dates, the key must start before it expires."},
		{"ends after time does", apikey.Key{Expires: time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)}, other, 400, "Invalid API Key date, must be between 1678 and 2261."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := v.Create(t.Context(), tt.key, tt.value)
			e, ok := errors.AsType[*apikey.Error](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, tt.status, e.StatusCode())
			require.Equal(t, tt.message, e.ErrorMessage())
		})
	}
	require.Len(t, slices.Collect(v.Keys()), 1)
	_, err := v.Create(t.Context(), apikey.Key{ID: "julian"}, other)
	require.ErrorContains(t, err, "Key.ID is not 10 characters of [a-z0-9]", "the log tells the form, which API Gateway's text does not")
	_, err = v.Create(t.Context(), apikey.Key{Name: long(1024), Description: long(125_000), Tags: map[string]string{long(128): long(256)}}, apikey.Secret(strings.Repeat("a", 128)))
	require.NoError(t, err)
}

func TestFailedChangesAnswerLikeControlPlane(t *testing.T) {
	for _, tt := range []struct {
		err           error
		status        int
		code, message string
	}{
		{apikey.ErrNotFound, 404, "NotFoundException", "Invalid API Key identifier specified"},
		{apikey.ErrExists, 409, "ConflictException", "API Key already exists"},
		{apikey.ErrUnavailable, 503, "ServiceUnavailableException", "Service Unavailable"},
		{apikey.ErrNotConfigured, 500, "ApiConfigurationException", "Internal server error"},
		{errors.New("anything else"), 500, "ApiConfigurationException", "Internal server error"},
		{nil, 500, "ApiConfigurationException", "Internal server error"},
	} {
		e := &apikey.Error{Err: tt.err}
		require.Equal(t, tt.status, e.StatusCode())
		require.Equal(t, tt.code, e.ErrorCode())
		require.Equal(t, tt.message, e.ErrorMessage())
		h := make(http.Header)
		e.SetHeader(h)
		require.Equal(t, tt.status == 503, h.Get("Retry-After") == "1")
	}
}

func TestUpdateKeepsIdentityAndDates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, apikey.Config{Keys: []apikey.Entry{entry("fr92a5qpbj", func(k *apikey.Key) { k.Tags = map[string]string{"a": "b"} })}})
		before, _ := v.Key("fr92a5qpbj")
		time.Sleep(time.Minute)
		tags := map[string]string{"c": "d"}
		after, err := v.Update(t.Context(), "fr92a5qpbj", func(k *apikey.Key) error {
			k.Tags["a"] = "changed in the copy"
			*k = apikey.Key{ID: "another000", Name: "new", Description: "d", CustomerID: "c", Tags: tags, Expires: time.Now().Add(time.Hour)}
			return nil
		})
		require.NoError(t, err)
		tags["c"] = "changed later"
		require.Equal(t, map[string]string{"a": "b"}, before.Tags)
		want := apikey.Key{
			ID: "fr92a5qpbj", Name: "new", Description: "d", CustomerID: "c", Tags: map[string]string{"c": "d"},
			Created: before.Created, Updated: time.Now().UTC(), Expires: time.Now().Add(time.Hour),
		}
		require.Equal(t, want, after)
		want.Expires = want.Expires.UTC()
		got, _ := v.Key("fr92a5qpbj")
		require.Equal(t, want, got)

		mine := errors.New("mine")
		_, err = v.Update(t.Context(), "fr92a5qpbj", func(*apikey.Key) error { return mine })
		require.Equal(t, mine, err)
		_, err = v.Update(t.Context(), "fr92a5qpbj", func(k *apikey.Key) error { k.Name = "\xff"; return nil })
		require.ErrorIs(t, err, apikey.ErrInvalid)
		_, err = v.Update(t.Context(), "unknown000", edit(true))
		require.ErrorIs(t, err, apikey.ErrNotFound)
		got, _ = v.Key("fr92a5qpbj")
		require.Equal(t, want, got)
	})
}

func TestRotatedValuesEndWithTheirGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		values := make([]string, 12)
		for i := range values {
			values[i] = string(new(apikey.Verifier).Generate())
		}
		v := newVerifier(t, apikey.Config{Keys: []apikey.Entry{{Key: julian.Key, Value: apikey.Secret(values[0])}}})
		rotate := func(i int, grace time.Duration) error {
			_, err := v.Rotate(t.Context(), "fr92a5qpbj", apikey.Secret(values[i]), grace)
			return err
		}
		accepted := func() (good []int) {
			for i, value := range values {
				c, err := v.VerifyKey(t.Context(), value)
				if err == nil {
					require.Equal(t, "fr92a5qpbj", c.ID())
					good = append(good, i)
				} else if !errors.Is(err, apikey.ErrExpired) && !errors.Is(err, apikey.ErrDisabled) {
					require.ErrorIs(t, err, apikey.ErrUnknown)
				}
			}
			return good
		}
		require.NoError(t, rotate(1, time.Hour))
		require.Equal(t, []int{0, 1}, accepted())
		time.Sleep(time.Hour - 1)
		require.Equal(t, []int{0, 1}, accepted())
		time.Sleep(time.Nanosecond)
		require.Equal(t, []int{1}, accepted())
		_, err := v.VerifyKey(t.Context(), values[0])
		require.ErrorIs(t, err, apikey.ErrExpired)

		require.NoError(t, rotate(2, 3*time.Hour))
		require.NoError(t, rotate(3, time.Hour))
		require.Equal(t, []int{1, 2, 3}, accepted())
		time.Sleep(time.Hour)
		require.Equal(t, []int{3}, accepted(), "a shorter grace shortens the earlier ones")

		require.NoError(t, rotate(4, time.Hour))
		require.ErrorIs(t, rotate(3, time.Hour), apikey.ErrExists, "an earlier value is taken")
		require.NoError(t, rotate(5, 0))
		require.Equal(t, []int{5}, accepted(), "no grace ends all")
		require.NoError(t, rotate(4, time.Hour), "and frees them")
		require.Equal(t, []int{4, 5}, accepted())

		_, err = v.Update(t.Context(), "fr92a5qpbj", edit(false))
		require.NoError(t, err)
		require.Empty(t, accepted(), "disabling a key disables all its values")
		_, err = v.Update(t.Context(), "fr92a5qpbj", func(k *apikey.Key) error {
			k.Enabled, k.Expires = true, time.Now().Add(2*time.Hour)
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, []int{4, 5}, accepted())
		c, err := v.VerifyKey(t.Context(), values[5])
		require.NoError(t, err)
		require.Equal(t, time.Now().Add(2*time.Hour).UTC(), c.Key().Expires, "the key's expiry, not the value's")

		require.ErrorIs(t, rotate(6, -1), apikey.ErrInvalid)
		require.ErrorIs(t, rotate(6, 1<<63-1), apikey.ErrInvalid)
		_, err = v.Rotate(t.Context(), "fr92a5qpbj", "short", 0)
		require.ErrorIs(t, err, apikey.ErrInvalid)
		_, err = v.Rotate(t.Context(), "unknown000", v.Generate(), 0)
		require.ErrorIs(t, err, apikey.ErrNotFound)

		for i := range 7 {
			require.NoError(t, rotate([]int{0, 1, 2, 3, 6, 7, 8}[i], time.Hour))
		}
		require.ErrorIs(t, rotate(9, time.Hour), apikey.ErrInvalid, "a ninth earlier value")
		require.NoError(t, v.Delete(t.Context(), "fr92a5qpbj"))
		require.Empty(t, accepted())
		require.Empty(t, slices.Collect(v.Keys()))
	})
}

func TestDeletedKeyIsUnknown(t *testing.T) {
	v := newVerifier(t, apikey.Config{Keys: []apikey.Entry{julian}})
	require.NoError(t, v.Delete(t.Context(), "fr92a5qpbj"))
	_, err := v.VerifyKey(t.Context(), value)
	require.ErrorIs(t, err, apikey.ErrUnknown)
	require.ErrorIs(t, v.Delete(t.Context(), "fr92a5qpbj"), apikey.ErrNotFound)
	_, err = v.Create(t.Context(), julian.Key, value)
	require.NoError(t, err, "id and value are free again")
}

func TestChangeThatIsNotCommittedIsNotMade(t *testing.T) {
	type contextKey struct{}
	var log []apikey.Change
	var down error
	var v *apikey.Verifier
	cfg := apikey.Config{Pepper: pepper, Keys: []apikey.Entry{julian}, Commit: func(ctx context.Context, c apikey.Change) error {
		require.NotNil(t, ctx.Value(contextKey{}), "the caller's context")
		if c.Op == "update" {
			_, err := v.VerifyKey(ctx, value)
			require.NoError(t, err, "not visible yet")
		}
		if down == nil {
			log = append(log, c)
		}
		return down
	}}
	v = newVerifier(t, cfg)
	require.Empty(t, log, "declared keys are no change")
	ctx := context.WithValue(t.Context(), contextKey{}, true)

	down = errors.New("disk full")
	_, err := v.Update(ctx, "fr92a5qpbj", edit(false))
	require.ErrorIs(t, err, apikey.ErrUnavailable)
	require.ErrorIs(t, err, down)
	require.Equal(t, http.StatusServiceUnavailable, err.(*apikey.Error).StatusCode())
	_, err = v.VerifyKey(ctx, value)
	require.NoError(t, err, "nothing has happened")

	down = nil
	_, err = v.Update(ctx, "fr92a5qpbj", edit(false))
	require.NoError(t, err)
	_, err = v.VerifyKey(ctx, value)
	require.ErrorIs(t, err, apikey.ErrDisabled)
	_, err = v.Rotate(ctx, "fr92a5qpbj", other, time.Hour)
	require.NoError(t, err)
	_, err = v.Create(ctx, apikey.Key{ID: "second0000", Tags: map[string]string{"a": "b"}, Enabled: true}, apikey.Secret(valueOf("second0000")))
	require.NoError(t, err)
	require.NoError(t, v.Delete(ctx, "second0000"))
	var ops []string
	for _, c := range log {
		require.Len(t, c.Records, 1)
		require.False(t, c.Time.IsZero())
		ops = append(ops, c.Op)
	}
	require.Equal(t, []string{"update", "rotate", "create", "delete"}, ops)
}

// TestRestoreFromLogAndFromLatestStates makes changes, then restores them from the whole log and from the latest state
// of each key.
func TestRestoreFromLogAndFromLatestStates(t *testing.T) {
	var lines []string
	latest := map[string]string{}
	cfg := apikey.Config{Pepper: pepper, Keys: []apikey.Entry{julian, entry("declared00", nil)}}
	cfg.Commit = func(_ context.Context, c apikey.Change) error {
		line, err := json.Marshal(c)
		require.NoError(t, err)
		require.NotContains(t, string(line), value)
		lines = append(lines, string(line))
		for _, r := range c.Records {
			one, err := json.Marshal(apikey.Change{Op: c.Op, Time: c.Time, Records: []apikey.Record{r}})
			require.NoError(t, err)
			latest[r.Key.ID] = string(one)
		}
		return nil
	}
	v := newVerifier(t, cfg)
	ctx := t.Context()
	_, err := v.VerifyKey(ctx, value)
	require.NoError(t, err)
	_, err = v.Rotate(ctx, "fr92a5qpbj", other, time.Hour)
	require.NoError(t, err)
	require.NoError(t, v.Delete(ctx, "declared00"))
	_, err = v.Import(ctx, strings.NewReader("Name,Key\na,aaaaaaaaaaaaaaaaaaaa\nb,bbbbbbbbbbbbbbbbbbbb\n"), apikey.ImportOptions{})
	require.NoError(t, err)
	want := state(v)

	for name, stored := range map[string][]string{"log": lines, "latest": slices.Collect(func(yield func(string) bool) {
		for _, line := range latest {
			if !yield(line) {
				return
			}
		}
	})} {
		t.Run(name, func(t *testing.T) {
			cfg := cfg
			cfg.Restore = replay(slices.Values(stored))
			v := newVerifier(t, cfg)
			require.Equal(t, want, state(v))
			for _, accepted := range []string{value, other, "aaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbb"} {
				_, err := v.VerifyKey(t.Context(), accepted)
				require.NoError(t, err)
			}
			_, err := v.VerifyKey(t.Context(), valueOf("declared00"))
			require.ErrorIs(t, err, apikey.ErrUnknown)
		})
	}
}

// TestRestoreIsIndependentOfOrder has a declared key give up its value, which another key takes, and restores the
// latest change of each key in either order.
func TestRestoreIsIndependentOfOrder(t *testing.T) {
	var log []apikey.Change
	cfg := apikey.Config{
		Pepper: pepper, Keys: []apikey.Entry{julian},
		Commit: func(_ context.Context, c apikey.Change) error {
			log = append(log, c)
			return nil
		},
	}
	v := newVerifier(t, cfg)
	_, err := v.Rotate(t.Context(), "fr92a5qpbj", other, 0)
	require.NoError(t, err)
	_, err = v.Create(t.Context(), apikey.Key{ID: "second0000", Enabled: true}, value)
	require.NoError(t, err)
	want := state(v)
	for range 2 {
		slices.Reverse(log)
		cfg.Restore = func(yield func(apikey.Change, error) bool) { eachChange(log, yield) }
		v := newVerifier(t, cfg)
		require.Equal(t, want, state(v))
		c, err := v.VerifyKey(t.Context(), value)
		require.NoError(t, err)
		require.Equal(t, "second0000", c.ID())
	}
	cfg.Keys = append(cfg.Keys, apikey.Entry{Key: apikey.Key{ID: "second0000"}, Value: "short"})
	_, err = apikey.New(cfg)
	require.EqualError(t, err, "keys[1]: apikey: invalid: API Key value should be at least 20 characters")
}

// Another key may have the value of a deleted key. The latest change of each key restores both, in either order.
func TestRestoreOfAReusedValue(t *testing.T) {
	latest := map[string]apikey.Change{}
	cfg := apikey.Config{
		Pepper: pepper,
		Commit: func(_ context.Context, c apikey.Change) error {
			latest[c.Records[0].Key.ID] = c
			return nil
		},
	}
	v := newVerifier(t, cfg)
	_, err := v.Create(t.Context(), apikey.Key{ID: "bbbbbbbbbb", Enabled: true}, value)
	require.NoError(t, err)
	require.NoError(t, v.Delete(t.Context(), "bbbbbbbbbb"))
	_, err = v.Create(t.Context(), apikey.Key{ID: "aaaaaaaaaa", Enabled: true}, value)
	require.NoError(t, err)
	for _, order := range [][]string{{"aaaaaaaaaa", "bbbbbbbbbb"}, {"bbbbbbbbbb", "aaaaaaaaaa"}} {
		cfg.Restore = func(yield func(apikey.Change, error) bool) {
			eachChange([]apikey.Change{latest[order[0]], latest[order[1]]}, yield)
		}
		c, err := newVerifier(t, cfg).VerifyKey(t.Context(), value)
		require.NoError(t, err)
		require.Equal(t, "aaaaaaaaaa", c.ID())
	}
}

// A value whose grace has ended can be given to another key, by every verb, and that can be restored.
func TestRetiredValueIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		latest := map[string]apikey.Change{}
		cfg := apikey.Config{
			Pepper: pepper, Keys: []apikey.Entry{julian},
			Commit: func(_ context.Context, c apikey.Change) error {
				latest[c.Records[0].Key.ID] = c
				return nil
			},
		}
		for name, give := range map[string]func(v *apikey.Verifier) (apikey.Key, error){
			"create": func(v *apikey.Verifier) (apikey.Key, error) {
				return v.Create(t.Context(), apikey.Key{Enabled: true}, value)
			},
			"import": func(v *apikey.Verifier) (apikey.Key, error) {
				_, err := v.Import(t.Context(), strings.NewReader("name,key\nnewcomer,"+string(value)), apikey.ImportOptions{FailOnWarnings: true})
				for k := range v.Keys() {
					if k.Name == "newcomer" {
						return k, err
					}
				}
				return apikey.Key{}, errors.Join(errors.New("no newcomer"), err)
			},
		} {
			clear(latest)
			cfg.Restore = nil
			v := newVerifier(t, cfg)
			_, err := v.Rotate(t.Context(), "fr92a5qpbj", other, time.Hour)
			require.NoError(t, err)
			_, err = v.Create(t.Context(), apikey.Key{}, value)
			require.ErrorIs(t, err, apikey.ErrExists, "in grace")
			time.Sleep(2 * time.Hour)
			k, err := give(v)
			require.NoError(t, err, name)
			require.NotEqual(t, "fr92a5qpbj", k.ID)
			cfg.Restore = func(yield func(apikey.Change, error) bool) { eachChange(slices.Collect(maps.Values(latest)), yield) }
			for _, v := range []*apikey.Verifier{v, newVerifier(t, cfg)} {
				c, err := v.VerifyKey(t.Context(), value)
				require.NoError(t, err, name)
				require.Equal(t, k.ID, c.ID())
				c, err = v.VerifyKey(t.Context(), other)
				require.NoError(t, err, name)
				require.Equal(t, "fr92a5qpbj", c.ID())
				_, err = v.Update(t.Context(), "fr92a5qpbj", func(*apikey.Key) error { return nil })
				require.NoError(t, err)
				_, err = v.VerifyKey(t.Context(), value)
				require.NoError(t, err, "a change of the old holder takes nothing away")
				_, err = v.Update(t.Context(), "fr92a5qpbj", nil)
				require.ErrorIs(t, err, apikey.ErrInvalid)
			}
		}
	})
}

func state(v *apikey.Verifier) map[string]apikey.Key {
	keys := map[string]apikey.Key{}
	for k := range v.Keys() {
		keys[k.ID] = k
	}
	return keys
}

func TestRestoreRefusesDamage(t *testing.T) {
	one, two := strings.Repeat("01", 32), strings.Repeat("02", 32)
	good := apikey.Record{Key: julian.Key, Digest: one}
	second := apikey.Record{Key: apikey.Key{ID: "second0000"}, Digest: one}
	for name, records := range map[string][]apikey.Record{
		"no id":              {{Digest: one}},
		"no digest":          {{Key: julian.Key}},
		"long digest":        {{Key: julian.Key, Digest: one + "00"}},
		"short digest":       {{Key: julian.Key, Digest: one[:62]}},
		"no hexadecimals":    {{Key: julian.Key, Digest: strings.Repeat("x", 64)}},
		"zero digest":        {{Key: julian.Key, Digest: strings.Repeat("0", 64)}},
		"digest of another":  {good, second},
		"no previous digest": {{Key: julian.Key, Digest: one, Previous: []apikey.Previous{{Until: time.Now()}}}},
		"no end of grace":    {{Key: julian.Key, Digest: one, Previous: []apikey.Previous{{Digest: two}}}},
		"previous of another": {good, {
			Key: second.Key, Digest: two, Previous: []apikey.Previous{{Digest: one, Until: time.Now().Add(time.Hour)}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apikey.New(apikey.Config{Pepper: pepper, Restore: func(yield func(apikey.Change, error) bool) {
				yield(apikey.Change{Op: "import", Records: records}, nil)
			}})
			require.Error(t, err)
			require.Contains(t, err.Error(), "restore: ")
		})
	}
	_, err := apikey.New(apikey.Config{Pepper: pepper, Restore: func(yield func(apikey.Change, error) bool) {
		yield(apikey.Change{Op: "rename", Records: []apikey.Record{good}}, nil)
	}})
	require.Error(t, err)
}

// The digest in a change is the HMAC-SHA-256 of the value under the pepper, in hex, so that another program can check
// it.
func TestDigestIsHexOfHMAC(t *testing.T) {
	var digest string
	v := newVerifier(t, apikey.Config{Pepper: pepper, Commit: func(_ context.Context, c apikey.Change) error {
		digest = c.Records[0].Digest
		return nil
	}})
	_, err := v.Create(t.Context(), apikey.Key{}, value)
	require.NoError(t, err)
	mac := hmac.New(sha256.New, []byte(pepper))
	mac.Write([]byte(value))
	require.Equal(t, hex.EncodeToString(mac.Sum(nil)), digest)
}

// record returns a Commit that appends changes to lines, as JSON.
func record(lines *[]string) func(context.Context, apikey.Change) error {
	return func(_ context.Context, c apikey.Change) error {
		line, err := json.Marshal(c)
		*lines = append(*lines, string(line))
		return err
	}
}
