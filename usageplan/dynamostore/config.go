package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Config says which table a [Store] uses.
type Config struct {
	// Client makes the requests. Required. It stays the caller's. See the package documentation for its options.
	Client *dynamodb.Client

	// Table is the name or the ARN of the table. Required. See [Create].
	Table string

	// Namespace begins the partition key of each item. Required: 1 to 64 letters, digits and ".-_:". Stores with one
	// namespace in one table are the same store, so all programs that share a ledger have the same namespace.
	Namespace string
}

// Open returns a store over c.Table. It asks for the description of the table, and writes nothing. The table must be
// there: see [Create].
//
// The error joins all mistakes of the configuration. If there are none, it wraps [ErrTable] for each mistake of the
// table, or it is that of the server.
func Open(ctx context.Context, c Config) (*Store, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	s := c.store()
	if err := s.check(ctx); err != nil {
		return nil, fmt.Errorf("dynamostore: open: %w", err)
	}
	return s, nil
}

// store returns a store that has not looked at its table yet.
func (c Config) store() *Store {
	return &Store{client: c.Client, table: c.Table, name: c.Namespace, sender: newSender(), closed: make(chan struct{})}
}

// namespaces are the names that Config allows. A name may have colons, as no code splits a partition key at them. What
// follows the namespace has one of four forms, such as ":row:9", so no namespace can have the items of another.
var namespaces = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

// validate reports every mistake of c at once.
func (c Config) validate() error {
	var errs []error
	if c.Client == nil {
		errs = append(errs, errors.New("dynamostore: no client"))
	}
	if c.Table == "" {
		errs = append(errs, errors.New("dynamostore: no table"))
	}
	if !namespaces.MatchString(c.Namespace) {
		errs = append(errs, fmt.Errorf("dynamostore: namespace %.70q is not 1 to 64 letters, digits and .-_: signs",
			c.Namespace))
	}
	return errors.Join(errs...)
}

// check returns an error unless the table can be used.
func (s *Store) check(ctx context.Context) error {
	out, err := s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.table})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return fmt.Errorf("%w: there is no table %q; call Create", ErrTable, s.table)
	}
	if err != nil {
		return err
	}
	return checkTable(out.Table)
}

// checkTable reports everything that makes a table unusable. It accepts a table without a time to live: expired items
// then cost storage, and harm nothing. To ask for it would need one more right.
func checkTable(t *types.TableDescription) error {
	var errs []error
	// A table that is being updated, for example to another throughput, still serves requests.
	if t.TableStatus != types.TableStatusActive && t.TableStatus != types.TableStatusUpdating {
		errs = append(errs, fmt.Errorf("%w: its status is %s", ErrTable, t.TableStatus))
	}
	if !hasKeys(t) {
		errs = append(errs, fmt.Errorf("%w: its keys are not p, a string, and s, binary; use one that Create has made",
			ErrTable))
	}
	if len(t.Replicas) > 0 && t.MultiRegionConsistency != types.MultiRegionConsistencyStrong {
		errs = append(errs, fmt.Errorf(`%w: it is a global table without strong consistency; two Regions could then `+
			`admit the same units, and the later write would replace the earlier one`, ErrTable))
	}
	return errors.Join(errs...)
}

// hasKeys reports whether the keys of the table are those of Create. Other attributes and indexes do no harm.
func hasKeys(t *types.TableDescription) bool {
	kinds := make(map[string]types.ScalarAttributeType)
	for _, a := range t.AttributeDefinitions {
		kinds[*a.AttributeName] = a.AttributeType
	}
	roles := make(map[types.KeyType]string)
	for _, k := range t.KeySchema {
		roles[k.KeyType] = *k.AttributeName
	}
	return roles[types.KeyTypeHash] == attrPartition && kinds[attrPartition] == types.ScalarAttributeTypeS &&
		roles[types.KeyTypeRange] == attrSort && kinds[attrSort] == types.ScalarAttributeTypeB
}
