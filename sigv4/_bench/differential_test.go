package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/encoding/httpbinding"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// rounds is how many requests of each kind are compared.
func rounds() int {
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		return 5000
	}
	return 500
}

// sample makes requests at random, the same ones in each run.
type sample struct{ *rand.Rand }

const (
	pathBytes   = "abcXYZ019-._~/ %+&=:,;@$!'()*é☃\""
	queryBytes  = "abcXYZ019-._~/ %+&=:,;@$!'()*é☃\"?#"
	rawBytes    = "abc +é☃\"<>[]^{|}:/?@"
	headerBytes = "abc XYZ  019-._~/,;=\""
)

func (s sample) text(from string, most int) string {
	runes := []rune(from)
	text := make([]rune, s.IntN(most+1))
	for i := range text {
		text[i] = runes[s.IntN(len(runes))]
	}
	return string(text)
}

// path has no empty segments and no dot segments, which aws-sdk-go-v2 does not normalise.
func (s sample) path() string {
	var path strings.Builder
	for range 1 + s.IntN(4) {
		path.WriteString("/x" + strings.ReplaceAll(s.text(pathBytes, 8), "/", ""))
	}
	if s.IntN(3) == 0 {
		path.WriteByte('/')
	}
	return path.String()
}

func (s sample) query() url.Values {
	query := url.Values{}
	for range s.IntN(5) {
		query.Add("k"+s.text(queryBytes, 4), s.text(queryBytes, 8))
	}
	return query
}

// url escapes as net/url does or, if strict, all that S3's clients escape: S3 signs for the path escaped so, whatever
// was sent.
func (s sample) url(strict bool) *url.URL {
	u := &url.URL{Scheme: "https", Host: "api.example.com", Path: s.path(), RawQuery: s.query().Encode()}
	if s.IntN(4) == 0 { // as a careless program puts it together
		u.RawQuery = strings.TrimPrefix(u.RawQuery+"&raw="+s.text(rawBytes, 8), "&")
	}
	if strict || s.IntN(2) == 0 {
		u.RawPath = httpbinding.EscapePath(u.Path, false)
	}
	return u
}

// request returns the same request each time it is called: signers change what they sign.
func (s sample) request(strict bool) (request func() *http.Request, body string) {
	method := []string{"GET", "PUT", "POST", "DELETE", "PATCH"}[s.IntN(5)]
	u := s.url(strict)
	header := http.Header{}
	for range s.IntN(4) {
		name := fmt.Sprintf("%s-%d", []string{"X-Amz-Meta", "Accept", "My-Header"}[s.IntN(3)], s.IntN(3))
		header.Add(name, "v"+s.text(headerBytes, 10))
	}
	if method != "GET" && s.IntN(2) == 0 {
		body = "b" + s.text(pathBytes, 200)
	}
	sum := sha256.Sum256([]byte(body))
	if s.IntN(2) == 0 || body != "" { // our signer declares the hash of a body anyway
		header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	}
	return func() *http.Request {
		r, err := http.NewRequest(method, "https://api.example.com/", strings.NewReader(body))
		if err != nil {
			panic(err)
		}
		copied := *u
		r.URL, r.Header = &copied, header.Clone()
		return r
	}, body
}

// kind is a way in which requests are signed.
type kind struct {
	name  string
	s3    bool
	token string
}

var kinds = []kind{
	{"execute-api", false, ""},
	{"temporary", false, "IQoJb3JpZ2luX2VjE/+=="},
	{"s3", true, ""},
}

// parties are the SDK's signer, ours, which signs all headers as the SDK does, and a verifier.
func parties(t *testing.T, k kind) (*v4.Signer, *sigv4.Signer, *sigv4.Verifier) {
	sdk := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = k.s3 })
	ours, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: keyID, Secret: secret, SessionToken: sigv4.Secret(k.token)}, nil
		},
		Region: region, S3: k.s3, SignHeader: func(string) bool { return true },
	})
	require.NoError(t, err)
	v, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sigv4.Keyring{keyID: {Secret: secret, SessionToken: sigv4.Secret(k.token)}}.Key, Regions: []string{region}, S3: k.s3,
	})
	require.NoError(t, err)
	return sdk, ours, v
}

func (k kind) credentials() aws.Credentials {
	return aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret, SessionToken: k.token}
}

func sdkService(s3 bool) string {
	if s3 {
		return "s3"
	}
	return service
}

func hashOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// receive is the request as a server reads it.
func receive(t *testing.T, r *http.Request) *http.Request {
	var wire bytes.Buffer
	require.NoError(t, r.Write(&wire))
	received, err := http.ReadRequest(bufio.NewReader(&wire))
	require.NoError(t, err)
	return received
}

// What aws-sdk-go-v2 signs verifies, and ours is the same signature.
func TestAgreesWithSDK(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			random := sample{rand.New(rand.NewPCG(1, 2))}
			sdk, ours, v := parties(t, kind)
			for i := range rounds() {
				request, body := random.request(kind.s3)
				theirs := request()
				if kind.s3 { // S3 wants it always
					theirs.Header.Set("X-Amz-Content-Sha256", hashOf(body))
				}
				require.NoError(t, sdk.SignHTTP(t.Context(), kind.credentials(), theirs, hashOf(body), sdkService(kind.s3), region, now))
				_, err := v.VerifyAt(receive(t, theirs), now)
				require.NoError(t, err, "%d: %s", i, theirs.URL)

				mine := request()
				if body != "" { // the SDK signs it from the field
					mine.Header.Set("Content-Length", fmt.Sprint(len(body)))
				}
				require.NoError(t, ours.SignAt(mine, now))
				require.Equal(t, theirs.Header.Get("Authorization"), mine.Header.Get("Authorization"), "%d: %s", i, theirs.URL)
				_, err = v.VerifyAt(receive(t, mine), now)
				require.NoError(t, err)
			}
		})
	}
}

// What aws-sdk-go-v2 presigns verifies, and ours is the same signature.
func TestAgreesWithSDKPresigned(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			random := sample{rand.New(rand.NewPCG(3, 4))}
			sdk, ours, v := parties(t, kind)
			for i := range rounds() {
				r, err := http.NewRequest("GET", random.url(kind.s3).String(), nil)
				require.NoError(t, err)
				mine, err := ours.PresignAt(r, 5*time.Minute, now)
				require.NoError(t, err)

				payload := emptyHash
				if kind.s3 {
					payload = "UNSIGNED-PAYLOAD"
				}
				query := r.URL.Query()
				query.Set("X-Amz-Expires", "300")
				r.URL.RawQuery = query.Encode()
				theirs, _, err := sdk.PresignHTTP(t.Context(), kind.credentials(), r, payload, sdkService(kind.s3), region, now)
				require.NoError(t, err)

				require.Equal(t, signatureOf(t, theirs), signatureOf(t, mine), "%d: %s", i, theirs)
				for _, presigned := range []string{theirs, mine} {
					follow, err := http.NewRequest("GET", presigned, nil)
					require.NoError(t, err)
					_, err = v.VerifyAt(receive(t, follow), now)
					require.NoError(t, err, "%d: %s", i, presigned)
				}
			}
		})
	}
}

func signatureOf(t *testing.T, presigned string) string {
	u, err := url.Parse(presigned)
	require.NoError(t, err)
	return u.Query().Get("X-Amz-Signature")
}
