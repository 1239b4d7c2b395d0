package sigv4_test

import (
	"encoding/hex"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// The keys of AWS's documentation.
const (
	iamKeyID  = "AKIDEXAMPLE"
	iamSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	s3KeyID   = "AKIAIOSFODNN7EXAMPLE"
	s3Secret  = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

// Sources: AWS, "Signature Version 4 signing: examples" (IAM ListUsers) and S3 API reference, "Authenticating requests:
// using the Authorization header", "… using query parameters": requests and the signatures that the pages give.
var documented = []struct {
	name   string
	method string
	target string
	header http.Header
	body   string
	signed string
	want   string
}{
	{
		"GET object", "GET", "/test.txt",
		http.Header{"Range": {"bytes=0-9"}},
		"",
		"host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
	},
	{
		"PUT object", "PUT", "/test$file.text",
		http.Header{"Date": {"Fri, 24 May 2013 00:00:00 GMT"}, "X-Amz-Storage-Class": {"REDUCED_REDUNDANCY"}},
		"Welcome to Amazon S3.",
		"date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
	},
	{
		"GET bucket lifecycle", "GET", "/?lifecycle", nil, "",
		"host;x-amz-content-sha256;x-amz-date", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
	},
	{
		"GET bucket list", "GET", "/?max-keys=2&prefix=J", nil, "",
		"host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
	},
}

var s3Day = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)

func TestDocumentedS3SignaturesAgree(t *testing.T) {
	signer := newSigner(t, sigv4.SignerConfig{Credentials: as(s3KeyID, s3Secret), Region: "us-east-1", S3: true})
	verifier := newVerifier(t, sigv4.VerifierConfig{
		Keys: sigv4.Keyring{s3KeyID: {Secret: s3Secret}}.Key, Regions: []string{"us-east-1"}, S3: true,
	})
	for _, tt := range documented {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, tt.target, strings.NewReader(tt.body))
			r.GetBody = nil
			if tt.body != "" {
				r.Header.Set("X-Amz-Content-Sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072")
			} else {
				r.Body = http.NoBody
			}
			r.Host = "examplebucket.s3.amazonaws.com"
			maps.Copy(r.Header, tt.header)
			require.NoError(t, signer.SignAt(r, s3Day))
			want := "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=" +
				tt.signed + ", Signature=" + tt.want
			require.Equal(t, want, r.Header.Get("Authorization"))
			_, err := verifier.VerifyAt(r, s3Day)
			require.NoError(t, err)
		})
	}
}

func TestDocumentedS3URLAgrees(t *testing.T) {
	signer := newSigner(t, sigv4.SignerConfig{Credentials: as(s3KeyID, s3Secret), Region: "us-east-1", S3: true})
	r := httptest.NewRequest("GET", "https://examplebucket.s3.amazonaws.com/test.txt", nil)
	got, err := signer.PresignAt(r, 24*time.Hour, s3Day)
	require.NoError(t, err)
	want := "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256" +
		"&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z" +
		"&X-Amz-Expires=86400&X-Amz-SignedHeaders=host" +
		"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
	require.Equal(t, want, got)

	verifier := newVerifier(t, sigv4.VerifierConfig{
		Keys: sigv4.Keyring{s3KeyID: {Secret: s3Secret}}.Key, Regions: []string{"us-east-1"}, S3: true,
	})
	r = httptest.NewRequest("GET", strings.TrimPrefix(got, "https://examplebucket.s3.amazonaws.com"), nil)
	r.Host = "examplebucket.s3.amazonaws.com"
	_, err = verifier.VerifyAt(r, s3Day.Add(24*time.Hour))
	require.NoError(t, err)
	_, err = verifier.VerifyAt(r, s3Day.Add(24*time.Hour+time.Second))
	require.ErrorIs(t, err, sigv4.ErrExpired)
}

func TestDocumentedListUsersAgrees(t *testing.T) {
	now := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	signer := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "us-east-1", Service: "iam"})
	r := httptest.NewRequest("GET", "/?Action=ListUsers&Version=2010-05-08", nil)
	r.Host = "iam.amazonaws.com"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	require.NoError(t, signer.SignAt(r, now))
	want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, " +
		"SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
	require.Equal(t, want, r.Header.Get("Authorization"))
}

func TestDocumentedSigningKeysAgree(t *testing.T) {
	for date, want := range map[string]string{
		"20150830": "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9",
		"20120215": "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d",
	} {
		key := sigv4.DeriveKey(iamSecret, date, "us-east-1", "iam")
		require.Equal(t, want, hex.EncodeToString([]byte(key)))
	}
}
