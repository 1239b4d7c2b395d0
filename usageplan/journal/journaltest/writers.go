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

// follow returns a node that has read to the head. It repeats what a lost answer has broken.
func follow(t *testing.T, j journal.Journal) *node {
	t.Helper()
	for range 1000 {
		n := &node{items: make(map[string]string)}
		var err error
		if n.Topic, err = journal.Follow(t.Context(), j, n.apply); err == nil {
			return n
		} else if !errors.Is(err, errLost) {
			t.Fatalf("Follow: %v", err)
		}
	}
	t.Fatal("Follow has failed 1000 times")
	return nil
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

// testLost has several nodes change one journal, each by a connection that loses requests and answers. What was
// acknowledged is there, what was not is there once or not at all, and all nodes are equal in the end.
func testLost(t *testing.T, open opener) {
	m := open(0)
	nodes, acknowledged := make([]*node, 4), make([][]string, 4)
	var wg sync.WaitGroup
	for i := range nodes {
		nodes[i] = follow(t, Lossy(m.Journal, uint64(i)))
		wg.Go(func() {
			for k := range 50 {
				token := fmt.Sprint(i, " ", k)
				err := nodes[i].count(t.Context(), token)
				if err == nil {
					acknowledged[i] = append(acknowledged[i], token)
				} else if !errors.Is(err, errLost) {
					t.Errorf("node %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	want := follow(t, m.Journal).items
	if want["count"] != fmt.Sprint(len(want)-1) {
		t.Errorf("%d tokens are there, and the count is %s", len(want)-1, want["count"])
	}
	for i, n := range nodes {
		for errors.Is(n.Refresh(t.Context()), errLost) {
		}
		if !maps.Equal(n.items, want) {
			t.Errorf("node %d: got %s; want %s", i, show(n.items), show(want))
		}
		for _, token := range acknowledged[i] {
			if _, there := n.items[token]; !there {
				t.Errorf("%s was acknowledged, and is lost", token)
			}
		}
	}
}
