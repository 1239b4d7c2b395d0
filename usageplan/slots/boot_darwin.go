package slots

import "syscall"

// systemBootID names this boot of the machine; "" if that cannot be known.
func systemBootID() string {
	id, err := syscall.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}
