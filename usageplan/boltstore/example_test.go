package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A count that outlives the process.
func Example() {
	dir, err := os.MkdirTemp("", "ledger")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	for range 2 {
		store, err := boltstore.Open(filepath.Join(dir, "usage.db"), boltstore.Config{})
		if err != nil {
			panic(err)
		}
		l, err := ledger.New(ledger.Config{Store: store})
		if err != nil {
			panic(err)
		}
		charge, err := l.Take(context.Background(), ledger.Key{Plan: "basic", Subject: "ann"}, ledger.Quota{Limit: 10, Period: ledger.Monthly}, 3)
		fmt.Println(charge.Balance().Remaining, err)
		if err := errors.Join(l.Close(), store.Close()); err != nil { // in this order
			panic(err)
		}
	}
	// Output:
	// 7 <nil>
	// 4 <nil>
}

// Who did what?
func ExampleStore_Entries() {
	dir, err := os.MkdirTemp("", "ledger")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	store, err := boltstore.Open(filepath.Join(dir, "usage.db"), boltstore.Config{})
	if err != nil {
		panic(err)
	}
	defer store.Close()
	l, err := ledger.New(ledger.Config{Store: store})
	if err != nil {
		panic(err)
	}
	defer l.Close()
	ctx := context.Background()
	gift := ledger.Adjustment{ID: "ticket-812", Delta: 50, Reason: "outage on Monday", Actor: "support/bo"}
	if _, err := l.Extend(ctx, ledger.Key{Plan: "basic", Subject: "ann"}, ledger.Quota{Limit: 10, Period: ledger.Monthly}, gift); err != nil {
		panic(err)
	}
	for e, err := range store.Entries(ctx, 0) {
		fmt.Println(e.Kind, e.Granted, e.ID, e.Reason, e.Actor, err)
	}
	// Output:
	// extend 50 ticket-812 outage on Monday support/bo <nil>
}

// Does the file add up? A commit may have to wait for the answer, so this is for a quiet hour, and not for long.
func ExampleStore_Check() {
	dir, err := os.MkdirTemp("", "ledger")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	store, err := boltstore.Open(filepath.Join(dir, "usage.db"), boltstore.Config{})
	if err != nil {
		panic(err)
	}
	defer store.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	switch err := store.Check(ctx); {
	case errors.Is(err, boltstore.ErrFormat):
		fmt.Println("put back the last backup:", err)
	case err != nil:
		fmt.Println("not checked:", err)
	default:
		fmt.Println("every balance is the sum of its entries")
	}
	// Output: every balance is the sum of its entries
}

// Two processes cannot count in one file: the second one is told at once, instead of both counting wrong.
func Example_incorrectTwoOpeners() {
	dir, err := os.MkdirTemp("", "ledger")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "usage.db")
	first, err := boltstore.Open(path, boltstore.Config{})
	if err != nil {
		panic(err)
	}
	defer first.Close()
	_, err = boltstore.Open(path, boltstore.Config{})
	fmt.Println(errors.Is(err, boltstore.ErrLocked))
	// Output: true
}
