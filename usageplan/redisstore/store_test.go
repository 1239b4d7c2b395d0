package redisstore_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/redisstore"
)

// commands counts what a client sends: commands, and the round trips that they take together.
type commands struct{ sent, trips atomic.Int64 }

func (c *commands) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *commands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.sent.Add(1)
		c.trips.Add(1)
		return next(ctx, cmd)
	}
}

func (c *commands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.sent.Add(int64(len(cmds)))
		c.trips.Add(1)
		return next(ctx, cmds)
	}
}

// TestRequestsOfCalls: what a call costs does not depend on how many rows there are.
func TestRequestsOfCalls(t *testing.T) {
	var n commands
	c := client(t, options(start(t).addr))
	namespace := fresh()
	s := open(t, c, namespace) // which remembers nothing of what another has written
	keys := make([]string, 20_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("plan %d key %d", i%200, i)
	}
	require.NoError(t, open(t, c, namespace).Update(t.Context(), keys, write("row")))
	c.AddHook(&n)
	list := func(prefix string) {
		for _, err := range s.Keys(t.Context(), prefix) {
			require.NoError(t, err)
		}
	}
	for _, call := range []struct {
		name        string
		call        func()
		sent, trips int64
	}{
		{"load", func() { _, _ = s.Load(t.Context(), "plan 1 key 1") }, 1, 1},
		{"update one", func() { _ = s.Update(t.Context(), keys[:1], write("new")) }, 2, 2},
		{"update 250 of which one is remembered", func() { _ = s.Update(t.Context(), keys[:250], write("new")) }, 499, 2},
		{"update 251 of which 250 are remembered", func() { _ = s.Update(t.Context(), keys[:251], write("new")) }, 252, 3},
		{"update 250 that are remembered", func() { _ = s.Update(t.Context(), keys[:250], write("new")) }, 250, 1},
		{"leave 250", func() { _ = s.Update(t.Context(), keys[:250], func(int, []byte) ([]byte, error) { return nil, nil }) }, 250, 1},
		{"keys, none", func() { list("absent") }, 256, 8},
		{"keys of a plan", func() { list("plan 7 ") }, 256, 8},
		{"time", func() { _, _ = s.Now(t.Context()) }, 1, 1},
		{"journal, nothing new", func() {
			for range s.Journal("keys", 0).Changes(t.Context(), 0) {
				t.Error("there is a change")
			}
		}, 1, 1},
	} {
		n.sent.Store(0)
		n.trips.Store(0)
		call.call()
		require.Equal(t, call.sent, n.sent.Load(), "%s: commands", call.name)
		require.Equal(t, call.trips, n.trips.Load(), "%s: round trips", call.name)
	}
}

// TestUnreadableRow: a row that is damaged, or another type of value, is an error that names its key. Nothing has been
// changed then, so a ledger goes on with its other keys.
func TestUnreadableRow(t *testing.T) {
	c := client(t, options(start(t).addr))
	s := open(t, c, fresh())
	for name, damage := range map[string]func(row string) error{
		"short": func(row string) error { return c.Set(t.Context(), row, "short", 0).Err() },
		"list": func(row string) error {
			return errors.Join(c.Del(t.Context(), row).Err(), c.LPush(t.Context(), row, "x").Err())
		},
	} {
		require.NoError(t, s.Update(t.Context(), []string{"sound", name}, write("row")))
		rows := c.Keys(t.Context(), "*:r:"+name).Val()
		require.Len(t, rows, 1)
		require.NoError(t, damage(rows[0]))
		_, err := s.Load(t.Context(), name)
		require.ErrorIs(t, err, redisstore.ErrFormat)
		err = s.Update(t.Context(), []string{"sound", name}, write("row")) // both are remembered, and sound is written
		require.ErrorIs(t, err, redisstore.ErrFormat)
		err = s.Update(t.Context(), []string{"sound", name}, write("new"))
		require.ErrorIs(t, err, redisstore.ErrFormat)
		var unreadable interface{ Row() string }
		require.ErrorAs(t, err, &unreadable)
		require.Equal(t, name, unreadable.Row())
		row, err := s.Load(t.Context(), "sound")
		require.NoError(t, err)
		require.Equal(t, "row", string(row))
	}
}

// TestUnreadableRecord: a record that this package has not written is an error.
func TestUnreadableRecord(t *testing.T) {
	c := client(t, options(start(t).addr))
	j := open(t, c, fresh()).Journal("keys", 0)
	_, err := j.Append(t.Context(), 0, journal.Change{Time: time.Now(), Items: []journal.Item{{Name: "item"}}})
	require.NoError(t, err)
	log := c.Keys(t.Context(), "*:log").Val()[0]
	sound := c.XRange(t.Context(), log, "1-0", "1-0").Val()[0].Values
	record, items := sound["record"].(string), sound["items"].(string)
	for _, damaged := range [][2]string{
		{"", items},
		{"\x02" + record[1:], items},
		{record[:3], items},
		{record + "\x05", items},
		{record, ""},
		{record, "\xc1"},
		{record, "\x01"},
		{record, "\x90"},
		{record, items[:len(items)-1]},
	} {
		require.NoError(t, c.Del(t.Context(), log).Err())
		require.NoError(t, c.XAdd(t.Context(), &redis.XAddArgs{
			Stream: log, ID: "1-0", Values: []string{"time", "0", "record", damaged[0], "items", damaged[1]},
		}).Err())
		n := 0
		for _, err := range j.History(t.Context(), "item") {
			require.ErrorIs(t, err, redisstore.ErrFormat, "%q", damaged)
			n++
		}
		require.Equal(t, 1, n, "%q", damaged)
	}
	require.NoError(t, c.Set(t.Context(), strings.TrimSuffix(log, "log")+"head", "one", 0).Err())
	for _, err := range j.Changes(t.Context(), 0) {
		require.ErrorIs(t, err, redisstore.ErrFormat)
	}
}

