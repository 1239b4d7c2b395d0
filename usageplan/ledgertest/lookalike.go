package ledgertest

import (
	"strings"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// lookalikes are texts of 1 to 512 bytes that begin with stem, nearly, and are easily taken for one another: by who folds
// case, trims, normalises or repairs Unicode, ends a text at a zero byte, reads a pattern, or cuts it.
func lookalikes(stem string) []string {
	long := stem + strings.Repeat("x", 511-len(stem))
	return []string{
		stem, strings.ToUpper(stem), " " + stem, stem + " ", stem + "\t", stem + "\n", stem + "\x00", stem + "\x00a",
		stem + "\xff", stem + "\xfe", stem + "\ufffd", stem + "?", stem + "\u00e9", stem + "e\u0301", stem + "\ufeff",
		stem + "%", stem + "*", stem + "'", stem + `"`, stem + `\`, long, long + "a", long + "b",
	}
}

// lookalikeKeys have lookalikes for a subject or a plan, or the same letters with the boundary elsewhere.
func lookalikeKeys() (keys []ledger.Key) {
	for _, text := range lookalikes("text") {
		keys = append(keys, ledger.Key{Plan: "plan", Subject: text}, ledger.Key{Plan: "other", Subject: text},
			ledger.Key{Plan: text, Subject: "subject"})
	}
	for _, mark := range []string{"", "\x00", "\xff", " ", "/", ":", "|", "#", ",", "{", "}"} {
		keys = append(keys, ledger.Key{Plan: "a" + mark + "b", Subject: "c"}, ledger.Key{Plan: "a", Subject: "b" + mark + "c"},
			ledger.Key{Plan: "c", Subject: "a" + mark + "b"})
	}
	return keys
}

// testLookalikeKeys: each key has a balance of its own.
func testLookalikeKeys(t *testing.T, s ledger.Store) {
	keys := lookalikeKeys()
	chargeEach(t, s, keys)
	expectEach(t, s, keys)
}

// chargeEach charges the first key 1, the next one 2 and so on.
func chargeEach(t *testing.T, s ledger.Store, keys []ledger.Key) {
	t.Helper()
	ops := make([]ledger.Op, len(keys))
	for i, k := range keys {
		ops[i] = op(ledger.KindCharge, int64(i)+1, 1)
		ops[i].Account.Key, ops[i].Limit = k, 1000
	}
	outs, err := s.Apply(t.Context(), ops)
	if err != nil {
		t.Fatal(err)
	}
	for i, out := range outs {
		if out.Granted != int64(i)+1 || out.Totals.Used != int64(i)+1 {
			t.Fatalf("charge %d to %.40q: got %+v", i+1, keys[i], out)
		}
	}
}

func expectEach(t *testing.T, s ledger.Store, keys []ledger.Key) {
	t.Helper()
	for i, k := range keys {
		read := op(ledger.KindRead, 0, 0)
		read.Account.Key = k
		out, list := apply(t, s, read), states(t, s, k)
		if charged := int64(i) + 1; out.Totals.Used != charged || len(list) != 1 || list[0].Used != charged {
			t.Fatalf("%.40q was charged %d: got %+v, accounts %+v", k, charged, out, list)
		}
	}
}

// testLookalikeIDs: what has one id is made once, and is not taken for another.
func testLookalikeIDs(t *testing.T, s ledger.Store) {
	applyEach(t, s, false)
	applyEach(t, s, true)
}

// applyEach sends charges and extensions under lookalikes, each of which is a replay or none.
func applyEach(t *testing.T, s ledger.Store, replayed bool) {
	t.Helper()
	for i, kind := range []ledger.Kind{ledger.KindCharge, ledger.KindExtend} {
		for _, id := range lookalikes(kind.String()) {
			o := op(kind, 1, 0)
			o.Account.Key, o.Limit, o.ID = subject(i), 1000, id
			if out := apply(t, s, o); out.Granted != 1 || out.Replayed != replayed {
				t.Fatalf("%v under id %q: got %+v, want replayed %v", kind, id, out, replayed)
			}
		}
	}
}
