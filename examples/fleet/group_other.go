//go:build !unix

package main

import "syscall"

// ownGroup does nothing here, because this system has no process groups as Unix has them. Ctrl-C may then end the
// server before the nodes.
func ownGroup() *syscall.SysProcAttr { return nil }
