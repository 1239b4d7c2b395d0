package redisstore

import (
	"fmt"
	"strings"
	"testing"
)

// SmallChunks makes journals read in small parts until the test ends.
func SmallChunks(t *testing.T) {
	before := chunkBytes
	chunkBytes = 300
	t.Cleanup(func() { chunkBytes = before })
}

// Remembered is how many rows are remembered, and how many bytes they and their names have, after so many rows of one
// size have been written, each of them some times.
func Remembered(rows, size, times int) (n, bytes int) {
	var m remembered
	for i := range rows * times {
		m.put(fmt.Sprint(i/times), strings.Repeat("x", size))
	}
	for _, generation := range []map[string]string{m.young, m.old} {
		for name, row := range generation {
			n++
			bytes += len(name) + len(row)
		}
	}
	return n, bytes
}
