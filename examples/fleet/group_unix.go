//go:build unix

package main

import "syscall"

// ownGroup puts a process into a group of its own. A terminal sends Ctrl-C only to its own group, so the server goes on
// until the nodes have given back what they hold.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
