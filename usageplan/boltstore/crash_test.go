package boltstore_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
)

const (
	childEnv  = "TALLYGATE_BOLT_CHILD"
	childKeys = 40
)

// TestChild counts in a file until it is killed, and says which counts have been acknowledged.
func TestChild(t *testing.T) {
	path := os.Getenv(childEnv)
	if path == "" {
		t.Skip("run by TestKill")
	}
	boltstore.SetLimits(t, boltstore.Small)
	s, err := boltstore.Open(path)
	if err != nil {
		fmt.Println(err)
		os.Exit(5)
	}
	acks := os.NewFile(3, "acks")
	for {
		var keys []string
		for i := range childKeys {
			if rand.IntN(4) == 0 {
				keys = append(keys, fmt.Sprint("key", i))
			}
		}
		line := ""
		err := s.Update(t.Context(), keys, func(i int, row []byte) ([]byte, error) {
			n := uint64(1)
			if row != nil {
				n += binary.BigEndian.Uint64(row)
			}
			line += fmt.Sprintf("%s %d\n", keys[i], n)
			return binary.BigEndian.AppendUint64(nil, n), nil
		})
		if err != nil {
			fmt.Println(err)
			os.Exit(6)
		}
		if _, err := acks.WriteString(line); err != nil {
			os.Exit(7)
		}
	}
}

// TestKill: what was acknowledged survives kill -9 at any instant, checkpoints included, and at most the one Update
// that was under way is there too.
func TestKill(t *testing.T) {
	lives := 12
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		lives = 250
	}
	path := filepath.Join(t.TempDir(), "usage.db")
	acked := make(map[string]uint64)
	// On a busy machine a life may be over after its first Update, which has a quarter of the keys.
	for life := 0; life < lives || len(acked) < childKeys && life < 20*lives; life++ {
		killed := run(t, "^TestChild$", []string{childEnv + "=" + path}, time.Duration(5+rand.IntN(60))*time.Millisecond, func(line string) {
			var key string
			var n uint64
			_, err := fmt.Sscan(line, &key, &n)
			require.NoError(t, err)
			acked[key] = n
		})
		require.True(t, killed)
		s, err := boltstore.Open(path)
		require.NoError(t, err)
		require.NoError(t, s.Check(t.Context()))
		for key, n := range acked {
			row, err := s.Load(t.Context(), key)
			require.NoError(t, err)
			got := binary.BigEndian.Uint64(row)
			require.True(t, got == n || got == n+1, "%s: %d acknowledged, %d kept", key, n, got)
			acked[key] = got
		}
		require.NoError(t, s.Close())
	}
	require.Len(t, acked, childKeys)
}

// run runs a test of this binary and kills it a while after its first line. It reports whether the process died of
// that.
func run(t *testing.T, test string, env []string, after time.Duration, each func(line string)) bool {
	t.Helper()
	in, out, err := os.Pipe()
	require.NoError(t, err)
	defer in.Close()
	child := exec.Command(os.Args[0], "-test.run="+test)
	child.Env = append(os.Environ(), env...)
	child.ExtraFiles = []*os.File{out}
	child.Stdout = os.Stderr
	require.NoError(t, child.Start())
	require.NoError(t, out.Close())
	lines := bufio.NewReader(in)
	var kill *time.Timer
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // half a line was not acknowledged
		}
		if kill == nil {
			kill = time.AfterFunc(after, func() { _ = child.Process.Kill() })
		}
		each(line)
	}
	err = child.Wait()
	return err != nil && err.Error() == "signal: killed"
}
