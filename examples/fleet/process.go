package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/tallygate/tallygate/sigv4"
)

// names are those of the nodes. There are always three of them. Package redislimit has to know their number: see
// openRedis.
var names = [...]string{"a", "b", "c"}

// A node is a process of this program, with what the requests to it have been answered. One goroutine at a time uses
// it.
type node struct {
	name, api, control string // the URLs are empty until listen has returned
	cmd                *exec.Cmd
	input              io.Closer // its end tells the node to end
	output             *bufio.Reader
	killed             bool
	client             *sigv4.Signer // signs what its client sends

	admitted, throttled, exceeded int64 // the answers by which the quota is used up; see use
}

// startNode starts a process. It serves when listen has returned. These are two steps, so that all nodes can be started
// before the first is waited for.
func startNode(name string, o options) (*node, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	client, err := newSigner("execute-api", accessKey, secretKey)
	if err != nil {
		return nil, err
	}
	n := &node{name: name, client: client, cmd: exec.Command(program, "-node", name, "-stale", o.stale.String())}
	n.cmd.Env = append(os.Environ(), storeVariable+"="+o.store) // not an argument: see storeVariable
	n.cmd.Stderr = os.Stderr                                    // what a node says of its end is for the reader
	if n.input, err = n.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	n.output = bufio.NewReader(output)
	return n, n.cmd.Start()
}

// listen waits until the node serves, and takes its addresses from the line that it prints then. If the process ends
// before, it has said why on the standard error.
func (n *node) listen() error {
	line, err := n.output.ReadString('\n')
	if err != nil {
		return fmt.Errorf("node %s does not start: %w", n.name, err)
	}
	var api, control string
	if _, err := fmt.Sscanf(line, ready, &api, &control); err != nil {
		return fmt.Errorf("node %s prints %q: %w", n.name, line, err)
	}
	n.api, n.control = "http://"+api, "http://"+control
	return nil
}

// close ends the node in order: it answers the requests that have begun, and gives back the units that it holds.
func (n *node) close() error {
	if n.killed {
		return nil
	}
	return errors.Join(n.input.Close(), n.cmd.Wait())
}

// kill ends the node by kill -9. It cannot give back the units that it holds.
func (n *node) kill() {
	n.killed = true
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}

// The answers that a client expects, by the header x-amzn-ErrorType. It tells apart what a status code does not: a
// throttle and a quota both refuse with 429, and a bad signature and a bad API key both with 403.
const (
	admitted  = ""
	throttled = "TooManyRequestsException"
	exceeded  = "LimitExceededException"
	forbidden = "ForbiddenException"
	away      = "ServiceUnavailableException" // the store did not answer in time
)

// ask signs and sends one request, and returns why it was refused, or admitted. wait is what Retry-After says.
func (n *node) ask(ctx context.Context, path, key string) (why string, wait time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, n.api+path, nil)
	if err != nil {
		return "", 0, err
	}
	r.Header.Set("x-api-key", key)
	if err := n.client.Sign(r); err != nil {
		return "", 0, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", 0, err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil { // read to its end, so that the connection is used again
		return "", 0, err
	}
	why = res.Header.Get("x-amzn-ErrorType")
	// A refusal without the header is none of this API's: another server may have the port.
	if (why == admitted) != (res.StatusCode == http.StatusOK) {
		return "", 0, fmt.Errorf("node %s answers %s", n.name, res.Status)
	}
	seconds, _ := strconv.Atoi(res.Header.Get("Retry-After")) // 0 if there is none
	return why, time.Duration(seconds) * time.Second, nil
}

// use asks until the quota refuses, or until want requests were admitted, if want is not 0. It counts the answers. It
// waits as long as Retry-After says.
//
// After a 503 it asks again: the store did not answer in time. So a busy machine makes it slower, but does not change
// how many requests are admitted in the end.
func (n *node) use(ctx context.Context, key string, want int64) error {
	for {
		why, wait, err := n.ask(ctx, "/Prod/loyalty/"+customer, key)
		switch {
		case err != nil:
			return err
		case why == admitted:
			if n.admitted++; n.admitted == want {
				return nil
			}
		case why == exceeded:
			n.exceeded++
			return nil
		case why == throttled:
			n.throttled++
		case why != away:
			return fmt.Errorf("node %s refuses: %s", n.name, why)
		}
		// At least a millisecond, so that a client never asks in a loop without end and without pause.
		if why != admitted {
			if err := sleep(ctx, max(wait, time.Millisecond)); err != nil {
				return err
			}
		}
	}
}

// until asks until the answer is want, at one node. Another answer means that the node has not heard of a change yet,
// or that the throttle had no token. It takes no unit of the quota: until either ends with the first request that is
// admitted, or asks for /Prod/usage, which is not counted.
func (n *node) until(ctx context.Context, path, key, want string) error {
	return again(ctx, func() (bool, error) {
		why, _, err := n.ask(ctx, path, key)
		return why == want, err
	})
}

// again calls f until it returns true or an error. It gives up after a minute, which is far longer than a change takes
// to reach a node.
func again(ctx context.Context, f func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		done, err := f()
		if done || err != nil {
			return err
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// sleep waits for d, or until ctx ends, which is an error.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
