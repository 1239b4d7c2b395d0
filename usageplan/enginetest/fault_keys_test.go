package enginetest_test

import (
	"context"
	"errors"
	"iter"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

type keysFunc = func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error]

// keysFaults are of Keys.
var keysFaults = []fault{
	{"prefix ignored", "prefix", filtered(func(_, _ string) bool { return true })},
	{"only whole keys", "prefix", filtered(func(key, prefix string) bool { return key == prefix || prefix == "" })},
	{"no empty prefix", "prefix", filtered(func(key, prefix string) bool { return prefix != "" && strings.HasPrefix(key, prefix) })},
	{"prefix itself left out", "prefix", filtered(func(key, prefix string) bool { return key != prefix && strings.HasPrefix(key, prefix) })},
	{"up to 0xff", "prefix", filtered(func(key, prefix string) bool { return key >= prefix && (key < prefix+"\xff" || prefix == "") })},
	{"up to the next byte", "prefix", filtered(func(key, prefix string) bool {
		if prefix == "" {
			return true
		}
		end := prefix[:len(prefix)-1] + string([]byte{prefix[len(prefix)-1] + 1}) // of 0xff: none
		return key >= prefix && key < end
	})},
	{"prefix is a pattern", "prefix", filtered(func(key, prefix string) bool {
		ok, err := path.Match(prefix+"*", strings.ReplaceAll(key, "/", "."))
		return ok || err != nil && strings.HasPrefix(key, prefix)
	})},
	{"prefix folded", "prefix", filtered(func(key, prefix string) bool { return strings.HasPrefix(strings.ToLower(key), strings.ToLower(prefix)) })},
	{"prefix of text", "prefix", filtered(func(key, prefix string) bool {
		return strings.HasPrefix(key, strings.ToValidUTF8(prefix, "?"))
	})},
	{"prefix of 255 bytes", "prefix", filtered(func(key, prefix string) bool { return strings.HasPrefix(key, prefix[:min(len(prefix), 255)]) })},
	{"prefix cut off", "rows", listing(func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
		return mapped(next.Keys(ctx, prefix), func(key string) []string { return []string{key[min(1, len(key)-1):]} })
	})},
	{"a key forgotten", "rows", listing(func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
		first := true
		return mapped(next.Keys(ctx, prefix), func(key string) []string {
			if first {
				first = false
				return nil
			}
			return []string{key}
		})
	})},
	{"a thousand keys", "many keys", listing(func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
		n := 0
		return mapped(next.Keys(ctx, prefix), func(key string) []string {
			if n++; n > 1000 {
				return nil
			}
			return []string{key}
		})
	})},
	{"keys twice", "keys during changes", listing(func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
		return mapped(next.Keys(ctx, prefix), func(key string) []string {
			if strings.HasSuffix(key, "77") {
				return []string{key, key}
			}
			return []string{key}
		})
	})},
	{"deleted keys", "rows", over(func() ledger.Engine { return neverForgets() })},
	{"pages by number", "keys during changes", listing(pagesByNumber)},
	{"a page again after a change", "keys during changes", listing(pageAgain)},
	{"goes on after the stop", "keys stopped", listing(func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for key, err := range next.Keys(ctx, prefix) {
				yield(key, err)
			}
		}
	})},
	{"a key for none", "keys stopped", listing(func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for key, err := range next.Keys(ctx, prefix) {
				if !yield(key, err) {
					return
				}
			}
			yield("", nil)
		}
	})},
	{"an end without an error", "context ends", listing(func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for key, err := range next.Keys(ctx, prefix) {
				if ctx.Err() != nil || !yield(key, err) {
					return
				}
			}
		}
	})},
	{"goes on after an error", "context ends", listing(func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for key, err := range next.Keys(ctx, prefix) {
				if !yield(key, errors.Join(err, ctx.Err())) {
					return
				}
			}
		}
	})},
}

// listing is the suite over an engine in memory with another Keys.
func listing(keys keysFunc) func(*testing.T) {
	return over(func() ledger.Engine { return &engine{Engine: ledger.NewMemory(), keys: keys} })
}

// filtered yields other keys than those with the prefix.
func filtered(ok func(key, prefix string) bool) func(*testing.T) {
	return listing(func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
		return mapped(next.Keys(ctx, ""), func(key string) []string {
			if ok(key, prefix) {
				return []string{key}
			}
			return nil
		})
	})
}

// mapped yields others in place of each key.
func mapped(seq iter.Seq2[string, error], others func(key string) []string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for key, err := range seq {
			if err != nil {
				yield("", err)
				return
			}
			for _, other := range others(key) {
				if !yield(other, nil) {
					return
				}
			}
		}
	}
}

// neverForgets yields each key that has ever been there.
func neverForgets() *engine {
	ever := make(map[string]bool)
	return &engine{
		Engine: ledger.NewMemory(),
		update: func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
			return next.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
				out, err := f(i, row)
				if len(out) > 0 {
					ever[keys[i]] = true
				}
				return out, err
			})
		},
		keys: func(_ ledger.Engine, _ context.Context, prefix string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for key := range ever {
					if strings.HasPrefix(key, prefix) && !yield(key, nil) {
						return
					}
				}
			}
		},
	}
}

// sorted is all keys at once.
func sorted(next ledger.Engine, ctx context.Context, prefix string) (keys []string, err error) {
	for key, e := range next.Keys(ctx, prefix) {
		keys, err = append(keys, key), errors.Join(err, e)
	}
	slices.Sort(keys)
	return keys, err
}

// paged asks for a page at a time: those that next picks of all present keys, given how many were yielded and the last.
func paged(engine ledger.Engine, ctx context.Context, prefix string, next func(keys []string, n int, last string) []string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for n, last := 0, ""; ; {
			keys, err := sorted(engine, ctx, prefix)
			if err != nil {
				yield("", err)
				return
			}
			keys = next(keys, n, last)
			for _, key := range keys[:min(20, len(keys))] {
				if n, last = n+1, key; !yield(key, nil) {
					return
				}
			}
			if len(keys) == 0 {
				return
			}
		}
	}
}

// pagesByNumber leaves out as many keys as it has yielded: those that go meanwhile shift the pages.
func pagesByNumber(engine ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
	return paged(engine, ctx, prefix, func(keys []string, n int, _ string) []string { return keys[min(n, len(keys)):] })
}

// pageAgain begins a page with the last key of the one before, if it is still there.
func pageAgain(engine ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
	return paged(engine, ctx, prefix, func(keys []string, _ int, last string) []string {
		i, found := slices.BinarySearch(keys, last)
		if found && i+1 == len(keys) {
			return nil
		}
		return keys[i:]
	})
}
