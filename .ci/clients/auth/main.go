// Command auth runs package auth in the comparisons that the run script makes.
//
//	auth moto    reads tokens that moto issued and the address of its keys, and verifies the tokens
//	auth matrix  prints a matrix of Cognito tokens with package auth's verdict on each
package main

import (
	"fmt"
	"os"
)

func main() {
	commands := map[string]func() error{"moto": moto, "matrix": matrix}
	if len(os.Args) != 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: auth moto|matrix")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](); err != nil {
		fmt.Fprintln(os.Stderr, "auth:", err)
		os.Exit(1)
	}
}
