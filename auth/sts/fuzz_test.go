package sts_test

import (
	"encoding/xml"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/sts"
)

// FuzzWire: whatever is sent, signed or not, the answer is AWS's, and nobody gets credentials of another role than the
// trust policies allow.
func FuzzWire(f *testing.F) {
	w := newWorld(f, nil)
	for _, body := range []string{
		"", "Action=GetCallerIdentity&Version=2011-06-15", "Action=GetCallerIdentity&Action=x", "%", "&&", "=", "Action=%ff",
		params("AssumeRole", "RoleArn", points, "RoleSessionName", "mobile"),
		params("AssumeRole", "RoleArn", audit, "RoleSessionName", "mobile", "DurationSeconds", "3600"),
		params("AssumeRole", "RoleArn", points, "RoleSessionName", "mobile", "Tags.member.1.Key", "a", "Tags.member.1.Value", "b"),
		params("AssumeRole", "RoleArn", points, "RoleSessionName", "mobile", "Policy", `{"Statement":[]}`, "SourceIdentity", "julian"),
		params("AssumeRoleWithWebIdentity", "RoleArn", points, "RoleSessionName", "mobile", "WebIdentityToken", "a.b.c"),
	} {
		f.Add(body, true)
		f.Add(body, false)
	}
	f.Fuzz(func(t *testing.T, body string, signed bool) {
		r := newRequest(body)
		if signed {
			sign(t, r, permanent("AKIDJULIAN"))
		}
		recorder := httptest.NewRecorder()
		w.server.ServeHTTP(recorder, r)
		require.LessOrEqual(t, recorder.Body.Len(), 8192)
		var got result
		require.NoError(t, xml.Unmarshal(recorder.Body.Bytes(), &got))
		if recorder.Code != 200 {
			require.Contains(t, []int{400, 403, 413}, recorder.Code)
			require.Regexp(t, `^[A-Z]\w+$`, got.Error.Code)
			return
		}
		require.True(t, signed)
		if got.XMLName.Local == "AssumeRoleResponse" {
			got.status = 200
			require.Equal(t, points, w.session(t, got).Role)
		}
	})
}

// FuzzTrust: New does not panic, and what it accepts trusts no provider without a condition.
func FuzzTrust(f *testing.F) {
	sessions := newSessions(f, 1)
	v := verifier(f, sessions, "sts")
	f.Add(allow(federated, byToken, ofClient))
	f.Add(allow(`{"AWS":"`+julian+`"}`, everything, `{"StringEquals":{"aws:RequestTag/team":"a"},"Null":{"aws:TagKeys":"true"}}`))
	f.Add(allow(`{"Federated":["`+account+`oidc-provider/`+provider+`","`+provider+`"]}`, byToken, ofClient))
	f.Fuzz(func(t *testing.T, trust string) {
		s, err := sts.New(sts.Config{
			Verifier: v, Sessions: sessions, Tokens: tokens(t), Roles: []sts.Role{{ARN: points, Trust: trust}},
		})
		if err != nil {
			require.ErrorIs(t, err, sts.ErrNotConfigured)
			return
		}
		if !strings.Contains(trust, "aud") && !strings.Contains(trust, "sub") && !strings.Contains(trust, `\u`) {
			token := world{issuer: issuer()}.idToken(t, nil)
			require.NotEqual(t, 200, world{server: s}.byToken(t, token).status)
		}
	})
}
