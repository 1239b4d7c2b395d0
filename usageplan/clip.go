package usageplan

import (
	"strings"
	"unicode/utf8"
)

// maxEcho bounds what an error repeats of one field of what it was sent.
const maxEcho = 256

// clip cuts s to what an error may repeat, at the end of a character, and says so.
func clip(s string) string {
	n := min(len(s), maxEcho)
	for n > 0 && n < len(s) && !utf8.RuneStart(s[n]) {
		n--
	}
	cut := strings.ToValidUTF8(s[:n], "?") // one byte, so that the text does not grow
	if n < len(s) {
		cut += "… (cut)"
	}
	return cut
}
