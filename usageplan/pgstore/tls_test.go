package pgstore_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/pgstore"
)

// TestPasswordOverTLS: a store uses a server that asks for a password and for TLS, with a certificate that is verified.
// A wrong password, another root and a connection without TLS are refused.
func TestPasswordOverTLS(t *testing.T) {
	s := prepare(t)
	t.Cleanup(func() { _ = os.RemoveAll(s.dir) })
	s.run()
	admin := connect(t, options(t, s.url()))
	_, err := admin.Exec(t.Context(), `create role program login password 'a secret';
		grant create on database postgres to program`)
	require.NoError(t, err)
	admin.Close()
	s.crash()

	certificate, key := selfSigned(t)
	s.write("server.crt", certificate)
	s.write("server.key", key)
	s.write("pg_hba.conf", []byte("hostssl all program 127.0.0.1/32 scram-sha-256\nhostssl all test 127.0.0.1/32 trust\n"))
	s.args = append(s.args, "-c", "ssl=on")
	s.run()
	t.Cleanup(s.crash)

	root := filepath.Join(t.TempDir(), "root.crt")
	require.NoError(t, os.WriteFile(root, certificate, 0o600))
	other, _ := selfSigned(t)
	wrong := filepath.Join(t.TempDir(), "root.crt")
	require.NoError(t, os.WriteFile(wrong, other, 0o600))
	at := func(password, parameters string) string {
		return "postgres://program:" + url.PathEscape(password) + "@" + s.addr + "/postgres?" + parameters
	}
	e := open(t, connect(t, options(t, at("a secret", "sslmode=verify-full&sslrootcert="+root))), fresh())
	require.NoError(t, put(t.Context(), e, "key", "row"))
	requireRow(t, e, "key", "row")
	for want, address := range map[string]string{
		"password authentication failed": at("a guess", "sslmode=verify-full&sslrootcert="+root),
		"certificate signed by unknown":  at("a secret", "sslmode=verify-full&sslrootcert="+wrong),
		"no pg_hba.conf entry":           at("a secret", "sslmode=disable"),
	} {
		_, err := pgstore.Open(t.Context(), pgstore.Config{Pool: connect(t, options(t, address)), Namespace: fresh()})
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "a secret")
	}
}

// write writes a file of the server, which its user alone may read.
func (s *server) write(name string, content []byte) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	require.NoError(s.t, os.WriteFile(path, content, 0o600))
	if id := serverUser(s.t); id != nil {
		require.NoError(s.t, os.Chown(path, int(id.Uid), int(id.Gid)))
	}
}

// selfSigned returns a certificate for 127.0.0.1, and its key.
func selfSigned(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}
