//go:build !race

package policy_test

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

func TestEvaluateDoesNotAllocate(t *testing.T) {
	p, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"execute-api:*","Resource":"` + stage + `/*/GET/*"},
		{"Effect":"Deny","NotAction":"execute-api:Invoke","NotResource":"*"}]}`))
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(1000, func() { p.Evaluate(policy.Invoke, stage+"/x/GET/y") }))
	for _, s := range worst {
		p, err := policy.New(s.document())
		require.NoError(t, err)
		arn, want := s.arn(), 0.0
		if !utf8.ValidString(arn) {
			want = 1 // a valid copy
		}
		require.Equal(t, want, testing.AllocsPerRun(10, func() { p.Evaluate(policy.Invoke, arn) }), s.name)
	}
}
