package boltstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
)

// The way from one machine to several: stop the gateway, and carry its file into the store that the machines will share.
// If that is interrupted, do it again: it goes on. The way back is the same, with the stores exchanged.
//
// Here, the other store is a second file. For several machines, it is that of package redisstore, for example.
func Example_copy() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "boltstore")
	must(err)
	defer os.RemoveAll(dir)
	value := serveAndDie(ctx, dir) // the gateway, which is killed

	from, err := boltstore.Open(filepath.Join(dir, "usage.db"))
	must(err)
	defer from.Close()
	spent, err := slots.Open(filepath.Join(dir, "slots"))
	must(err)
	l, err := ledger.New(ledger.Config{Engine: from, Slots: spent}) // ends what the killed one has left open
	must(err)
	must(l.Close())
	must(spent.Close())

	to, err := boltstore.Open(filepath.Join(dir, "other.db"))
	must(err)
	defer to.Close()
	must(ledger.Copy(ctx, to, from))
	for _, topic := range []string{"keys", "plans"} {
		must(journal.Copy(ctx, to.Journal(topic, 0), from.Journal(topic, 0)))
	}

	keys, err := apikey.New(apikey.Config{Journal: to.Journal("keys", 0), Pepper: pepper})
	must(err)
	client, err := keys.VerifyKey(ctx, string(value))
	fmt.Println(client.Key().Name, err)
	l, err = ledger.New(ledger.Config{Engine: to})
	must(err)
	defer l.Close()
	balance, err := l.Balance(ctx, anna, quota)
	fmt.Println("used", balance.Used, "remaining", balance.Remaining, err)
	// Output:
	// anna <nil>
	// used 3 remaining 997 <nil>
}

const pepper = apikey.Secret("thirty-two bytes from a secret store")

var (
	anna  = ledger.Key{Plan: "gold", Subject: "anna"}
	quota = ledger.Quota{Limit: 1000, Period: ledger.Monthly}
)

// serveAndDie stands for a gateway that creates a key and counts a request. It does not close its ledger, as if it had
// been killed.
func serveAndDie(ctx context.Context, dir string) apikey.Secret {
	store, err := boltstore.Open(filepath.Join(dir, "usage.db"))
	must(err)
	defer store.Close()
	files, err := slots.Open(filepath.Join(dir, "slots"))
	must(err)
	defer files.Close()
	l, err := ledger.New(ledger.Config{Engine: store, Slots: files})
	must(err)
	_, err = l.Take(ctx, anna, quota, 3)
	must(err)
	keys, err := apikey.New(apikey.Config{Journal: store.Journal("keys", 0), Pepper: pepper})
	must(err)
	value := keys.Generate()
	_, err = keys.Create(ctx, apikey.Key{Name: "anna", Enabled: true}, value)
	must(err)
	return value
}
