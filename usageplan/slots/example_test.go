package slots_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
)

func Example() {
	dir, err := os.MkdirTemp("", "slots")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	files, err := slots.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer files.Close() // after the ledger
	l, err := ledger.New(ledger.Config{Engine: ledger.NewMemory(), Slots: files})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	anna, quota := ledger.Key{Plan: "gold", Subject: "anna"}, ledger.Quota{Limit: 1000, Period: ledger.Monthly}
	if _, err := l.Take(context.Background(), anna, quota, 3); err != nil {
		log.Fatal(err)
	}
	_, err = slots.Open(dir)
	fmt.Println(err != nil) // the folder serves one ledger
	// Output: true
}
