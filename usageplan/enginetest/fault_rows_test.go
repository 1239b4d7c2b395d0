package enginetest_test

import (
	"bytes"
	"context"
	"iter"
	"strings"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// rowFaults are of what a row or a key is.
var rowFaults = []fault{
	{"nil deletes", "rows", output(func(_, out []byte) []byte { return append([]byte{}, out...) })},
	{"empty leaves", "rows", output(func(_, out []byte) []byte {
		if len(out) == 0 {
			return nil
		}
		return out
	})},
	{"deletes only once", "rows", output(func(row, out []byte) []byte {
		if row == nil && out != nil && len(out) == 0 {
			return []byte("deleted")
		}
		return out
	})},
	{"no row is empty", "rows", input(func(row []byte) []byte { return append([]byte{}, row...) })},
	{"appends", "rows", output(func(row, out []byte) []byte {
		if len(out) == 0 {
			return out
		}
		return append(bytes.Clone(row), out...)
	})},
	{"keeps the longer end", "rows", output(func(row, out []byte) []byte {
		if len(out) > 0 && len(out) < len(row) {
			return append(bytes.Clone(out), row[len(out):]...)
		}
		return out
	})},
	{"rows end at a zero byte", "rows", output(func(_, out []byte) []byte {
		if before, _, ok := bytes.Cut(out, []byte{0}); ok {
			return before
		}
		return out
	})},
	{"does not write what was deleted", "rows", over(func() ledger.Engine { return onceDeleted() })},
	{"rows of 65 535 bytes", "sizes", output(func(_, out []byte) []byte { return out[:min(len(out), 65_535)] })},
	{"rows are text", "sizes", output(func(_, out []byte) []byte {
		if len(out) == 0 {
			return out
		}
		return bytes.ToValidUTF8(out, []byte("?"))
	})},
	{"trailing zeros trimmed", "sizes", output(func(_, out []byte) []byte {
		if len(out) == 0 {
			return out
		}
		return append(bytes.TrimRight(out, "\x00"), out[0])
	})},
	{"keys of 1 199 bytes", "sizes", renamed(func(key string) string { return key[:min(len(key), 1199)] })},
	{"keys of 255 bytes", "lookalike keys", renamed(func(key string) string { return key[:min(len(key), 255)] })},
	{"keys of 1 023 bytes", "lookalike keys", renamed(func(key string) string { return key[:min(len(key), 1023)] })},
	{"case folded", "lookalike keys", renamed(strings.ToLower)},
	{"blanks trimmed", "lookalike keys", renamed(strings.TrimSpace)},
	{"keys end at a zero byte", "lookalike keys", renamed(func(key string) string { key, _, _ = strings.Cut(key, "\x00"); return key })},
	{"keys are text", "lookalike keys", renamed(func(key string) string { return strings.ToValidUTF8(key, "\ufffd") })},
	{"Unicode composed", "lookalike keys", renamed(strings.NewReplacer("e\u0301", "\u00e9").Replace)},
	{"braces taken away", "lookalike keys", renamed(strings.NewReplacer("{", "", "}", "").Replace)},
	{"at most 9 999 keys", "many keys", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		return next.Update(ctx, keys[:min(len(keys), 9999)], f)
	})},
	{"batches number their own keys", "many keys", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		for len(keys) > 0 {
			n := min(len(keys), 1000)
			if err := next.Update(ctx, keys[:n], f); err != nil {
				return err
			}
			keys = keys[n:]
		}
		return nil
	})},
	{"one buffer for all rows", "many keys", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		var buffer []byte
		return next.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
			out, err := f(i, row)
			if len(out) == 0 || err != nil {
				return out, err
			}
			if len(out) > cap(buffer) {
				buffer = make([]byte, 0, 1<<16)
			}
			buffer = append(buffer[:0], out...)
			return buffer, nil
		})
	})},
	{"remembers one row wrongly", "random", output(func(row, out []byte) []byte {
		if len(row)%16 == 15 && len(out) > 0 {
			return row
		}
		return out
	})},
	{"an error without keys", "no keys", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		if len(keys) == 0 {
			return errClosed
		}
		return next.Update(ctx, keys, f)
	})},
	{"a call without keys", "no keys", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		if len(keys) == 0 {
			_, err := f(0, nil)
			return err
		}
		return next.Update(ctx, keys, f)
	})},
}

// updating is the suite over an engine in memory with another Update.
func updating(update func(next ledger.Engine, ctx context.Context, keys []string, f decide) error) func(*testing.T) {
	return over(func() ledger.Engine { return &engine{Engine: ledger.NewMemory(), update: update} })
}

// output changes what f returns.
func output(change func(row, out []byte) []byte) func(*testing.T) {
	return updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		return next.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
			out, err := f(i, row)
			return change(row, out), err
		})
	})
}

// input changes what f sees.
func input(change func(row []byte) []byte) func(*testing.T) {
	return updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		return next.Update(ctx, keys, func(i int, row []byte) ([]byte, error) { return f(i, change(row)) })
	})
}

// renamed has another name for a key than the caller.
func renamed(name func(string) string) func(*testing.T) {
	return over(func() ledger.Engine {
		return &engine{
			Engine: ledger.NewMemory(),
			update: func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
				for i, key := range keys {
					one := func(_ int, row []byte) ([]byte, error) { return f(i, row) }
					if err := next.Update(ctx, []string{name(key)}, one); err != nil {
						return err
					}
				}
				return nil
			},
			load: func(next ledger.Engine, ctx context.Context, key string) ([]byte, error) {
				return next.Load(ctx, name(key))
			},
			keys: func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
				return next.Keys(ctx, name(prefix))
			},
		}
	})
}

// onceDeleted has tombstones that nothing takes away.
func onceDeleted() *engine {
	dead := make(map[string]bool)
	return &engine{Engine: ledger.NewMemory(), update: func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		return next.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
			out, err := f(i, row)
			if row != nil && out != nil && len(out) == 0 {
				dead[keys[i]] = true
			}
			if dead[keys[i]] && len(out) > 0 {
				return nil, err
			}
			return out, err
		})
	}}
}
