// Package dynamostore keeps a ledger and journals in an Amazon DynamoDB table that several processes share.
//
//	client := dynamodb.NewFromConfig(aws, func(o *dynamodb.Options) {
//		o.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
//			t.MaxIdleConnsPerHost = 50
//		})
//	})
//	config := dynamostore.Config{Client: client, Table: "tallygate", Namespace: "gateway"}
//	err = dynamostore.Create(ctx, config) // makes the table; only where the program may
//	store, err := dynamostore.Open(ctx, config)
//	defer store.Close()
//	l, err := ledger.New(ledger.Config{Engine: store, Timeout: 250 * time.Millisecond})
//	defer l.Close()
//	keys, err := apikey.New(apikey.Config{
//		Journal: store.Journal("keys", 0), Pepper: pepper,
//		Follow: true, MaxStale: 5 * time.Second, // follows what other processes change; on Lambda, MaxStale alone
//	})
//	defer keys.Close()
//
// # How it works
//
// Each row is an item with a version, and is written only if it still has the version that was read. So no process
// holds a lock, and a process that dies leaves none behind. A commit of the ledger reads its rows with one request for
// each hundred of them. It writes each row with one request, up to 50 at a time. It takes one round trip more each time
// that others change the same rows at the same time.
//
// A write that depends on what was read is sent once, whatever the client's retries are. It is sent again only after an
// answer that there were too many requests, because then nothing was done. If the answer to a write is lost, Update
// returns an error. Then the row is either unchanged or as it should become. The ledger repeats its batch, and the row
// recognises a batch that it already has.
//
// The code of a journal is larger than an adapter. A transaction of DynamoDB has at most 100 items, and a change may
// have 10 000. So one write makes the change, that of the journal's head. The change is settled after that: it is
// entered into the log and into a version of each item. If a process ends in between, the next writer does this. The
// versions of an item are its history, and the last ones of all items are a snapshot.
//
// # What survives
//
// DynamoDB has no setting that makes a confirmed write less durable. In two cases this package cannot keep its
// promises:
//
//   - A global table with eventual consistency: two Regions could admit the same units. [Open] refuses it.
//   - A table that is restored from a backup loses what came after it, in the ledger and in the journals.
//
// # Clocks
//
// Periods begin by DynamoDB's clock. The store reads it from the Date of an answer when a ledger begins an account. If
// this machine's clock differs by more than five seconds, no account begins here until the clock is set right: the
// ledger refuses with ledger.ErrUnavailable and [ErrClock]. Accounts that have begun go on.
//
// # Requests that are sent twice
//
// Below the SDK's retries, the HTTP client must not send a request again by itself, as some do. A write that arrives
// twice is recognised by its token, but not if another process has written in between.
//
// # Options of the client
//
//   - MaxIdleConnsPerHost: 50 keeps the connections of a large commit. The SDK's default keeps ten, and the others are
//     made again each time.
//   - RetryMaxAttempts: how often a request that only reads is sent, by default four times. With that, the first error
//     of a server that is gone came after 80 to 150 ms, or when the context ended. With 1, it came within a
//     millisecond.
//
// Each call ends with its context, so give the ledger a short Timeout. With contexts of 10 ms and a server that hung,
// calls ended after 10 to 11 ms. These are measurements on one machine.
//
// With RetryMaxAttempts 1 and a Timeout of 5 ms in the ledger, over dynalite, the first take that got an error lasted
// 5.3 to 5.7 ms when the server hung, and 0.5 to 0.8 ms when it had been killed. In an outage, later takes need no
// answer of the server; see Failure of package ledger. They were refused in 0.3 µs, at the 99th percentile in 3.5 to
// 4.4 µs. The benchmark Outage in usageplan/_bench measured this on two processors that had other work too. DynamoDB
// itself takes some milliseconds for a write, so the Timeout must be longer there.
//
// # What it costs
//
// A commit of the ledger reads each of its rows consistently, and writes it: a write unit for each KB. A write that was
// too late costs the same. Decisions on one key share a commit. In one run with 64 goroutines:
//
//	          exact: writes for 2 000 decisions    leased: writes for 64 000 decisions
//	1 key                                    35                                      9
//	64 keys                               1 828                                    402
//
// Rows are spread over 16 partition keys, each of which takes 1 000 write units a second at first.
//
// [Store.Keys] makes 16 requests, and one more for each megabyte. It does not read keys without the prefix, but
// DynamoDB bills the rows of the keys that it yields, not only the keys. A snapshot of a journal reads each version of
// an item whose record is kept.
//
// A change of one small item in a journal costs a read and four writes. To read further changes costs one request for
// about each megabyte, and one more for each 100 parts of large changes. A process that follows a journal reads its
// head four times a second, or more often with a MaxStale below one second: 10.4 million read units a month.
//
// # From one machine to several
//
// [ledger.Copy] and [journal.Copy] carry the file of package boltstore into the store, and back. They may be
// interrupted and called again. At the end they compare both sides. The example Copy is the whole program: ten lines of
// Go.
//
// A ledger that had Slots keeps them: each process has its own folder, on its machine. If a process is killed, its
// successor finds there what its leases had spent, so no units are wasted; see package slots. The program
// examples/fleet has all that three processes need: the ledger, keys and plans that follow their journals, throttles,
// and the control plane.
//
// # Rights and TLS
//
// The program needs these actions; [Create] needs more, which its documentation lists:
//
//	{"Effect": "Allow", "Resource": "arn:aws:dynamodb:eu-west-1:111122223333:table/tallygate", "Action": [
//	    "dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:DescribeTable", "dynamodb:GetItem",
//	    "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"]}
//
// TLS and credentials are those of the client. A program that can write to the table can change what is counted.
//
// # What is tested
//
// The contracts of engines and journals, crashes, hangs, answers that are cut in the middle and TLS, all against
// dynalite 4.0, an independent implementation of DynamoDB's protocol. DynamoDB itself has not been tested: its
// throughput, its limits for each second, its deletion of expired items and its check of credentials.
//
// # Errors
//
//   - [ErrClosed]: the store was closed.
//   - [ErrFormat]: an item of the table is damaged, or another program has written it. Other items can still be used.
//   - [ErrClock]: this machine's clock differs from DynamoDB's. Set it right.
//   - [ErrTable]: an error of [Open] and [Create]. The message says what is wrong with the table.
//   - Any other error is that of the context, of package journal, of the SDK or of DynamoDB. If a write failed so, it
//     is unknown whether the change was made.
package dynamostore
