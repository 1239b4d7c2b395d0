// Fleet runs three processes of the loyalty API behind one quota and one throttle, each with the control plane. They
// share a store: Redis, PostgreSQL or DynamoDB.
//
//	go run .                                        # starts a redis-server of its own, in a temporary folder
//	go run . -store postgres://user@host/database
//	go run . -store dynamodb://table                # region, credentials and endpoint as for aws-cli
//	go run . -kill                                  # ends one process by kill -9 in the middle
//	go run . -hold                                  # prints commands for curl and aws-cli, and waits
//
// A run has four steps. Each ends with what the nodes have answered:
//
//  1. The owner makes a usage plan and an API key on node a. All nodes hear of them.
//  2. A client at each node asks until the quota refuses it. A table shows which node has admitted how much.
//  3. The owner raises the quota on node a. Each node admits one more request.
//  4. The owner disables the key on node a. Each node refuses it.
//
// The nodes together never admit more than the quota, over any store. If the store is Redis, they share one throttle.
// Otherwise each node has a throttle of its own, so together they admit up to three times as much.
//
// Read node.go first: it is what a service of your own needs. store.go opens the store. The other files start the
// nodes, and play the clients and the owner. The points have the guards of the tutorial: a signature, an API key and a
// usage plan. Package examples/loyalty has more: a rate rule in front of everything, and a user pool.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// options are the flags of the command line. A node is a process of this program that was started with -node and
// -stale.
type options struct {
	store, node string        // the address of the store; the name of the node, or "" for the program that starts the nodes
	kill, hold  bool          // hold wins: with it the program asks nothing, and kills nothing
	quota       int64         // a day, of all nodes together
	rate        float64       // tokens a second
	burst       int64         // tokens
	stale       time.Duration // MaxStale of the nodes
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "fleet:", strings.ReplaceAll(err.Error(), "\n", "; "))
		os.Exit(1)
	}
}

// parse reads the flags. -node and -stale are also how startNode passes options to a node; the address of the store
// comes in storeVariable then.
func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	flags.StringVar(&o.store, "store", "",
		"redis://…, postgres://… or dynamodb://TABLE (default $"+storeVariable+", or a redis-server of its own)")
	flags.StringVar(&o.node, "node", "", "run one node of this name, until the standard input ends")
	flags.BoolVar(&o.kill, "kill", false, "end node b by kill -9 in the middle")
	flags.BoolVar(&o.hold, "hold", false, "start the nodes, print commands for them, and wait")
	flags.Int64Var(&o.quota, "quota", 10, "requests a day, of all nodes together")
	flags.Float64Var(&o.rate, "rate", 5, "requests a second, of all nodes together")
	flags.Int64Var(&o.burst, "burst", 5, "how many of them at once")
	flags.DurationVar(&o.stale, "stale", 10*time.Second,
		"a node that cannot hear for so long refuses with 503; 0 goes on")
	if err = flags.Parse(args); err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err == nil && (o.burst < 1 || !(o.rate > 0)) { // the clients ask until the quota refuses them
		err = fmt.Errorf("-rate %v with -burst %d admits nothing: both have to be above 0", o.rate, o.burst)
	}
	o.store = cmp.Or(o.store, os.Getenv(storeVariable))
	return o, err
}

// run is one node, or all of the rest: a server if no store is given, the nodes, and what they show. What it has
// started ends in the reverse order, also after an error and after Ctrl-C.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.node != "" {
		return runNode(ctx, o, out)
	}
	if o.store == "" {
		address, stop, err := startRedis(ctx)
		if err != nil {
			return err
		}
		defer stop()
		o.store = address
	}
	s, err := openStore(ctx, o.store, true) // makes the tables, once, before the nodes need them
	if err != nil {
		return err
	}
	if err := s.close(); err != nil {
		return err
	}
	f, err := startFleet(ctx, o, out)
	defer func() { err = errors.Join(err, f.close(context.WithoutCancel(ctx))) }() // Ctrl-C must not stop this
	if err != nil {
		return err
	}
	if o.hold {
		f.hold(ctx)
		return nil
	}
	return f.show(ctx)
}
