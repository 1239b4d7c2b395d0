package boltstore_test

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// A change of control state survives the process that made it, and says who that was.
func ExampleStore_Journal() {
	dir, err := os.MkdirTemp("", "boltstore")
	must(err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "usage.db")

	store, err := boltstore.Open(path)
	must(err)
	plans, err := journal.Follow(context.Background(), store.Journal("plans", 0), show)
	must(err)
	ctx := journal.NewContext(context.Background(), journal.Origin{Actor: "AKIDEXAMPLE", Source: "192.0.2.7"})
	must(plans.Change(ctx, "CreateUsagePlan", func(uint64) ([]journal.Item, error) {
		return []journal.Item{{Name: "gold", Value: []byte("1000 a day")}}, nil
	}))
	must(store.Close())

	store, err = boltstore.Open(path)
	must(err)
	defer store.Close()
	_, err = journal.Follow(context.Background(), store.Journal("plans", 0), show)
	must(err)
	for c, err := range store.Journal("plans", 0).History(context.Background(), "gold") {
		must(err)
		fmt.Println(c.Revision, c.Operation, "by", c.Actor, "from", c.Source)
	}
	// Output:
	// gold: 1000 a day
	// gold: 1000 a day
	// 1 CreateUsagePlan by AKIDEXAMPLE from 192.0.2.7
}

// show stands for a program that keeps the items.
func show(items iter.Seq[journal.Item], _ bool) error {
	for it := range items {
		fmt.Printf("%s: %s\n", it.Name, it.Value)
	}
	return nil
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
