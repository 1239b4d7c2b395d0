package main

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/tallygate/tallygate/usageplan/dynamostore"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// quotas returns the ledger that counts the requests of each client. It is kept in a DynamoDB table, which all
// environments share. Without a table it is in memory: then each environment admits the whole quota.
//
// In exact mode a request is counted in the table before it is served. The other mode would take units for later
// requests, and lose them with the environment, which Lambda ends without notice.
//
// The SDK finds the region, the credentials and the endpoint in the environment, where Lambda puts the first two.
func quotas(table string) (*ledger.Ledger, error) {
	if table == "" {
		return ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	account, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	store, err := dynamostore.Open(ctx, dynamostore.Config{
		Client: dynamodb.NewFromConfig(account), Table: table, Namespace: "loyalty",
	})
	if err != nil {
		return nil, err
	}
	return ledger.New(ledger.Config{Engine: store, Exact: true, Timeout: time.Second})
}
