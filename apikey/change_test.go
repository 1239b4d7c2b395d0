package apikey_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/journal"
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

// A value whose grace has ended can be given to another key, by every verb, and that can be read back.
func TestRetiredValueIsFree(t *testing.T) {
	for name, give := range map[string]func(ctx context.Context, v *apikey.Verifier) (apikey.Key, error){
		"create": func(ctx context.Context, v *apikey.Verifier) (apikey.Key, error) {
			return v.Create(ctx, apikey.Key{Enabled: true}, value)
		},
		"import": func(ctx context.Context, v *apikey.Verifier) (apikey.Key, error) {
			got, err := importFile(ctx, v, strings.NewReader("name,key\nnewcomer,"+string(value)), apikey.ImportOptions{FailOnWarnings: true})
			return got.Keys[0], err
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			cfg := apikey.Config{Pepper: pepper, Keys: []apikey.Entry{julian}, Journal: journal.Memory(0)}
			v := newVerifier(t, cfg)
			_, err := v.Rotate(t.Context(), "fr92a5qpbj", other, time.Hour)
			require.NoError(t, err)
			_, err = v.Create(t.Context(), apikey.Key{}, value)
			require.ErrorIs(t, err, apikey.ErrExists, "in grace")
			time.Sleep(2 * time.Hour)
			requireValues(t, newVerifier(t, cfg), map[string]string{value: "", other: "fr92a5qpbj"})
			k, err := give(t.Context(), v)
			require.NoError(t, err, name)
			require.NotEqual(t, "fr92a5qpbj", k.ID)
			for _, v := range []*apikey.Verifier{v, newVerifier(t, cfg)} {
				require.NoError(t, v.Refresh(t.Context()))
				requireValues(t, v, map[string]string{value: k.ID, other: "fr92a5qpbj"})
				_, err = v.Update(t.Context(), "fr92a5qpbj", func(*apikey.Key) error { return nil })
				require.NoError(t, err)
				requireValues(t, v, map[string]string{value: k.ID})
				_, err = v.Update(t.Context(), "fr92a5qpbj", nil)
				require.ErrorIs(t, err, apikey.ErrInvalid)
			}
		})
	}
}

// requireValues requires that each value is that of the key of the given id; an empty id stands for none.
func requireValues(t *testing.T, v *apikey.Verifier, want map[string]string) {
	t.Helper()
	for value, id := range want {
		c, err := v.VerifyKey(t.Context(), value)
		if id == "" {
			require.ErrorIs(t, err, apikey.ErrUnknown)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, id, c.ID())
	}
}

func state(v *apikey.Verifier) map[string]apikey.Key {
	keys := map[string]apikey.Key{}
	for k := range v.Keys() {
		keys[k.ID] = k
	}
	return keys
}
