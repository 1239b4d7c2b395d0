package boltstore

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"runtime"
	"strings"
)

// bootID names this boot of the machine, "" if that cannot be known. Version 1 used the same name on Linux. On other
// systems the conversion takes nothing for exact. A variable because tests cannot reboot. Source: random(4).
var bootID = func() string {
	if runtime.GOOS != "linux" {
		return ""
	}
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// What leases had spent stood in slot files, path.spent.*: a header of 64 bytes (magic, boot id, CRC-32C) and slots of
// 16 (lease, spent). They were never synced, so a file counts only in the boot that it was written in. They stay, for
// they belong to the old file. Slots had no checksum: version 1 believed each number that it found, and so does the
// conversion, if it is no more than the lease was granted.
const (
	slotMagic  = "tallygate.spent1"
	slotHeader = 64
	slotSize   = 16
)

// readSpent returns what leases of the file at path have spent, as far as that is known exactly. A lease that is not in
// the map may have spent anything. The caller holds the lock, so no process writes to the slots.
func readSpent(path string) (map[uint64]int64, error) {
	spent := make(map[uint64]int64)
	names, err := namesWith(path + ".spent.")
	boot := bootID()
	for _, name := range names {
		b, err := readSynced(name)
		if err != nil {
			return nil, err
		}
		// A header of another boot is no error: the machine has restarted, and the numbers may be older than the last
		// ones.
		if boot == "" || len(b) < slotHeader || string(b[:slotHeader]) != slotFileHeader(boot) {
			continue
		}
		// A free slot has no lease. What follows the last whole slot is of a file that was cut.
		for b = b[slotHeader:]; len(b) >= slotSize; b = b[slotSize:] {
			if lease := binary.LittleEndian.Uint64(b); lease != 0 {
				spent[lease] = int64(binary.LittleEndian.Uint64(b[8:]))
			}
		}
	}
	return spent, err
}

// readSynced reads a file. If the system has failed to write it back to the disk, it may show what was there before.
// The system tells of that only once, so such a file is removed, and counts as empty. Windows syncs only what is open
// to write: hence O_RDWR.
func readSynced(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err == nil && f.Sync() != nil {
		return nil, os.Remove(name)
	}
	return b, err
}

// slotFileHeader is the header that a file of this boot has. A file with any other header is of another boot, or
// damaged, and tells nothing.
func slotFileHeader(boot string) string {
	h := make([]byte, slotHeader-sumSize, slotHeader)
	copy(h[copy(h, slotMagic):], boot)
	return string(binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli)))
}
