package slots_test

import (
	"testing"

	"github.com/tallygate/tallygate/usageplan/slots"
)

func BenchmarkNote(b *testing.B) {
	slot := begin(b, open(b, b.TempDir()), lease(1))
	b.ReportAllocs()
	for n := int64(0); b.Loop(); n++ {
		if err := slot.Note(n); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNoteWritten(b *testing.B) {
	slots.WriteSlots(b)
	BenchmarkNote(b)
}

func BenchmarkOpenAndFree(b *testing.B) {
	s := open(b, b.TempDir())
	for b.Loop() {
		begin(b, s, lease(1)).Free()
	}
}
