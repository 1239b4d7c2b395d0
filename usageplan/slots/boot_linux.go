package slots

import (
	"os"
	"strings"
)

// systemBootID names this boot of the machine; "" if that cannot be known. The kernel chooses it when it starts, so
// containers of one kernel see the same. Source: random(4).
func systemBootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
