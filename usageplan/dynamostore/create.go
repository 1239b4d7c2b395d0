package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Create makes the table, billed by request, and waits until it can be used: until ctx ends, for at most five minutes.
// It changes nothing if the table is there, except that it tells DynamoDB to delete expired items. So each start of a
// program may call it, also several at once. One table serves any number of namespaces. Open does not call it, because
// it needs rights that a program in production should not have: CreateTable, DescribeTable, DescribeTimeToLive and
// UpdateTimeToLive.
//
// The error joins all mistakes of the configuration. It wraps [ErrTable] if a table of this name cannot be used.
//
// A table that is made in another way, for example by CloudFormation, needs a partition key "p" of type S, a sort key
// "s" of type B, and the attribute "x" for its time to live.
func Create(ctx context.Context, c Config) error {
	if err := c.validate(); err != nil {
		return err
	}
	s := c.store()
	err := s.createTable(ctx)
	if err == nil {
		err = s.check(ctx)
	}
	if err == nil {
		err = s.createExpiry(ctx)
	}
	if err != nil {
		return fmt.Errorf("dynamostore: create: %w", err)
	}
	return nil
}

// createTable makes the table unless it is there, and waits until it is active.
func (s *Store) createTable(ctx context.Context) error {
	_, err := s.client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName:   &s.table,
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(attrPartition), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(attrSort), AttributeType: types.ScalarAttributeTypeB},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String(attrPartition), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String(attrSort), KeyType: types.KeyTypeRange},
		},
	})
	// Another process may have made the table, a moment ago or long ago. check then looks at its keys.
	if _, exists := errors.AsType[*types.ResourceInUseException](err); err != nil && !exists {
		return err
	}
	// A new table takes some seconds. The waiter's own shortest pause is 20 seconds.
	waiter := dynamodb.NewTableExistsWaiter(s.client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 250*time.Millisecond, 5*time.Second
	})
	return waiter.Wait(ctx, &dynamodb.DescribeTableInput{TableName: &s.table}, 5*time.Minute)
}

// createExpiry makes DynamoDB delete items some time after they have expired. It asks first whether DynamoDB does so
// already, because to set it twice is an error.
func (s *Store) createExpiry(ctx context.Context) error {
	out, err := s.client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &s.table})
	if err != nil {
		return err
	}
	switch d := out.TimeToLiveDescription; d.TimeToLiveStatus {
	case types.TimeToLiveStatusEnabled, types.TimeToLiveStatusEnabling:
		if name := aws.ToString(d.AttributeName); name != attrExpires {
			return fmt.Errorf("%w: its time to live is the attribute %q, not %q", ErrTable, name, attrExpires)
		}
		return nil
	}
	_, err = s.client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName: &s.table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: aws.String(attrExpires), Enabled: aws.Bool(true),
		},
	})
	return err
}
