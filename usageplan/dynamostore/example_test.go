package dynamostore_test

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/dynamostore"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A program opens a store with the options of the client that the package documentation explains. Its ledger and its
// API keys are the same as those of each other program over this table and namespace.
func ExampleOpen() {
	ctx := context.Background()
	var account aws.Config // of config.LoadDefaultConfig, from the SDK's module config
	client := dynamodb.NewFromConfig(account, func(o *dynamodb.Options) {
		o.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = 50
		})
	})
	config := dynamostore.Config{Client: client, Table: "tallygate", Namespace: "gateway"}
	must(dynamostore.Create(ctx, config)) // only where the program may make tables
	store, err := dynamostore.Open(ctx, config)
	must(err)
	defer store.Close() // the client stays the program's

	l, err := ledger.New(ledger.Config{Engine: store, Timeout: 250 * time.Millisecond})
	must(err)
	defer l.Close()
	_, err = l.Take(ctx, ledger.Key{Plan: "gold", Subject: "anna"}, ledger.Quota{Limit: 1000, Period: ledger.Monthly}, 1)
	must(err)

	keys, err := apikey.New(apikey.Config{
		Journal: store.Journal("keys", 0), Pepper: pepper,
		Follow:   true,            // what another program changes acts here within a second
		MaxStale: 5 * time.Second, // without the server, keys are refused after this time
	})
	must(err)
	defer keys.Close()
	_, err = keys.Create(ctx, apikey.Key{Name: "anna", Enabled: true}, keys.Generate())
	must(err)
}

const pepper = apikey.Secret("thirty-two bytes from a secret store")

// The way from one machine to several: stop the gateway, and carry its file into the store that the machines share. If
// that is interrupted, do it again: it goes on. Both copies are compared before they return nil. The way back is the
// same, with from and to exchanged.
func Example_copy() {
	ctx := context.Background()
	var client *dynamodb.Client // as in the example of Open
	from, err := boltstore.Open("/var/lib/gateway/usage.db")
	must(err)
	defer from.Close()
	to, err := dynamostore.Open(ctx, dynamostore.Config{Client: client, Table: "tallygate", Namespace: "gateway"})
	must(err)
	defer to.Close()
	must(ledger.Copy(ctx, to, from))
	for _, topic := range []string{"keys", "plans"} {
		must(journal.Copy(ctx, to.Journal(topic, 0), from.Journal(topic, 0)))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
