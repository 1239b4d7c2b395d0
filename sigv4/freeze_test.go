package sigv4

import (
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// frozen returns a time as a process remembers it that was frozen since: by the wall clock it is d longer ago than by
// the monotonic one. Package time has no way to make such a time. Bits 30 to 62 of its first word are the seconds of the
// wall clock, if it has a monotonic reading.
func frozen(t time.Time, d time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) -= uint64(d/time.Second) << 30
	return t
}

// Temporary credentials end by the clock that says so first, also if the key source keeps an Expires with a monotonic
// reading.
func TestSleepDoesNotProlongCredentials(t *testing.T) {
	now := time.Now()
	end := now.Add(time.Hour)
	for _, tt := range []struct {
		name    string
		expires time.Time
		now     time.Time
		want    error
	}{
		{"never", time.Time{}, now, nil},
		{"an hour left", end, now, nil},
		{"the end", end, end, errCredentialExpired},
		{"half an hour asleep", frozen(end, 30*time.Minute), now, nil},
		{"two hours asleep", frozen(end, 2*time.Hour), now, errCredentialExpired},
		{"a wall clock that was set back", frozen(now, -2*time.Hour), now, errCredentialExpired},
		{"no monotonic reading", end.Round(0), now, nil},
		{"no monotonic reading, the end", end.Round(0), end, errCredentialExpired},
	} {
		e := (&Verifier{}).checkKey(&parameters{token: "t"}, &Key{SessionToken: "t", Expires: tt.expires}, tt.now)
		if tt.want == nil {
			require.Nil(t, e, tt.name)
			continue
		}
		require.NotNil(t, e, tt.name)
		require.ErrorIs(t, e, tt.want, tt.name)
	}
}