// TestWrongTypes: a value of another type in a name of the store is damage, and so is the lack of an item's bytes. A
// change that meets it is not made in part.
func TestWrongTypes(t *testing.T) {
	c := client(t, options(start(t).addr))
	s := open(t, c, fresh())
	damage := func(ending string) {
		name := c.Keys(t.Context(), "*"+ending).Val()[0]
		require.NoError(t, c.Del(t.Context(), name).Err())
		require.NoError(t, c.SAdd(t.Context(), name, "x").Err())
	}
	require.NoError(t, s.Update(t.Context(), []string{"key"}, write("row")))
	damage(":keys")
	for _, err := range s.Keys(t.Context(), "") {
		require.ErrorIs(t, err, redisstore.ErrFormat)
	}
	j := s.Journal("topic", 0)
	change := journal.Change{Items: []journal.Item{{Name: "item"}}}
	changes := func() (err error) {
		for _, err = range j.Changes(t.Context(), 0) {
		}
		return err
	}
	dump := func(names []string) (all []string) {
		for _, name := range names {
			all = append(all, c.Dump(t.Context(), name).Val())
		}
		return all
	}
	for _, ending := range []string{":head", ":log", ":at", ":value", ":gone"} {
		require.NoError(t, c.FlushAll(t.Context()).Err())
		_, err := j.Append(t.Context(), 0, change)
		require.NoError(t, err)
		require.NoError(t, changes())
		_, err = j.Append(t.Context(), 1, journal.Change{Items: []journal.Item{{Name: "other", Gone: true}}})
		require.NoError(t, err)
		names := c.Keys(t.Context(), "*").Val()
		damage(ending)
		before := dump(names)
		_, err = j.Append(t.Context(), 2, change)
		require.ErrorIs(t, err, redisstore.ErrFormat, ending)
		require.Equal(t, before, dump(names), "a change is stored whole or not at all")
		if ending != ":gone" { // which readers do not need
			require.ErrorIs(t, changes(), redisstore.ErrFormat, ending)
		}
	}
	require.NoError(t, c.FlushAll(t.Context()).Err())
	_, err := j.Append(t.Context(), 0, change)
	require.NoError(t, err)
	require.NoError(t, c.Del(t.Context(), c.Keys(t.Context(), "*:value").Val()...).Err())
	require.ErrorIs(t, changes(), redisstore.ErrFormat)
}

// TestScriptForgotten: a server that has lost its scripts gets them again.
func TestScriptForgotten(t *testing.T) {
	c := client(t, options(start(t).addr))
	s := open(t, c, fresh())
	for i := range 3 {
		require.NoError(t, c.ScriptFlush(t.Context()).Err())
		require.NoError(t, s.Update(t.Context(), []string{"one", "two"}, write(fmt.Sprint(i))))
		row, err := s.Load(t.Context(), "two")
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), string(row))
	}
}

// TestNow: the time is the server's.
func TestNow(t *testing.T) {
	c := client(t, options(start(t).addr))
	before := c.Time(t.Context()).Val()
	now, err := open(t, c, fresh()).Now(t.Context())
	require.NoError(t, err)
	require.WithinRange(t, now, before, c.Time(t.Context()).Val())
}

// TestTLS: a ledger counts on a server that asks for TLS and a password.
func TestTLS(t *testing.T) {
	cert, key, roots := certificate(t)
	addr := freeAddr(t)
	_, port := split(t, addr)
	s := start(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert,
		"--tls-auth-clients", "no")
	require.NoError(t, client(t, options(s.addr)).ConfigSet(t.Context(), "requirepass", "secret").Err())
	o := options(addr)
	o.TLSConfig = &tls.Config{RootCAs: roots}
	_, err := redisstore.Open(t.Context(), redisstore.Config{Client: client(t, o), Namespace: "gateway"})
	require.ErrorContains(t, err, "redisstore: the server does not answer: NOAUTH")
	o = options(addr)
	o.Password, o.TLSConfig = "secret", &tls.Config{RootCAs: roots}
	l, err := ledger.New(ledger.Config{Engine: open(t, client(t, o), "gateway"), Exact: true})
	require.NoError(t, err)
	defer l.Close()
	_, err = l.Take(t.Context(), ledger.Key{Plan: "basic", Subject: "s"}, ledger.Quota{Limit: 1, Period: ledger.Daily}, 1)
	require.NoError(t, err)
}

// certificate makes one for 127.0.0.1, signed by itself.
func certificate(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(certFile, certPEM, 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, roots
}
