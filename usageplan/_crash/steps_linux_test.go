package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
)

// A life of steps takes one unit after another, each 17 hours after the one before, and at every third step extends a limit
// instead. So it begins new periods all the time, and their accounts, days and adjustments move out of the row that a
// commit writes.
const (
	steps     = 45
	extending = 3

	stepKey = 0 // whose units are taken
	heldKey = 1 // whose limit is extended
)

var stepQuota = ledger.Quota{Limit: 1000, Period: ledger.Weekly}

// stepTime is when a step is. A second life goes on after the first.
func stepTime(life, step int) time.Time {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration((life-1)*steps+step) * 17 * time.Hour)
}

func stepTicket(life, step int) ledger.Adjustment {
	return ledger.Adjustment{ID: fmt.Sprint("life ", life, " step ", step), Delta: 1, Reason: "step", Actor: "rig"}
}

const exactEnv = "TALLYGATE_STEPS_EXACT"

// stepper is a ledger with all that it needs.
type stepper struct {
	*ledger.Ledger
	store *boltstore.Store
	slots *slots.Slots // nil in exact mode
}

func openStepper(dir string, exact bool) (s stepper, err error) {
	smallLogs()
	if s.store, err = boltstore.Open(filepath.Join(dir, "usage.db")); err != nil {
		return s, err
	}
	config := ledger.Config{Engine: s.store, Exact: exact, Block: 8}
	if !exact {
		if s.slots, err = slots.Open(dir); err != nil {
			return s, err
		}
		config.Slots = s.slots
	}
	s.Ledger, err = ledger.New(config)
	return s, err
}

func (s stepper) close() error {
	errs := []error{s.Ledger.Close()}
	if s.slots != nil {
		errs = append(errs, s.slots.Close())
	}
	return errors.Join(append(errs, s.store.Close())...)
}

// TestStepsChild takes all steps and closes what it has opened.
func TestStepsChild(t *testing.T) {
	dir := os.Getenv(earlyEnv)
	if dir == "" {
		t.Skip("run by TestPowerCut")
	}
	life, _ := strconv.Atoi(os.Getenv(lifeEnv))
	bootID = func() string { return "boot 1" }
	s, err := openStepper(dir, os.Getenv(exactEnv) == "true")
	failed(err)
	taker, err := s.Ref(key(stepKey))
	failed(err)
	for i := range steps {
		if i%extending == 0 {
			_, err = s.Extend(t.Context(), key(heldKey), stepQuota, stepTicket(life, i))
		} else {
			_, err = taker.TakeAt(t.Context(), stepTime(life, i), stepQuota, 1)
		}
		failed(err)
		said(earlyAck)
	}
	failed(s.close())
	said(earlyDone)
	select {}
}

// testSteps: whatever the disk has after a life that ended before one of its changes, all that was acknowledged is counted
// on its day, and in addition at most the one step that was under way.
func testSteps(t *testing.T) {
	for _, tt := range []struct {
		name        string
		exact, kill bool
		faults      faults
	}{
		{"exact, power cuts", true, false, faults{}},
		{"leased, power cuts", false, false, faults{}},
		{"exact, kills", true, true, faults{}},
		{"leased, kills", false, true, faults{}},
		{"leased, no maps, kills", false, true, faults{unmapped: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &early{
				t: t, test: "TestStepsChild", env: []string{fmt.Sprint(exactEnv, "=", tt.exact)}, kill: tt.kill, skip: 80,
				disk: func() *disk { return newDisk(rand.Uint64(), tt.faults) },
				look: func(dir string, l lives) { lookAtSteps(t, dir, tt.exact, l) },
			}
			if os.Getenv("TALLYGATE_HEAVY") != "" {
				e.skip = 8
			}
			e.run()
			t.Logf("ended before %d changes: %d states of the disk", e.changes, e.states)
			require.Greater(t, e.states, e.changes)
		})
	}
}

// testFailedSync: a sync fails and the process ends, as a rule. The next one finds pages in memory that the disk does not have, and
// that count as clean. When the power goes within its first commits, nothing is lost all the same.
func testFailedSync(t *testing.T) {
	first, syncs := 8+rand.IntN(40), 4 // in a row: those of pages, and those of the page that says where they are
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		syncs = 16
	}
	e := &early{
		t: t, test: "TestStepsChild", env: []string{exactEnv + "=true"}, skip: 1, most: 16, once: true,
		look: func(dir string, l lives) { lookAtSteps(t, dir, true, l) },
	}
	for n := range syncs {
		e.disk = func() *disk { return newDisk(rand.Uint64(), faults{failing: first + n}) }
		e.run()
	}
	t.Logf("ended before %d changes: %d states of the disk", e.changes, e.states)
	require.Greater(t, e.states, e.changes)
}

func lookAtSteps(t *testing.T, dir string, exact bool, l lives) {
	bootID = func() string { return "boot 2" }
	s, err := openStepper(dir, exact)
	require.NoError(t, err)
	require.NoError(t, s.store.Check(t.Context()))
	sure, maybe := l.steps()
	before := stepQuota.Limit
	for d, err := range s.Usage(t.Context(), key(stepKey), stepQuota, stepTime(1, 0), stepTime(len(l.acked), steps)) {
		require.NoError(t, err)
		if d.Start.Weekday() == time.Sunday {
			before = stepQuota.Limit
		}
		counted := before - d.Remaining
		before = d.Remaining
		require.LessOrEqual(t, d.Used, sure.taken[d.Start]+maybe.taken[d.Start], "more than was asked for: %v", d.Start)
		require.GreaterOrEqual(t, counted, sure.taken[d.Start], "acknowledged and lost: %v", d.Start)
		if exact || l.done {
			require.Equal(t, counted, d.Used, "wasted: %v", d.Start)
		}
	}
	var tickets []string
	for c, err := range s.Adjustments(t.Context(), key(heldKey), time.Unix(0, 0), time.Now()) {
		require.NoError(t, err)
		tickets = append(tickets, c.ID)
	}
	b, err := s.Balance(t.Context(), key(heldKey), stepQuota)
	require.NoError(t, err)
	require.Len(t, tickets, int(b.Adjustments))
	require.Subset(t, tickets, sure.tickets)
	require.Subset(t, append(sure.tickets, maybe.tickets...), tickets)
	require.NoError(t, s.close())
}

// made is what steps have done.
type made struct {
	taken   map[time.Time]int64 // by day
	tickets []string
}

// steps are those that were acknowledged, and those of which that is not known.
func (l lives) steps() (sure, maybe made) {
	sure.taken, maybe.taken = make(map[time.Time]int64), make(map[time.Time]int64)
	for i, acked := range l.acked {
		for step := range min(acked+1, steps) {
			to := &sure
			if step == acked {
				to = &maybe
			}
			if step%extending == 0 {
				to.tickets = append(to.tickets, stepTicket(i+1, step).ID)
			} else {
				to.taken[stepTime(i+1, step).Truncate(day)]++
			}
		}
	}
	return sure, maybe
}
