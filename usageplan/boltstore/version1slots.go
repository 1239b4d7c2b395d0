package boltstore

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// bootID names this boot of the machine, "" if that cannot be known. Tests replace it. Source: random(4).
var bootID = func() string {
	if runtime.GOOS != "linux" {
		return ""
	}
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// A slot file of version 1 is a header of 64 bytes (magic, boot id, CRC-32C) and slots of 16 (lease, spent). It was never
// synced, so it counts only in the boot that it was written in.
const (
	slotMagic  = "tallygate.spent1"
	slotHeader = 64
	slotSize   = 16
)

// spent returns what the leases of the file at path have spent, as far as its slot files are of this boot.
func spent(path string) map[uint64]int64 {
	leases := make(map[uint64]int64)
	boot := bootID()
	for _, name := range slotFiles(path) {
		b, err := readSynced(name)
		if err != nil || boot == "" || !isOf(b, boot) { // what is not known stays held
			continue
		}
		for b = b[slotHeader:]; len(b) >= slotSize; b = b[slotSize:] {
			if id := binary.LittleEndian.Uint64(b); id != 0 {
				leases[id] = int64(binary.LittleEndian.Uint64(b[8:]))
			}
		}
	}
	return leases
}

// isOf reports whether a slot file has a whole header that names this boot.
func isOf(b []byte, boot string) bool {
	if len(b) < slotHeader {
		return false
	}
	h := make([]byte, slotHeader-sumSize, slotHeader)
	copy(h[copy(h, slotMagic):], boot)
	h = binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
	return string(b[:slotHeader]) == string(h)
}

// readSynced reads a file, unless the system has failed to write it back to the disk: then it may show older content.
func readSynced(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return nil, err
	}
	return os.ReadFile(name)
}

func slotFiles(path string) (names []string) {
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filepath.Base(path)+".spent.") && e.Type().IsRegular() {
			names = append(names, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	return names
}

// removeSlots removes the slot files of a file that has been converted. They are of no use any more, so if one stays, that
// does no harm.
func removeSlots(path string) {
	for _, name := range slotFiles(path) {
		_ = os.Remove(name)
	}
}
