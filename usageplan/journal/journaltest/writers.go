package journaltest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// testWait: a waiter is woken by the change that it waits for, and by no other. It gives up with its context.
//
// Finds: a Wait that never returns, that returns for one of several waiters, for a change too early, or only for a
// change that comes after the call; one that does not end with its context, or ends without an error.
func testWait(t *testing.T, open opener) {
	m := open(0)
	woken := []<-chan error{m.wait(t.Context(), 0, 0, 0, 0, 0), m.wait(t.Context(), 1, 1, 1, 1, 1)}
	for after := range woken {
		time.Sleep(settle)
		if len(woken[after]) > 0 {
			t.Errorf("Wait after %d returns at the head %d: %v", after, m.head.Load(), <-woken[after])
		}
		m.append(put("x", "1"))
		for range cap(woken[after]) {
			if err := receive(t, woken[after]); err != nil {
				t.Errorf("Wait after %d, when it is over: %v", after, err)
			}
		}
		for below := range m.head.Load() {
			if err := receive(t, m.wait(t.Context(), below)); err != nil {
				t.Errorf("Wait after %d, when the head is %d: %v", below, m.head.Load(), err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	if err := receive(t, m.wait(ctx, m.head.Load())); err == nil {
		t.Error("Wait whose context has ended: no error")
	}
}

// wait returns a channel with the error of one Wait, or of several.
func (m *model) wait(ctx context.Context, after ...uint64) <-chan error {
	woken := make(chan error, len(after))
	for _, after := range after {
		go func() { woken <- m.Wait(ctx, after) }()
	}
	return woken
}

// receive returns what comes, and fails if nothing comes in time.
func receive(t *testing.T, c <-chan error) error {
	t.Helper()
	select {
	case err := <-c:
		return err
	case <-time.After(wakes):
		t.Fatal("Wait does not return")
		return nil
	}
}

// testTopics: two journals know nothing of each other.
//
// Finds: topics that share a head, items with a name in common, or those that wait.
func testTopics(t *testing.T, open opener) {
	a, b := open(0), open(0)
	a.append(put("x", "a"))
	b.check()
	b.append(put("x", "b"))
	b.append(gone("x"))
	a.check()
	b.check()
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	if err := a.Wait(ctx, 1); err == nil {
		t.Error("Wait is woken by a change of another journal")
	}
	a.append(put("x", "c"))
	a.check()
	b.check()
}

// testRace: of several writers at one head one lands, and the others are told that they are behind.
//
// Finds: a journal that compares the head in one step and stores in another; one that answers a conflict of its
// database with an error of its own.
func testRace(t *testing.T, open opener) {
	m := open(0)
	for range 20 {
		after := m.head.Load()
		errs := make(chan error, 8)
		start := make(chan struct{})
		for i := range cap(errs) {
			go func() {
				<-start
				_, err := m.Append(t.Context(), after, journal.Change{
					Time: time.Now(), Items: []journal.Item{put("x", fmt.Sprint(i)), put(fmt.Sprint("y", i), "")},
				})
				errs <- err
			}()
		}
		close(start)
		landed := 0
		for range cap(errs) {
			switch err := <-errs; {
			case err == nil:
				landed++
			case !errors.Is(err, journal.ErrBehind):
				t.Errorf("Append of one of several writers: %v", err)
			}
		}
		if landed != 1 {
			t.Fatalf("%d of %d writers at one head have landed", landed, cap(errs))
		}
		m.head.Add(1)
	}
	after := m.head.Load()
	revision, err := m.Append(t.Context(), after, journal.Change{Time: time.Now(), Items: []journal.Item{put("x", "")}})
	if err != nil || revision != after+1 {
		t.Errorf("Append after %d changes: got revision %d, %v", after, revision, err)
	}
}

// node is a program that follows a journal: it keeps the items.
type node struct {
	*journal.Topic
	items map[string]string
}

// follow returns a node that has read to the head.
func follow(t *testing.T, j journal.Journal) (n *node) {
	t.Helper()
	err := repeat(func() (err error) {
		n = &node{items: make(map[string]string)}
		n.Topic, err = journal.Follow(t.Context(), j, n.apply)
		return err
	})
	if err != nil {
		t.Fatalf("Follow: %v", err)
	}
	return n
}

// repeat calls f until it succeeds. A bad connection does not fail 100 times in a row by chance.
func repeat(f func() error) (err error) {
	for range 100 {
		if err = f(); err == nil {
			return nil
		}
	}
	return err
}

func (n *node) apply(items iter.Seq[journal.Item], reset bool) error {
	if reset {
		clear(n.items)
	}
	for it := range items {
		take(n.items, []journal.Item{it})
	}
	return nil
}

// count adds one to the item "count", and puts a token that must not be there, in one change.
func (n *node) count(ctx context.Context, token string) error {
	return n.Change(ctx, "Count", func(uint64) ([]journal.Item, error) {
		if _, twice := n.items[token]; twice {
			return nil, fmt.Errorf("%s is there before it is put", token)
		}
		count, _ := strconv.Atoi(n.items["count"])
		runtime.Gosched() // others decide from the same state
		return []journal.Item{put("count", strconv.Itoa(count+1)), put(token, "")}, nil
	})
}

// testWriters: each of many increments of one item lands exactly once, by two writers and by many.
//
// Finds: a change that is written over another; one that is stored and answered with ErrBehind, and so made twice.
func testWriters(t *testing.T, open opener) {
	for _, writers := range []int{2, 8} {
		m := open(0)
		var wg sync.WaitGroup
		for w := range writers {
			n := follow(t, m.Journal)
			wg.Go(func() {
				for i := range 20 {
					if err := n.count(t.Context(), fmt.Sprint(w, " ", i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := follow(t, m.Journal); n.items["count"] != fmt.Sprint(writers*20) || len(n.items) != writers*20+1 {
			t.Errorf("%d writers made 20 changes each: got count %s and %d tokens", writers, n.items["count"], len(n.items)-1)
		}
	}
}

// set puts a token or removes it, unless it is so already, and keeps the item "count" right in the same change.
func (n *node) set(ctx context.Context, token string, there bool) error {
	return n.Change(ctx, "Set", func(uint64) ([]journal.Item, error) {
		count, _ := strconv.Atoi(n.items["count"])
		runtime.Gosched()
		switch _, is := n.items[token]; {
		case is == there:
			return nil, nil
		case there:
			return []journal.Item{put("count", strconv.Itoa(count+1)), put(token, "")}, nil
		default:
			return []journal.Item{gone(token), put("count", strconv.Itoa(count-1))}, nil
		}
	})
}

// testLost has several nodes change one journal, each by a connection that loses requests and answers. What was
// acknowledged is so, what was not is made once or not at all, and all nodes are equal in the end. In the second round
// records go at once, so that a node that has missed a change gets a snapshot.
//
// Finds: a change that is acknowledged and not stored, or stored in part; one that lands although its writer has not
// seen the change before.
func testLost(t *testing.T, open opener) {
	for _, retain := range []time.Duration{0, time.Nanosecond} {
		m := open(retain)
		nodes, acknowledged := make([]*node, 4), make([]map[string]bool, 4)
		var wg sync.WaitGroup
		for i := range nodes {
			nodes[i] = follow(t, Lossy(m.Journal, uint64(i)))
			acknowledged[i] = make(map[string]bool)
			wg.Go(func() { changeTokens(t, nodes[i], i, acknowledged[i]) })
		}
		wg.Wait()
		want := follow(t, m.Journal).items
		if count, _ := strconv.Atoi(want["count"]); count != len(want)-1 {
			t.Errorf("%d tokens are there, and the count is %d", len(want)-1, count)
		}
		for i, n := range nodes {
			if err := repeat(func() error { return n.Refresh(t.Context()) }); err != nil {
				t.Errorf("node %d: Refresh: %v", i, err)
			}
			if !maps.Equal(n.items, want) {
				t.Errorf("node %d: got %s; want %s", i, show(n.items), show(want))
			}
			for token, there := range acknowledged[i] {
				if _, is := n.items[token]; is != there {
					t.Errorf("%s: is there %t; it was acknowledged that it is there %t", token, is, there)
				}
			}
		}
	}
}

// changeTokens puts tokens that no other node has, and removes some of them again. It notes what is acknowledged.
func changeTokens(t *testing.T, n *node, id int, acknowledged map[string]bool) {
	for k := range 50 {
		token, there := fmt.Sprint(id, " ", k), true
		if k%3 == 2 {
			token, there = fmt.Sprint(id, " ", k-1), false
		}
		switch err := n.set(t.Context(), token, there); {
		case err == nil:
			acknowledged[token] = there
		case errors.Is(err, journal.ErrUnavailable):
			delete(acknowledged, token)
		default:
			t.Errorf("node %d: %v", id, err)
		}
	}
}
