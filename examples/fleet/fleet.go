package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
)

// A fleet is all nodes, and the owner, who uses the control plane of the first.
type fleet struct {
	options           // the quota is what the owner has set last
	out     io.Writer // for what a reader sees; errors go back to main
	nodes   []*node   // in the order of names; the first one is the owner's
	owner   *owner    // nil until its control plane is known
}

// startFleet starts the nodes, has the owner make a plan and a key, and waits until each node knows them. The caller
// closes the fleet, even after an error: some nodes may run then.
func startFleet(ctx context.Context, o options, out io.Writer) (*fleet, error) {
	f := &fleet{options: o, out: out}
	for _, name := range names {
		n, err := startNode(name, o)
		if err != nil {
			return f, err
		}
		f.nodes = append(f.nodes, n)
	}
	for _, n := range f.nodes {
		if err := n.listen(); err != nil {
			return f, err
		}
		f.print("Node %s: API %s, control plane %s\n", n.name, n.api, n.control)
	}
	var err error
	if f.owner, err = newOwner(f.nodes[0].control); err != nil {
		return f, err
	}
	if err := f.owner.create(ctx, o); err != nil {
		return f, err
	}
	where := "of all nodes together" // the throttle; the quota is that in any case
	if !strings.HasPrefix(o.store, "redis") {
		where = "on each node, because this store keeps no throttle"
	}
	f.print("\nThe owner has made a plan and a key on node a, and the others have heard of them:\n"+
		"%d requests a day of all nodes together; %v a second and %d at once %s\n", o.quota, o.rate, o.burst, where)
	// The owner's changes are in the store's journals, and each node reads them there. How long that takes is not known,
	// so each node is asked until it knows the key. A request for the usage is not counted: the quota is still whole then.
	for _, n := range f.nodes {
		if err := n.until(ctx, "/Prod/usage", f.owner.value, admitted); err != nil {
			return f, err
		}
	}
	return f, nil
}

// close removes what the owner has made, and then ends the nodes: the owner needs one of them. It goes on after an
// error, so that no process is left.
func (f *fleet) close(ctx context.Context) error {
	var errs []error
	if f.owner != nil {
		errs = append(errs, f.owner.remove(ctx))
	}
	for _, n := range f.nodes {
		errs = append(errs, n.close())
	}
	return errors.Join(errs...)
}

// print writes for the reader. That the reader has gone away is no reason to stop.
func (f *fleet) print(format string, args ...any) { _, _ = fmt.Fprintf(f.out, format, args...) }

// show runs the steps that the program is for. Each begins where the one before has ended.
func (f *fleet) show(ctx context.Context) error {
	for _, step := range []func(context.Context) error{f.useQuota, f.raiseQuota, f.disableKey} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// useQuota has a client at each node ask until the quota refuses it. With -kill, node b is killed when it has
// admitted a fifth of the quota, or has nothing more to admit.
//
// No request is under way at node b then, so its client knows all that was admitted there. Units that the store has
// granted and no client has got were held by the killed node. For example, the quota is 10 and nothing of it remains.
// The clients were admitted 4, 2 and 3 times. So one unit was wasted.
func (f *fleet) useQuota(ctx context.Context) error {
	errs := make([]error, len(f.nodes)) // one for each goroutine, so they need no lock
	var clients sync.WaitGroup
	for i, n := range f.nodes {
		clients.Go(func() {
			if !f.kill || n.name != "b" {
				errs[i] = n.use(ctx, f.owner.value, 0)
				return
			}
			errs[i] = n.use(ctx, f.owner.value, max(f.quota/5, 1)) // early, so that it still holds units
			n.kill()
		})
	}
	clients.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	f.print("\nA client at each node signs its requests, and asks until the quota refuses it:\n")
	total := f.table()
	// What a node that is alive has taken in advance is not lost, and is not left either. Here they hold nothing: the
	// quota has refused all of them, or -kill has ended them.
	left, err := f.owner.remaining(ctx)
	if err == nil && f.kill { // the quota is what is left, what was admitted, and what was wasted
		f.print("Node b was killed. Units granted to it and not used: %d\n", f.quota-left-total)
	}
	return err
}

// table prints what each node has answered, and returns how many requests were admitted.
func (f *fleet) table() (total int64) {
	w := tabwriter.NewWriter(f.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "node\tadmitted\tthrottled\tover quota")
	var waited, over int64 // in all
	for _, n := range f.nodes {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\n", n.name, n.admitted, n.throttled, n.exceeded)
		total, waited, over = total+n.admitted, waited+n.throttled, over+n.exceeded
	}
	_, _ = fmt.Fprintf(w, "all\t%d\t%d\t%d\tof a quota of %d\n", total, waited, over, f.quota)
	_ = w.Flush()
	return total
}

// alive returns the nodes that were not killed, in reverse order. Node a comes last. It knows what the owner changes at
// once, so asking the others first shows that they really hear of it.
func (f *fleet) alive() (alive []*node) {
	for i := range f.nodes {
		if n := f.nodes[len(f.nodes)-1-i]; !n.killed {
			alive = append(alive, n)
		}
	}
	return alive
}

// raiseQuota raises the quota on node a by one for each node. Each of them then admits one more request. The client
// asks each node only until it has admitted one, so that none takes the unit of another.
func (f *fleet) raiseQuota(ctx context.Context) error {
	f.quota += int64(len(f.alive())) // so that each node that is left gets one
	limit := strconv.FormatInt(f.quota, 10)
	f.command("The owner raises the quota on node a",
		"update-usage-plan --usage-plan-id "+f.owner.plan, "/quota/limit", limit)
	if err := f.owner.patch(ctx, "/usageplans/"+f.owner.plan, "replace", "/quota/limit", limit); err != nil {
		return err
	}
	for _, n := range f.alive() {
		if err := n.until(ctx, "/Prod/loyalty/"+customer, f.owner.value, admitted); err != nil {
			return err
		}
		n.admitted++ // until counts nothing
	}
	f.table()
	return nil
}

// disableKey disables the key on node a, and waits until each node refuses it.
func (f *fleet) disableKey(ctx context.Context) error {
	f.command("The owner disables the key on node a", "update-api-key --api-key "+f.owner.key, "/enabled", "false")
	if err := f.owner.patch(ctx, "/apikeys/"+f.owner.key, "replace", "/enabled", "false"); err != nil {
		return err
	}
	for _, n := range f.alive() {
		if err := n.until(ctx, "/Prod/usage", f.owner.value, forbidden); err != nil {
			return err
		}
		f.print("Node %s refuses it.\n", n.name)
	}
	return nil
}

// command prints what the owner does next as a command of aws-cli. The program sends the same request itself, so it
// runs without aws-cli.
func (f *fleet) command(what, verb, path, value string) {
	f.print("\n%s:\n  aws apigateway --endpoint-url %s %s \\\n    --patch-operations op=replace,path=%s,value=%s\n",
		what, f.owner.control, verb, path, value)
}
