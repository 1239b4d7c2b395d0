package authtest

import (
	"strconv"
	"time"
)

// Fill fills the pool with users and with sign-ins of now.
func Fill(p *Pool) {
	for n := len(p.users); n < maxUsers; n++ {
		p.users[strconv.Itoa(n)] = &member{}
	}
	for n := len(p.signIns); n < maxSignIns; n++ {
		p.signIns[strconv.Itoa(n)] = signIn{at: time.Now()}
	}
}
